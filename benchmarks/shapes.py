"""Full models of well-known shapes with random weights, written as PyTorch's exporters write them.

They cover the heads that the data folder lacks: ResNet-50 (pool and linear on 2048 x 7 x 7), VGG-16 (three linear
layers on 512 x 7 x 7), ConvNeXt-T (layer norm after the pool) and ViT-B/16 (the last block on 197 x 768). Opset 17,
free batch, logits without softmax. Usage: python benchmarks/shapes.py FOLDER [NAME ...]
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from net import Net, convolution, dense, gemm, layer_norm, mlp, patches, permuted

CLASSES = 1000
SPREAD = 6.0
"""Standard deviation of a picture's logits: the best of 1000 then has a probability of about one half."""


def main() -> None:
    folder, *names = sys.argv[1:] or sys.exit("usage: python benchmarks/shapes.py FOLDER [NAME ...]")
    for name in names or SHAPES:
        print(write(name, Path(folder)), flush=True)


def write(name: str, folder: Path) -> Path:
    """Write the model `name` of SHAPES into a folder, unless it is there; return its file."""
    file = folder / f"{name}.onnx"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(SHAPES[name](), file)
    return file


def classifier(net: Net, x: str, classes: int = CLASSES) -> onnx.ModelProto:
    gemm(net, x, classes, SPREAD)
    return net.proto()


def resnet50() -> onnx.ModelProto:
    net = Net(1)
    x = net.node("Relu", convolution(net, "input", 64, 7, stride=2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2])
    for stage, count in enumerate((3, 4, 6, 3)):
        for place in range(count):
            x = bottleneck(net, x, 64 << stage, 2 if stage and not place else 1)
            net.forget(x)
    return classifier(net, net.node("Flatten", net.node("GlobalAveragePool", x), axis=1))


def bottleneck(net: Net, x: str, width: int, stride: int) -> str:
    inner = net.node("Relu", convolution(net, x, width, 1))
    inner = net.node("Relu", convolution(net, inner, width, 3, stride=stride))
    inner = convolution(net, inner, 4 * width, 1)
    if stride > 1 or net[x].shape[1] != 4 * width:
        x = convolution(net, x, 4 * width, 1, stride=stride)
    return net.node("Relu", net.node("Add", [inner, x]))


def vgg16() -> onnx.ModelProto:
    net, x = Net(2), "input"
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = net.node("Relu", convolution(net, x, width, 3))
        x = net.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        net.forget(x)
    x = net.node("Flatten", net.node("AveragePool", x, kernel_shape=[1, 1], strides=[1, 1]), axis=1)
    for _ in range(2):
        x = net.node("Relu", gemm(net, x, 4096))
    return classifier(net, x)


def convnext() -> onnx.ModelProto:
    net = Net(3)
    x = channel_norm(net, patches(net, "input", 96, 4))
    for stage, count in enumerate((3, 3, 9, 3)):
        if stage:
            x = patches(net, channel_norm(net, x), 96 << stage, 2)
        for _ in range(count):
            x = inverted_block(net, x, 96 << stage)
            net.forget(x)
    x = channel_norm(net, net.node("GlobalAveragePool", x))
    return classifier(net, net.node("Flatten", x, axis=1))


def channel_norm(net: Net, x: str) -> str:
    return permuted(net, layer_norm(net, permuted(net, x, 0, 2, 3, 1)), 0, 3, 1, 2)


def inverted_block(net: Net, x: str, width: int) -> str:
    spread = permuted(net, convolution(net, x, width, 7, group=width), 0, 2, 3, 1)
    inner = permuted(net, mlp(net, layer_norm(net, spread), width), 0, 3, 1, 2)
    scale = net.weight(1 + 0.1 * net.normal(width, 1, 1))
    return net.node("Add", [net.node("Mul", [scale, inner]), x])


def vit_b16() -> onnx.ModelProto:
    net = Net(4)
    x = tokens(net, 768)
    for block in range(12):
        x = encoder_block(net, x, 768, LAST_GAIN if block == 11 else 1)
        net.forget(x)
    first = net.node("Gather", [layer_norm(net, x), net.weight(np.array(0))], axis=1)
    return classifier(net, first)


LAST_GAIN = 4.0
"""How much more the last attention of the ViT counts: else its class token decides alone, with random weights."""


def tokens(net: Net, width: int) -> str:
    """Cut the picture into tokens, put a class token for every picture in front, add positions."""
    made = patches(net, "input", width, 16)
    flat = net.node("Reshape", [made, net.weight(np.array([0, width, -1]))], allowzero=0)
    rows = permuted(net, flat, 0, 2, 1)
    count = net.node("Gather", [net.node("Shape", rows), net.weight(np.array(0))], axis=0)
    count = net.node("Unsqueeze", [count, net.weight(np.array([0]))])
    shape = net.node("Concat", [count, net.weight(np.array([1, 1]))], axis=0)
    first = net.node("Expand", [net.weight(0.5 * net.normal(1, 1, width)), shape])
    x = net.node("Concat", [first, rows], axis=1)
    return net.node("Add", [x, net.weight(0.3 * net.normal(1, net[x].shape[1], width))])


def encoder_block(net: Net, x: str, width: int, gain: float) -> str:
    x = net.node("Add", [attention(net, layer_norm(net, x), width, gain), x])
    return net.node("Add", [x, mlp(net, layer_norm(net, x), width)])


def attention(net: Net, x: str, width: int, gain: float) -> str:
    """Add an attention of 64 numbers a head, with query, key and value written out."""
    shape, flat = net.weight(np.array([0, 0, width // 64, 64])), net.weight(np.array([0, 0, width]))
    split = [net.node("Reshape", [dense(net, x, width, g), shape], allowzero=0) for g in (1.75, 1.75, gain)]
    query, key, value = (
        permuted(net, y, 0, *rest) for y, rest in zip(split, ((2, 1, 3), (2, 3, 1), (2, 1, 3)), strict=True)
    )
    scores = net.node("Div", [net.node("MatMul", [query, key]), net.weight(np.float32(8))])
    mixed = net.node("MatMul", [net.node("Softmax", scores, axis=-1), value])
    return dense(net, net.node("Reshape", [permuted(net, mixed, 0, 2, 1, 3), flat], allowzero=0), width, gain)


# ----- heads of any size, on a 32 x 32 picture -----


def additive_head(units: int, classes: int) -> onnx.ModelProto:
    """Return one convolution, the mean of each channel, and a linear layer."""
    net = Net(5, 32)
    x = net.node("Relu", convolution(net, "input", units, 5, stride=4))
    return classifier(net, net.node("Flatten", net.node("GlobalAveragePool", x), axis=1), classes)


def mlp_head(units: int, classes: int) -> onnx.ModelProto:
    """Return one convolution, 2 x 2 maxima of each channel, and a hidden layer of 512."""
    net = Net(6, 32)
    x = net.node("Relu", convolution(net, "input", units, 5, stride=4))
    x = net.node("Flatten", net.node("MaxPool", x, kernel_shape=[4, 4], strides=[4, 4]), axis=1)
    return classifier(net, net.node("Relu", gemm(net, x, 512)), classes)


SHAPES: dict[str, Callable[[], onnx.ModelProto]] = {
    "resnet50": resnet50,
    "vgg16": vgg16,
    "convnext": convnext,
    "vit_b16": vit_b16,
}

if __name__ == "__main__":
    main()

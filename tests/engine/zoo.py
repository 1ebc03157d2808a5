"""The families of small classifiers that the tests cut: how each is built, and what ddcam must find in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WIDTH, HEADS, PATCHES = 8, 2, 16
"""Channels or token width, attention heads, patches of a 16 x 16 picture."""


@dataclass(frozen=True)
class Family:
    """How a model is drawn (returns the tensor to split at), and what is to be found there."""

    draw: Callable[[Any], str]
    units: str
    count: int
    head: str
    fixed: tuple[int, ...] = ()
    grid: tuple[int, int] = (4, 4)


def plain(draft: Any) -> str:
    """Convolutions with batch norms, global pooling, one layer; in NHWC as Keras writes it."""
    x = stem(draft)
    x = draft.add("Relu", draft.batch_norm(draft.conv(x, WIDTH, WIDTH, 3), WIDTH), "features")
    return pooled(draft, x)


def hidden(draft: Any) -> str:
    """VGG: a pooled map, flattened, two layers with ReLU and dropout."""
    x = draft.add("Relu", draft.conv(stem(draft), WIDTH, WIDTH, 3))
    x = draft.add("MaxPool", x, "features", kernel_shape=[2, 2], strides=[2, 2])
    x = draft.add("Relu", draft.dense(draft.add("Flatten", x), 4 * WIDTH, 2 * WIDTH))
    draft.dense(draft.add("Dropout", x), 2 * WIDTH, 5, "logits")
    return "features"


def residual(draft: Any) -> str:
    """ResNet: the sum of a branch and what it branches from."""
    x = stem(draft)
    branch = draft.conv(draft.add("Relu", draft.conv(x, WIDTH, WIDTH, 3)), WIDTH, WIDTH, 3)
    x = draft.add("Relu", draft.add("Add", [branch, x]), "features")
    return pooled(draft, x)


def concatenated(draft: Any) -> str:
    """Inception and DenseNet: branches side by side."""
    x = stem(draft)
    left = draft.add("Relu", draft.conv(x, WIDTH, 3, 1))
    right = draft.add("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    x = draft.add("Concat", [x, left, right], "features", axis=1)
    return pooled(draft, x, 2 * WIDTH + 3)


def squeeze_excite(draft: Any) -> str:
    """MobileNetV3: channels weighed by a glance at all of them, HardSwish, a hidden layer after the pooling."""
    x = draft.hard_swish(draft.conv(stem(draft), WIDTH, WIDTH, 3, group=WIDTH))
    glance = draft.add("Relu", draft.conv(draft.add("GlobalAveragePool", x), WIDTH, 4, 1))
    gate = draft.add("HardSigmoid", draft.conv(glance, 4, WIDTH, 1), alpha=1 / 6)
    x = draft.hard_swish(draft.conv(draft.add("Mul", [x, gate]), WIDTH, WIDTH, 1), "features")
    x = draft.hard_swish(draft.conv(draft.add("GlobalAveragePool", x), WIDTH, 2 * WIDTH, 1))
    draft.dense(draft.add("Flatten", x), 2 * WIDTH, 5, "logits")
    return "features"


def convolutional(draft: Any) -> str:
    """SqueezeNet: the classes are channels of the last convolution."""
    draft.add("Relu", draft.conv(stem(draft), WIDTH, WIDTH, 3), "features")
    x = draft.add("Relu", draft.conv("features", WIDTH, 5, 1))
    draft.add("Flatten", draft.add("GlobalAveragePool", x), "logits")
    return "features"


def convnext(draft: Any) -> str:
    """ConvNeXt: blocks that work in NHWC, a layer norm after the pooling."""
    x = draft.conv(draft.picture(), 3, WIDTH, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    x = turned(draft, draft.norm(turned(draft, x, [0, 2, 3, 1]), WIDTH, 4), [0, 3, 1, 2])
    for name in ("first", "features"):
        y = turned(draft, draft.conv(x, WIDTH, WIDTH, 3, group=WIDTH), [0, 2, 3, 1])
        y = draft.gelu(draft.project(draft.norm(y, WIDTH, 4), WIDTH, 2 * WIDTH))
        y = draft.add("Mul", [draft.project(y, 2 * WIDTH, WIDTH), draft.weight(WIDTH, fan=4)])
        x = draft.add("Add", [x, turned(draft, y, [0, 3, 1, 2])], name)
    pooling = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    draft.dense(draft.norm(pooling, WIDTH, 2), WIDTH, 5, "logits")
    return "features"


def vit(draft: Any) -> str:
    """ViT that decides by a class token."""
    return transformer(draft, parameters=1)


def vit_registers(draft: Any) -> str:
    """ViT with a class token and two register tokens."""
    return transformer(draft, parameters=3)


def vit_mean(draft: Any) -> str:
    """ViT that decides by the mean of its tokens."""
    return transformer(draft, parameters=0)


def mixer(draft: Any) -> str:
    """MLP-Mixer: layers along the tokens and along the channels in turn."""
    x = patches(draft)
    for _ in range(2):
        y = turned(draft, draft.norm(x, WIDTH, 3), [0, 2, 1])
        y = draft.project(draft.gelu(draft.project(y, PATCHES, PATCHES)), PATCHES, PATCHES)
        x = draft.add("Add", [x, turned(draft, y, [0, 2, 1])])
        x = perceptron(draft, x)
    x = draft.norm(x, WIDTH, 3, "features")
    draft.dense(draft.reduce("ReduceMean", x, [1], keepdims=0), WIDTH, 5, "logits")
    return "features"


FAMILIES: dict[str, Family] = {
    "plain": Family(plain, "channel", WIDTH, "additive"),
    "hidden": Family(hidden, "channel", WIDTH, "interacting", grid=(2, 2)),
    "residual": Family(residual, "channel", WIDTH, "additive"),
    "concatenated": Family(concatenated, "channel", 2 * WIDTH + 3, "additive"),
    "squeeze_excite": Family(squeeze_excite, "channel", WIDTH, "interacting"),
    "convolutional": Family(convolutional, "channel", WIDTH, "interacting"),
    "convnext": Family(convnext, "channel", WIDTH, "interacting"),
    "vit": Family(vit, "token", PATCHES, "interacting", fixed=(0,)),
    "vit_registers": Family(vit_registers, "token", PATCHES, "interacting", fixed=(0, 1, 2)),
    "vit_mean": Family(vit_mean, "token", PATCHES, "interacting"),
    "mixer": Family(mixer, "token", PATCHES, "additive"),
}


# ----- parts -----


def stem(draft: Any) -> str:
    return draft.add("Relu", draft.conv(draft.picture(), 3, WIDTH, 5, strides=[4, 4]))


def pooled(draft: Any, x: str, width: int = WIDTH) -> str:
    """Pool a map and add the classifier layer; Keras turns the map to NHWC before that."""
    if draft.layout == "NHWC":
        last = draft.add("Transpose", x, "features.last", perm=[0, 2, 3, 1])
        draft.dense(draft.reduce("ReduceMean", last, [1, 2], keepdims=0), width, 5, "logits")
        return last
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), width, 5, "logits")
    return x


def turned(draft: Any, x: str, perm: list[int]) -> str:
    return draft.add("Transpose", x, perm=perm)


def patches(draft: Any) -> str:
    """Turn the picture into tokens `[N, 16, D]` with positions."""
    x = draft.conv(draft.picture(), 3, WIDTH, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    tokens = turned(draft, draft.reshape(x, [WIDTH, PATCHES]), [0, 2, 1])
    return draft.add("Add", [tokens, draft.weight(1, PATCHES, WIDTH, fan=8)])


def transformer(draft: Any, parameters: int) -> str:
    x = patches(draft)
    if parameters:
        x = draft.add("Concat", [draft.repeated(draft.weight(1, parameters, WIDTH)), x], axis=1)
    for name in ("features", ""):
        attended = attention(draft, draft.norm(x, WIDTH, 3), PATCHES + parameters)
        x = perceptron(draft, draft.add("Add", [x, attended]), name)
    x = draft.norm(x, WIDTH, 3)
    if parameters:
        seen = draft.add("Gather", [x, draft.constant(0)], axis=1)
    else:
        seen = draft.reduce("ReduceMean", x, [1], keepdims=0)
    draft.dense(seen, WIDTH, 5, "logits")
    return "features"


def perceptron(draft: Any, x: str, name: str = "") -> str:
    y = draft.gelu(draft.project(draft.norm(x, WIDTH, 3), WIDTH, 2 * WIDTH))
    return draft.add("Add", [x, draft.project(y, 2 * WIDTH, WIDTH)], name)


def attention(draft: Any, x: str, tokens: int) -> str:
    """Add softmax(q k^T / sqrt(d)) v over two heads; one operator from opset 23 on."""
    query, key, value = (draft.project(x, WIDTH, WIDTH) for _ in range(3))
    if draft.opset >= 23:
        mixed = draft.add("Attention", [query, key, value], q_num_heads=HEADS, kv_num_heads=HEADS)
        return draft.project(mixed, WIDTH, WIDTH)
    query, key, value = (
        turned(draft, draft.reshape(part, [tokens, HEADS, WIDTH // HEADS]), perm)
        for part, perm in ((query, [0, 2, 1, 3]), (key, [0, 2, 3, 1]), (value, [0, 2, 1, 3]))
    )
    similar = draft.add("Mul", [draft.add("MatMul", [query, key]), draft.constant((WIDTH / HEADS) ** -0.5)])
    weights = draft.add("Softmax", similar, axis=3)
    mixed = turned(draft, draft.add("MatMul", [weights, value]), [0, 2, 1, 3])
    return draft.project(draft.reshape(mixed, [tokens, WIDTH]), WIDTH, WIDTH)

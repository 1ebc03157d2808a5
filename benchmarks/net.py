"""A graph with random weights under construction: each layer is run at once, to scale it so that nothing dies."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Reals = NDArray[np.float32]
OPSET, IR = 17, 8
PICTURES = 6


class Net:
    """A graph under construction; the values on a few random pictures are known at once, to scale the weights by."""

    def __init__(self, seed: int, side: int = 224) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, NDArray[Any]] = {}
        self.values: dict[str, NDArray[Any]] = {"input": dead_leaves(self.random, side)}

    def node(self, op: str, inputs: str | Sequence[str], **attributes: Any) -> str:
        """Add a node, run it, return the name of its output."""
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        made = helper.make_node(op, names, [f"{op}_{len(self.nodes)}"], **attributes)
        self.nodes.append(made)
        self.values[made.output[0]] = run(made, [self[name] for name in names])
        return made.output[0]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.weights[name] if name in self.weights else self.values[name]

    def weight(self, value: Any) -> str:
        array = np.asarray(value)
        name = f"w{len(self.weights)}"
        self.weights[name] = array.astype(np.float32) if array.dtype.kind == "f" else array
        return name

    def normal(self, *shape: int) -> Reals:
        return self.random.standard_normal(shape, np.float32)

    def forget(self, *kept: str) -> None:
        """Drop the values that no later node reads."""
        self.values = {name: self.values[name] for name in ("input", *kept)}

    def proto(self) -> onnx.ModelProto:
        """Return the model; its last node makes the logits."""
        shapes = self.values["input"].shape, self.values[self.nodes[-1].output[0]].shape
        self.nodes[-1].output[0] = "logits"
        ends = [(name, ["batch", *shape[1:]]) for name, shape in zip(("input", "logits"), shapes, strict=True)]
        first, last = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in ends)
        tensors = [numpy_helper.from_array(value, name) for name, value in self.weights.items()]
        graph = helper.make_graph(self.nodes, "shape", [first], [last], tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def run(node: onnx.NodeProto, inputs: list[NDArray[Any]]) -> NDArray[Any]:
    """Run one node, all of whose inputs are fed."""
    fed = dict(zip(node.input, inputs, strict=True))
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in fed.items()
    ]
    graph = helper.make_graph([node], "one", declared, [onnx.ValueInfoProto(name=node.output[0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    value: NDArray[Any] = session.run(None, fed)[0]
    return value


def dead_leaves(random: np.random.Generator, side: int) -> Reals:
    """Return pictures `[PICTURES, 3, side, side]` of discs that hide each other, of mean 0 and unit spread.

    Edges and sizes are distributed as in photographs, so that weights scaled on them suit photographs.
    """
    rows, columns = np.mgrid[:side, :side]
    pictures = np.zeros((PICTURES, 3, side, side), np.float32)
    for picture in pictures:
        for radius in np.sort(side / 2 / random.uniform(1, 30, 400))[::-1]:
            row, column = random.uniform(0, side, 2)
            inside = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
            picture[:, inside] = random.normal(random.normal(0, 1), 0.4, (3, 1))
    return pictures


# ----- layers -----


def convolution(net: Net, x: str, channels: int, size: int, *, stride: int = 1, group: int = 1) -> str:
    """Add a convolution whose batch norm is folded: every output channel has mean 0 and spread 1."""
    raw = net.normal(channels, net[x].shape[1] // group, size, size)
    options = dict(dilations=[1, 1], group=group, kernel_shape=[size] * 2, pads=[size // 2] * 4, strides=[stride] * 2)
    given = run(helper.make_node("Conv", ["x", "w"], ["y"], **options), [net[x], raw])
    scale = 1 / (given.std(axis=(0, 2, 3)) + 1e-3)
    bias = -given.mean(axis=(0, 2, 3)) * scale
    return net.node("Conv", [x, net.weight(raw * scale[:, None, None, None]), net.weight(bias)], **options)


def patches(net: Net, x: str, channels: int, size: int) -> str:
    """Add a convolution whose windows do not overlap."""
    depth = net[x].shape[1]
    kernel = net.normal(channels, depth, size, size) / np.float32(size * math.sqrt(depth))
    options = dict(dilations=[1, 1], group=1, kernel_shape=[size] * 2, pads=[0] * 4, strides=[size] * 2)
    return net.node("Conv", [x, net.weight(kernel), net.weight(0.1 * net.normal(channels))], **options)


def gemm(net: Net, x: str, width: int, gain: float = 1) -> str:
    """Add a linear layer on one row a picture."""
    matrix, bias = linear_weights(net, x, width, gain)
    return net.node("Gemm", [x, net.weight(matrix.T), net.weight(bias)], alpha=1.0, beta=1.0, transB=1)


def dense(net: Net, x: str, width: int, gain: float = 1) -> str:
    """Add a linear layer along the last axis."""
    matrix, bias = linear_weights(net, x, width, gain)
    return net.node("Add", [net.weight(bias), net.node("MatMul", [x, net.weight(matrix)])])


def linear_weights(net: Net, x: str, width: int, gain: float) -> tuple[Reals, Reals]:
    """Return matrix and bias that give outputs of about mean 0 and spread `gain`.

    They do not see what all rows have in common, as trained ones would not: else one class wins for every picture,
    and every token has the same key.
    """
    rows = net[x].reshape(-1, net[x].shape[-1])
    common = rows.mean(axis=0)
    matrix = net.normal(len(common), width)
    matrix -= np.outer(common, common @ matrix) / (common @ common)
    return matrix * (gain / (rows @ matrix).std()), 0.1 * gain * net.normal(width)


def layer_norm(net: Net, x: str) -> str:
    width = net[x].shape[-1]
    parameters = 1 + 0.1 * net.normal(width), 0.1 * net.normal(width)
    return net.node("LayerNormalization", [x, *map(net.weight, parameters)], axis=-1, epsilon=1e-6)


def gelu(net: Net, x: str) -> str:
    """Add x * (erf(x / sqrt 2) + 1) / 2, which is a Gelu before opset 20."""
    erf = net.node("Erf", net.node("Div", [x, net.weight(np.float32(math.sqrt(2)))]))
    product = net.node("Mul", [x, net.node("Add", [erf, net.weight(np.float32(1))])])
    return net.node("Mul", [product, net.weight(np.float32(0.5))])


def mlp(net: Net, x: str, width: int, gain: float = 1) -> str:
    return dense(net, gelu(net, dense(net, x, 4 * width)), width, gain)


def permuted(net: Net, x: str, *order: int) -> str:
    return net.node("Transpose", x, perm=order)

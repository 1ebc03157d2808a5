"""Writes small ONNX graphs for the tests, with the operators that each opset has."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

CLASSES = 5
SIDE = 16


class Draft:
    """A graph with random weights on its way; `batch` is a name (free) or 1 (fixed)."""

    def __init__(
        self, opset: int = 17, *, layout: str = "NCHW", batch: str | int = "N", dtype: str = "float32", seed: int = 0
    ) -> None:
        self.opset, self.layout, self.batch, self.dtype = opset, layout, batch, dtype
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op_type: str, inputs: Sequence[str] | str, name: str = "", **attributes: Any) -> str:
        name = name or f"{op_type}_{len(self.nodes)}"
        names = [inputs] if isinstance(inputs, str) else list(inputs)
        self.nodes.append(helper.make_node(op_type, names, [name], name=f"node {name}", **attributes))
        return name

    def constant(self, value: Any) -> str:
        array = np.asarray(value)
        array = array.astype(self.dtype) if array.dtype.kind == "f" else array
        self.tensors.append(numpy_helper.from_array(array, f"c{len(self.tensors)}"))
        return self.tensors[-1].name

    def weight(self, *shape: int, fan: int = 1) -> str:
        return self.constant(self.random.normal(0, math.sqrt(2 / fan), shape))

    def picture(self) -> str:
        """Return the input as NCHW."""
        return "picture" if self.layout == "NCHW" else self.add("Transpose", "picture", perm=[0, 3, 1, 2])

    # ----- layers -----

    def conv(self, x: str, before: int, after: int, size: int, **attributes: Any) -> str:
        group = attributes.get("group", 1)
        kernel = self.weight(after, before // group, size, size, fan=size * size * before // group)
        pads = attributes.pop("pads", [size // 2] * 4)
        return self.add("Conv", [x, kernel, self.weight(after, fan=20)], pads=pads, **attributes)

    def batch_norm(self, x: str, width: int) -> str:
        values = [self.random.uniform(0.5, 1.5, width), *self.random.normal(0, 0.2, (2, width))]
        parameters = [self.constant(value) for value in (*values, self.random.uniform(0.5, 1.5, width))]
        return self.add("BatchNormalization", [x, *parameters])

    def dense(self, x: str, before: int, after: int, name: str = "") -> str:
        weight = self.weight(after, before, fan=before)
        return self.add("Gemm", [x, weight, self.weight(after, fan=20)], name, transB=1)

    def project(self, x: str, before: int, after: int) -> str:
        """Add `x W + b` along the last axis."""
        product = self.add("MatMul", [x, self.weight(before, after, fan=2 * before)])
        return self.add("Add", [product, self.weight(after, fan=20)])

    def norm(self, x: str, width: int, rank: int, name: str = "") -> str:
        """Add a LayerNormalization over the last axis, written out where the opset has none."""
        scale, bias = self.constant(self.random.uniform(0.5, 1.5, width)), self.weight(width, fan=20)
        if self.opset >= 17:
            return self.add("LayerNormalization", [x, scale, bias], name, axis=-1)
        centred = self.add("Sub", [x, self.reduce("ReduceMean", x, [rank - 1])])
        variance = self.reduce("ReduceMean", self.add("Mul", [centred, centred]), [rank - 1])
        deviation = self.add("Sqrt", self.add("Add", [variance, self.constant(1e-5)]))
        scaled = self.add("Mul", [self.add("Div", [centred, deviation]), scale])
        return self.add("Add", [scaled, bias], name)

    # ----- operators that changed -----

    def reduce(self, op_type: str, x: str, axes: list[int], keepdims: int = 1) -> str:
        if self.opset >= (13 if op_type == "ReduceSum" else 18):
            return self.add(op_type, [x, self.constant(np.array(axes))], keepdims=keepdims)
        return self.add(op_type, x, axes=axes, keepdims=keepdims)

    def unsqueeze(self, x: str, axes: list[int]) -> str:
        if self.opset >= 13:
            return self.add("Unsqueeze", [x, self.constant(np.array(axes))])
        return self.add("Unsqueeze", x, axes=axes)

    def reshape(self, x: str, sizes: Sequence[int], name: str = "") -> str:
        """Reshape to `[batch, *sizes]`; a fixed batch is written into the file, as exporters do."""
        first = 0 if isinstance(self.batch, str) else self.batch
        return self.add("Reshape", [x, self.constant(np.array([first, *sizes]))], name)

    def repeated(self, token: str) -> str:
        """Repeat `[1, t, D]` for each picture."""
        if not isinstance(self.batch, str):
            return token
        count = self.add("Gather", [self.add("Shape", "picture"), self.constant(np.array(0))], axis=0)
        sizes = self.add("Concat", [self.unsqueeze(count, [0]), self.constant(np.array([1, 1]))], axis=0)
        return self.add("Expand" if self.opset >= 8 else "Tile", [token, sizes])

    def gelu(self, x: str) -> str:
        if self.opset >= 20:
            return self.add("Gelu", x)
        if self.opset < 9:
            return self.add("Mul", [x, self.add("Sigmoid", self.add("Mul", [x, self.constant(1.702)]))])
        error = self.add("Erf", self.add("Div", [x, self.constant(math.sqrt(2))]))
        gate = self.add("Mul", [self.add("Add", [error, self.constant(1.0)]), self.constant(0.5)])
        return self.add("Mul", [x, gate])

    def hard_swish(self, x: str, name: str = "") -> str:
        if self.opset >= 14:
            return self.add("HardSwish", x, name)
        return self.add("Mul", [x, self.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)], name)

    def end(self, ending: str) -> str:
        """Add what follows the tensor `logits` `[N, classes]` and return the model's output."""
        if ending in ("Softmax", "LogSoftmax"):
            return self.add(ending, "logits", "output", axis=1)
        if ending == "Sigmoid":
            return self.add(ending, "logits", "output")
        if ending == "none":
            return "logits"
        top = self.reduce("ReduceMax", "logits", [1])
        odds = self.add("Exp", self.add("Sub", ["logits", top]) if ending == "shifted exp / sum" else "logits")
        return self.add("Div", [odds, self.reduce("ReduceSum", odds, [1])], "output")

    def model(self, output: str, shape: Sequence[int | str] = ("N", CLASSES)) -> onnx.ModelProto:
        """Make the model; before IR 4 (opset 8 and older here) the weights are listed as inputs too."""
        element = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        sizes = [self.batch, 3, SIDE, SIDE] if self.layout == "NCHW" else [self.batch, SIDE, SIDE, 3]
        inputs = [helper.make_tensor_value_info("picture", element, sizes)]
        if self.opset <= 8:
            inputs += [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in self.tensors]
        outputs = [helper.make_tensor_value_info(output, element, [self.batch, *shape[1:]])]
        graph = helper.make_graph(self.nodes, "zoo", inputs, outputs, self.tensors)
        version = 3 if self.opset <= 8 else 8 if self.opset < 21 else 10
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=version)

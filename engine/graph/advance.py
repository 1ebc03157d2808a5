"""How far the units stay apart: the last tensor behind the split that every unit reaches on its own.

Up to there a unit that is kept and a unit that is removed can be computed once each, and a probe only selects.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import onnx

from ..types import Split, Value
from .walk import axes_given, initializers, integer, integers, path_nodes, reads

ELEMENTWISE = frozenset(
    {"Identity", "Dropout", "Relu", "LeakyRelu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf"}
    | {"Gelu", "Elu", "Selu", "Celu", "Softplus", "Neg", "Abs", "Sqrt", "Exp", "Mish", "Swish", "Cast"}
    | {"Add", "Sub", "Mul", "Div", "Pow", "BatchNormalization", "QuantizeLinear", "DequantizeLinear"}
)
"""Operators that treat every element, or every channel, on its own when their other operands are constant."""
POOLING = frozenset({"GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool"})
REDUCING = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"})
RESHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
FLOATS = frozenset({"float32", "float16", "float64"})

Rule = Callable[[onnx.GraphProto, onnx.NodeProto, int, tuple[int, ...], tuple[int, ...]], int | None]
"""Graph, node, axis of the units, shapes before and after -> the axis of the units after, or None."""


def advance(graph: onnx.GraphProto, split: Split, logits: str, values: Mapping[str, Value]) -> Split:
    """Return the split moved to the last float tensor up to which units do not meet; itself where there is none."""
    if split.units == "cell":
        return split
    reached, name, axis = split, split.tensor, split.unit_axis
    path = path_nodes(graph, split.tensor, logits)
    for node in path:
        readers = [other for other in path if name in reads(other)]
        if readers != [node] or node.output[0] not in values or name == logits:
            break
        value = values[node.output[0]]
        moved = axis_after(graph, node, axis, values[name].shape, value.shape)
        if moved is None or (node.input[0] != name and node.op_type not in ELEMENTWISE):
            break
        name, axis = node.output[0], moved
        if value.dtype in FLOATS:
            reached = replace(split, tensor=name, dtype=value.dtype, shape=value.shape, unit_axis=axis)
    return reached


def axis_after(
    graph: onnx.GraphProto, node: onnx.NodeProto, axis: int, before: tuple[int, ...], after: tuple[int, ...]
) -> int | None:
    """Return where the axis of the units is behind a node that keeps them apart, or None where it does not."""
    for kinds, rule in RULES:
        if node.op_type in kinds:
            return rule(graph, node, axis, before, after)
    return None


def same(
    _: onnx.GraphProto, __: onnx.NodeProto, axis: int, before: tuple[int, ...], after: tuple[int, ...]
) -> int | None:
    return axis if before == after else None


def pooled(_: onnx.GraphProto, __: onnx.NodeProto, axis: int, *___: tuple[int, ...]) -> int | None:
    return axis if axis == 1 else None


def reduced(
    graph: onnx.GraphProto, node: onnx.NodeProto, axis: int, before: tuple[int, ...], _: tuple[int, ...]
) -> int | None:
    gone = {a % len(before) for a in axes_given(node, initializers(graph))}
    if not gone or axis in gone:
        return None
    return axis if integer(node, "keepdims", 1) else axis - sum(a < axis for a in gone)


def permuted(_: onnx.GraphProto, node: onnx.NodeProto, axis: int, *__: tuple[int, ...]) -> int | None:
    order = integers(node, "perm")
    return order.index(axis) if order else None


def regrouped(
    _: onnx.GraphProto, __: onnx.NodeProto, axis: int, before: tuple[int, ...], after: tuple[int, ...]
) -> int | None:
    """Allow a change of shape only where there is one number a unit: then the one long axis is that of the units."""
    count = before[axis]
    if int(np.prod(before)) != count or count == 1 or list(after).count(count) != 1 or after[0] != 1:
        return None
    return after.index(count)


def normalised(
    _: onnx.GraphProto, node: onnx.NodeProto, axis: int, before: tuple[int, ...], __: tuple[int, ...]
) -> int | None:
    return axis if axis < integer(node, "axis", -1) % len(before) else None


def projected(
    graph: onnx.GraphProto, node: onnx.NodeProto, axis: int, before: tuple[int, ...], after: tuple[int, ...]
) -> int | None:
    """Allow a product along the last axis with a constant matrix, where the units lie on another axis."""
    weight = initializers(graph).get(node.input[1])
    apart = axis < len(before) - 1 and len(before) == len(after)
    return axis if weight is not None and len(weight.dims) == 2 and apart else None


RULES: list[tuple[frozenset[str], Rule]] = [
    (ELEMENTWISE, same),
    (POOLING, pooled),
    (REDUCING, reduced),
    (frozenset({"Transpose"}), permuted),
    (RESHAPING, regrouped),
    (frozenset({"LayerNormalization"}), normalised),
    (frozenset({"MatMul"}), projected),
]

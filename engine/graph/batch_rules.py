"""What frees the batch of each operator: a function says where the batch goes next and appends the node.

A node is changed only where it names the size of the batch; an operator that is not here is refused.
"""

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import onnx

from .batch_work import (
    Place,
    Work,
    agreed,
    aligned,
    axes_of,
    clear_of,
    operands,
    refusal,
    repeated,
    single,
    sizes_with_batch,
    stretched,
)
from .walk import attribute, integer, integers

Rule = Callable[[Work, onnx.NodeProto], Place]
"""Appends a node, rewritten where it must be, and returns the place of the batch in its outputs."""
RULES: dict[str, Rule] = {}
"""What frees each operator; one that is not here is refused."""


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(op_types, function))
        return function

    return register


# ----- The batch stays where it is -----


@rule("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu", "Clip")
@rule("Cos", "Cosh", "DequantizeLinear", "Dropout", "DynamicQuantizeLinear", "Elu", "Erf", "Exp", "Floor")
@rule("HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not")
@rule("QuantizeLinear", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh")
@rule("Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu")
@rule("BiasGelu", "FastGelu", "Gelu", "QLinearLeakyRelu", "QLinearSigmoid", "QuickGelu")
def same(work: Work, node: onnx.NodeProto) -> Place:
    return work.keep(node, single(work, node))


@rule("AveragePool", "BatchNormalization", "Conv", "ConvInteger", "ConvTranspose", "DepthToSpace", "FusedConv")
@rule("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GroupNormalization", "InstanceNormalization", "LRN")
@rule("LpPool", "MaxPool", "QLinearAveragePool", "QLinearConv", "QLinearGlobalAveragePool", "SpaceToDepth")
def samples(work: Work, node: onnx.NodeProto) -> Place:
    """Operators that treat each index of axis 0 alone."""
    return work.keep(node, clear_of(work, node, range(1, work.rank(node.input[0]))))


@rule("Attention", "MultiHeadAttention", "SkipLayerNormalization")
def together(work: Work, node: onnx.NodeProto) -> Place:
    """Operators with several inputs that all have the batch on axis 0."""
    place = agreed(work, node, dict.fromkeys(filter(None, node.input), 0))
    if place.axis != 0:
        raise refusal(node, f"it needs the batch on axis 0, it is on axis {place.axis}")
    return work.keep(node, place)


@rule("LpNormalization", "QLinearSoftmax", "Split", "TopK")
def along_axis(work: Work, node: onnx.NodeProto) -> Place:
    axis = integer(node, "axis", 0 if node.op_type == "Split" else -1)
    return work.keep(node, clear_of(work, node, [axis % work.rank(node.input[0])]))


@rule("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def from_axis(work: Work, node: onnx.NodeProto) -> Place:
    rank = work.rank(node.input[0])
    return work.keep(node, clear_of(work, node, range(integer(node, "axis", -1) % rank, rank)))


@rule("Hardmax", "LogSoftmax", "Softmax")
def softmax(work: Work, node: onnx.NodeProto) -> Place:
    """Before opset 13, softmax flattens everything from its axis on."""
    if work.opset >= 13:
        return along_axis(work, node)
    rank = work.rank(node.input[0])
    return work.keep(node, clear_of(work, node, range(integer(node, "axis", 1) % rank, rank)))


@rule("Pad", "Tile", "Upsample")
def unresized(work: Work, node: onnx.NodeProto) -> Place:
    """Operators that must leave the axis of the batch as long as it is."""
    place = single(work, node)
    if work.shape(node.output[0])[place.axis] != work.steps(node.input[0]):
        raise refusal(node, f"it changes the size of axis {place.axis}, where the batch is")
    return work.keep(node, place)


@rule("Resize")
def resized(work: Work, node: onnx.NodeProto) -> Place:
    """Resize to fixed sizes gets those sizes with the batch among them."""
    place, out = single(work, node), work.shape(node.output[0])
    axes = [axis % len(out) for axis in integers(node, "axes")] or list(range(len(out)))
    if not any(node.input[3:]) or place.axis not in axes:
        return unresized(work, node)
    if out[place.axis] != 1 or work.steps(node.input[0]) != 1:
        raise refusal(node, f"it resizes axis {place.axis}, where the batch is")
    sizes = sizes_with_batch(work, [out[axis] for axis in axes], axes.index(place.axis))
    return work.keep(node, place, {node.input[3]: sizes})


@rule("Slice")
def cut(work: Work, node: onnx.NodeProto) -> Place:
    """Slice loses what it says of the axis of the batch, which it must leave as long as it is."""
    place, data = single(work, node), node.input[0]
    count = len(integers(node, "starts")) or work.shape(node.input[1])[0]
    axes = axes_of(work, node, 3, work.rank(data)) or list(range(count))
    rest = [i for i, axis in enumerate(axes) if axis != place.axis]
    if len(rest) == len(axes):
        return work.keep(node, place)
    if work.shape(node.output[0])[place.axis] != work.steps(data):
        raise refusal(node, f"it cuts axis {place.axis}, where the batch is")
    if not rest:
        work.replace(node, "Identity", [data])
    elif work.opset < 10:
        starts, ends = ([integers(node, name)[i] for i in rest] for name in ("starts", "ends"))
        work.replace(node, "Slice", [data], starts=starts, ends=ends, axes=[axes[i] for i in rest])
    else:
        picked = {i: entries(work, name, rest) for i, name in enumerate(node.input) if i in (1, 2, 4) and name}
        left = work.integers(axes[i] for i in rest)
        work.replace(node, "Slice", [data, picked[1], picked[2], left, picked.get(4, "")])
    return place


def entries(work: Work, name: str, kept: list[int]) -> str:
    """Pick entries of a vector; as int64, because all parameters of a Slice must have one type."""
    picked = work.add("Gather", (name, work.integers(kept)), axis=0)
    return work.add("Cast", (picked,), to=onnx.TensorProto.INT64)


# ----- The batch moves with its axis -----


@rule("Transpose")
def permuted(work: Work, node: onnx.NodeProto) -> Place:
    place = single(work, node)
    order = integers(node, "perm") or list(range(work.rank(node.input[0])))[::-1]
    return work.keep(node, Place(order.index(place.axis), place.inner))


@rule("Unsqueeze")
def unsqueezed(work: Work, node: onnx.NodeProto) -> Place:
    place, rank = single(work, node), work.rank(node.output[0])
    if work.steps(node.input[0]) > 1:
        return regrouped(work, node)
    new = axes_of(work, node, 1, rank)
    return work.keep(node, Place([axis for axis in range(rank) if axis not in new][place.axis], place.inner))


@rule("Squeeze")
def squeezed(work: Work, node: onnx.NodeProto) -> Place:
    place, shape = single(work, node), work.shape(node.input[0])
    axes = axes_of(work, node, 1, len(shape)) or [axis for axis, size in enumerate(shape) if size == 1]
    return regrouped(work, node) if place.axis in axes else work.keep(node, without(place, axes))


def without(place: Place, axes: Iterable[int]) -> Place:
    return Place(place.axis - sum(axis < place.axis for axis in axes), place.inner)


@rule("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin")
@rule("ReduceProd", "ReduceSum", "ReduceSumSquare")
def reduced(work: Work, node: onnx.NodeProto) -> Place:
    rank = work.rank(node.input[0])
    axes = axes_of(work, node, 1, rank)
    if not axes and integer(node, "noop_with_empty_axes", 0):
        return same(work, node)
    return reduced_by(work, node, axes or list(range(rank)))


@rule("ArgMax", "ArgMin")
def arg_reduced(work: Work, node: onnx.NodeProto) -> Place:
    return reduced_by(work, node, [integer(node, "axis", 0) % work.rank(node.input[0])])


def reduced_by(work: Work, node: onnx.NodeProto, axes: list[int]) -> Place:
    place = clear_of(work, node, axes)
    return work.keep(node, place if integer(node, "keepdims", 1) else without(place, axes))


@rule("Gather")
def gathered(work: Work, node: onnx.NodeProto) -> Place:
    data, index = node.input
    axis = integer(node, "axis", 0) % work.rank(data)
    if data in work.places and index in work.places:
        raise refusal(node, "both its data and its indices depend on the input")
    if index in work.places:
        place = work.places[index]
        return work.keep(node, Place(axis + place.axis, place.inner))
    place = work.places[data]
    if place.axis == axis:
        return gathered_in_each_sample(work, node, axis)
    more = work.rank(index) - 1
    return work.keep(node, Place(place.axis + more * (place.axis > axis), place.inner))


def gathered_in_each_sample(work: Work, node: onnx.NodeProto, axis: int) -> Place:
    """A table of positions in a flattened tensor (what as_strided exports to) counts in each sample."""
    data, index = node.input
    shape, size = work.shape(data), work.steps(data)
    if work.places[data].inner != size:
        raise refusal(node, f"it picks along axis {axis}, where the batch is")
    apart = work.add("Reshape", (data, work.integers((*shape[:axis], -1, size, *shape[axis + 1 :]))))
    picked = work.add("Gather", (apart, index), axis=axis + 1)
    return regroup(work, node, picked, lodging(work, node, prod(work.shape(node.output[0])[axis:])))


# ----- The batch moves by its stride -----


@rule("Flatten", "Reshape")
def regrouped(work: Work, node: onnx.NodeProto) -> Place:
    """Reshape and its kin: of the output, the axis that has the batch's stride takes what is left (-1)."""
    place, source = single(work, node), node.input[0]
    shape, stride = work.shape(source), work.stride(source)
    ones_before = sum(shape[i] == 1 and prod(shape[i + 1 :]) == stride for i in range(place.axis))
    return regroup(work, node, source, lodging(work, node, stride, ones_before))


def regroup(work: Work, node: onnx.NodeProto, source: str, place: Place) -> Place:
    sizes = list(work.shape(node.output[0]))
    sizes[place.axis] = -1
    work.replace(node, "Reshape", [source, work.integers(sizes)])
    return place


def lodging(work: Work, node: onnx.NodeProto, stride: int, ones_before: int = 0) -> Place:
    """Find the axis of a node's output that can hold the batch at this stride of the flat order.

    Best one of its own, with as many such axes before it as in the input; then one that the batch leads
    (heads, windows), but not the last, which a product may sum over; then one where it comes later (positions).
    """
    shape = work.shape(node.output[0])
    after = [max(1, prod(shape[axis + 1 :])) for axis in range(len(shape))]
    inner = [stride // step for step in after]
    fits = [i for i, n in enumerate(inner) if n and n * after[i] == stride and shape[i] % n == 0]
    own = [i for i in fits if shape[i] == 1]
    led = [i for i in fits if shape[i] == inner[i] > 1 and i < len(shape) - 1]
    choice = [*own[ones_before:], *own[::-1], *led, *fits]
    if not choice:
        raise refusal(node, "no axis of its output can hold the batch")
    return Place(choice[0], inner[choice[0]])


# ----- Several operands -----


@rule("Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater")
@rule("GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow")
@rule("QLinearAdd", "QLinearMul", "Sub", "Sum", "Where", "Xor")
def broadcast(work: Work, node: onnx.NodeProto) -> Place:
    shifts = aligned(work, operands(node), work.rank(node.output[0]))
    place = agreed(work, node, shifts)
    return work.keep(node, place, stretched(work, node, shifts, place))


@rule("Concat", "GatherElements", "QLinearConcat", "ScatterElements")
def side_by_side(work: Work, node: onnx.NodeProto) -> Place:
    """Operators whose inputs must all be as long as the batch: constants (a class token) are repeated."""
    names, axis = operands(node), integer(node, "axis", 0) % work.rank(node.output[0])
    place = agreed(work, node, dict.fromkeys(names, 0))
    if axis == place.axis:
        raise refusal(node, f"it works along axis {axis}, where the batch is")
    fixed = dict.fromkeys(name for name in names if name not in work.places)
    return work.keep(node, place, {name: repeated(work, node, name, place) for name in fixed})


@rule("Expand")
def expanded(work: Work, node: onnx.NodeProto) -> Place:
    """Expand to fixed sizes asks for 1 along the batch, which keeps any."""
    place, sizes = single(work, node), list(work.shape(node.output[0]))
    axis = place.axis + len(sizes) - work.rank(node.input[0])
    if sizes[axis] != work.steps(node.input[0]):
        raise refusal(node, f"it repeats axis {axis}, where the batch is")
    sizes[axis] = 1
    work.replace(node, "Expand", [node.input[0], work.integers(sizes)])
    return Place(axis, place.inner)


@rule("MatMul", "MatMulInteger", "QLinearMatMul")
def multiplied(work: Work, node: onnx.NodeProto) -> Place:
    """The batch may lie in the leading axes, in the rows of the left or in the columns of the right."""
    left, right = operands(node)[:2]
    rank = max(2, work.rank(left), work.rank(right))
    shifts, rows, columns = aligned(work, (left, right), rank), rank - 2, rank - 1
    place = agreed(work, node, shifts)
    summed = {(left, columns), (right, columns if work.rank(right) == 1 else rows)}
    if any(name in work.places and axis == place.axis for name, axis in summed):
        raise refusal(node, f"it sums over axis {place.axis}, where the batch is")
    renamed = stretched(work, node, shifts, place) if place.axis < rows else {}
    return work.keep(node, without(place, [rows] if work.rank(left) == 1 else []), renamed)


@rule("Gemm", "QGemm")
def gemm(work: Work, node: onnx.NodeProto) -> Place:
    left, right, *bias = operands(node)
    row, column = integer(node, "transA", 0), 1 - integer(node, "transB", 0)
    if any(name in work.places and work.places[name].axis != axis for name, axis in ((left, row), (right, column))):
        raise refusal(node, "it sums over the batch")
    biases = aligned(work, bias, 2)
    place = agreed(work, node, {left: -row, right: 1 - column, **biases})
    return work.keep(node, place, stretched(work, node, biases, place))


@rule("Einsum")
def einsum(work: Work, node: onnx.NodeProto) -> Place:
    """The batch must be one letter, on both sides of the arrow."""
    equation: Any = attribute(node, "equation")
    *terms, result = equation.decode().replace(" ", "").replace("->", ",").split(",")
    if len(terms) != len(node.input) or b"..." in equation:
        raise refusal(node, "its equation does not name every axis")
    named = list(zip(node.input, terms, strict=True))
    letter, *others = {term[work.places[name].axis] for name, term in named if name in work.places}
    if others or letter not in result:
        raise refusal(node, "it sums over the batch")
    shifts = {name: -term.index(letter) for name, term in named if letter in term}
    place = agreed(work, node, shifts)
    return work.keep(node, Place(result.index(letter), place.inner), stretched(work, node, shifts, place))

"""Free a batch that a file fixes to 1: follow it through the graph and rewrite every node that pins it.

Each tensor that depends on the input has a place of the batch: an axis, and how many steps of that axis lie
inside one sample. A rule for each operator says where the batch goes next and appends the node, changed only
where it names the size of the batch. Whatever is computed from a shape keeps its value of batch 1.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import ModelError
from .walk import SHAPE_READERS, attribute, reads, subgraphs

Shape = tuple[int, ...]
SYMBOL = "batch"
"""Name of the free dimension of inputs and outputs."""


class BatchError(ModelError):
    """A node cannot be rewritten for a free batch."""


@dataclass(frozen=True)
class Place:
    """Where the batch lies: index on `axis` = (outer index * batch + sample) * inner + inner index."""

    axis: int
    inner: int = 1


def free_batch(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """Return a copy of a model whose input's axis 0, and all that follows from it, takes any batch.

    `shapes` are those of every tensor at batch 1; all sizes but the batch become fixed to them. A batch of n
    gives what n runs of one sample give, unless an operator mixes samples (DynamicQuantizeLinear): compare
    before use. Raises BatchError naming the node that cannot be rewritten. Cost: a copy; nothing is run.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    work = begin(model, input_name, shapes)
    for node in model.graph.node:
        visit(work, node)
    del freed.graph.node[:], freed.graph.value_info[:]
    freed.graph.node.extend(batch_count(work, input_name) + work.nodes)
    for value in (*freed.graph.input, *freed.graph.output):
        if value.name in work.places:
            declare(value, work.shape(value.name), work.places[value.name])
    return freed


@dataclass
class Work:
    """What is known while the walk goes from the input to the outputs; `nodes` is the new graph so far."""

    shapes: Mapping[str, Shape]
    constants: dict[str, onnx.TensorProto]
    opset: int
    prefix: str
    places: dict[str, Place] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    @property
    def batch(self) -> str:
        """Name of the tensor int64 `[1]` that holds the batch."""
        return f"{self.prefix}_count"

    def shape(self, name: str) -> Shape:
        if name in self.constants:
            return tuple(self.constants[name].dims)
        if name not in self.shapes:
            raise BatchError(f"cannot free the batch: no shape of {name!r} was measured; expose it and run again")
        return tuple(self.shapes[name])

    def rank(self, name: str) -> int:
        return len(self.shape(name))

    def steps(self, name: str) -> int:
        """Return the size at batch 1 of the axis that holds the batch."""
        return self.shape(name)[self.places[name].axis]

    def stride(self, name: str) -> int:
        """Return how many elements lie between one sample and the next."""
        place = self.places[name]
        return place.inner * prod(self.shape(name)[place.axis + 1 :])

    def add(self, op_type: str, inputs: Iterable[str], **attributes: Any) -> str:
        """Append a new node and return the name of its output."""
        name = f"{self.prefix}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name=name, **attributes))
        return name

    def integers(self, values: Iterable[int]) -> str:
        # A Constant node, because before IR 4 an initializer must be listed among the graph's inputs as well.
        return self.add("Constant", (), value=vector(values))

    def keep(self, node: onnx.NodeProto, place: Place, renamed: Mapping[str, str] | None = None) -> Place:
        """Append a node of the model, some of its inputs renamed."""
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [(renamed or {}).get(name, name) for name in node.input]
        self.nodes.append(kept)
        return place

    def replace(self, node: onnx.NodeProto, op_type: str, inputs: Iterable[str], **attributes: Any) -> None:
        """Append another operator under the name and with the outputs of a node of the model."""
        new = helper.make_node(op_type, list(inputs), list(node.output), name=node.name, **attributes)
        self.nodes.append(new)


def vector(values: Iterable[int]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(list(values), np.int64))


def begin(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> Work:
    graph, prefix = model.graph, "free_batch"
    names = {name for node in graph.node for name in node.output} | {i.name for i in graph.initializer}
    while any(name.startswith(prefix) for name in names):
        prefix += "_again"
    constants = {i.name: i for i in graph.initializer} | dict(constant_nodes(graph.node))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    work = Work(shapes, constants, opset, prefix)
    if work.shape(input_name)[:1] != (1,):
        raise BatchError(
            f"cannot free the batch: {input_name!r} must be [1, ...], it is {list(work.shape(input_name))}; "
            "give the shapes of a run with one sample"
        )
    work.places[input_name] = Place(0)
    return work


def constant_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            yield node.output[0], value
        elif node.op_type == "Constant" and integers(node, "value_ints"):
            yield node.output[0], vector(integers(node, "value_ints"))


def visit(work: Work, node: onnx.NodeProto) -> None:
    """Append a node to the new graph: as its rule says, or as it is where it does not depend on the input."""
    if node.op_type in SHAPE_READERS and node.input[0] in work.places:
        work.nodes.append(measured_shape(work, node))
    elif not any(name in work.places for name in reads(node)):
        work.nodes.append(node)
    else:
        place = rule_for(node)(work, node)
        # Scale and zero point of DynamicQuantizeLinear are one for the whole batch: they have no place of it.
        outputs = node.output[:1] if node.op_type == "DynamicQuantizeLinear" else node.output
        work.places.update((name, place) for name in outputs if name)


def measured_shape(work: Work, node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the constant that a Shape or Size is at batch 1.

    Left as it is, what is made from it (a class token expanded to the batch) would already hold the batch
    without having a place of it.
    """
    shape = work.shape(node.input[0])
    dims = shape[integer(node, "start", 0) : integer(node, "end", len(shape))]
    value = vector(dims) if node.op_type == "Shape" else numpy_helper.from_array(np.array(prod(shape), np.int64))
    return helper.make_node("Constant", [], list(node.output), name=node.name, value=value)


def rule_for(node: onnx.NodeProto) -> "Rule":
    if any(subgraphs(node)):
        raise refusal(node, "it has subgraphs")
    if node.domain not in ("", "ai.onnx", "com.microsoft") or node.op_type not in RULES:
        raise refusal(node, "there is no rule for this operator")
    return RULES[node.op_type]


def refusal(node: onnx.NodeProto, reason: str) -> BatchError:
    named = f"{node.op_type} (node {node.name or node.output[0]!r})"
    return BatchError(f"cannot free the batch at {named}: {reason}; export the model with a free batch")


def batch_count(work: Work, input_name: str) -> list[onnx.NodeProto]:
    """Return the nodes that read the batch from the input, none where nothing asks for it."""
    if not any(work.batch in node.input for node in work.nodes):
        return []
    sizes, first = f"{work.prefix}_sizes", f"{work.prefix}_first"
    return [
        helper.make_node("Constant", [], [first], value=vector([0])),
        helper.make_node("Shape", [input_name], [sizes]),
        helper.make_node("Gather", [sizes, first], [work.batch], axis=0),
    ]


def declare(value: onnx.ValueInfoProto, shape: Shape, place: Place) -> None:
    """Declare the batch of an input or output as free."""
    if not value.type.HasField("tensor_type"):
        return
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(shape):
        del dims[:]
        dims.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape)
    dims[place.axis].Clear()
    if shape[place.axis] == 1:
        dims[place.axis].dim_param = SYMBOL


# ----- What rules ask of a node -----


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    value = attribute(node, name)
    return value if isinstance(value, int) else default


def integers(node: onnx.NodeProto, name: str) -> list[int]:
    value = attribute(node, name)
    return value if isinstance(value, list) else []


def axes_of(work: Work, node: onnx.NodeProto, index: int, rank: int) -> list[int]:
    """Return the axes that a node names, counted from the front: in an attribute or in the input `index`."""
    axes, name = integers(node, "axes"), next(iter(node.input[index : index + 1]), "")
    if name and name not in work.constants:
        raise refusal(node, "its axes are computed at run time")
    if name:
        axes = numpy_helper.to_array(work.constants[name]).ravel().tolist()
    return [axis % rank for axis in axes]


def operands(node: onnx.NodeProto) -> list[str]:
    """Return the inputs that hold data; those of quantised operators are each followed by two parameters."""
    first = 2 if node.op_type == "QLinearConcat" else 0
    return list(node.input[first :: 3 if node.op_type.startswith(("QLinear", "QGemm")) else 1])


def single(work: Work, node: onnx.NodeProto) -> Place:
    """Return the place of the batch in the first input, which must be the only one that has it."""
    if any(name in work.places for name in node.input[1:]):
        raise refusal(node, "a parameter depends on the input")
    return work.places[node.input[0]]


def clear_of(work: Work, node: onnx.NodeProto, axes: Collection[int]) -> Place:
    """Return the place of the batch in the first input, which must be none of the axes."""
    place = single(work, node)
    if place.axis in axes:
        raise refusal(node, f"it works along axis {place.axis}, where the batch is")
    return place


def agreed(work: Work, node: onnx.NodeProto, shifts: Mapping[str, int]) -> Place:
    """Return the one place of the batch in several inputs, whose axes are shifted to those of the output."""
    held = {name: work.places[name] for name in shifts if name in work.places}
    found = {(place.axis + shifts[name], place.inner, work.steps(name)) for name, place in held.items()}
    if len(found) != 1:
        raise refusal(node, "its inputs have the batch on different axes")
    axis, inner, _ = found.pop()
    return Place(axis, inner)


def aligned(work: Work, names: Iterable[str], rank: int) -> dict[str, int]:
    """Return by how much the axes of each operand shift when operands are aligned at the last one."""
    return {name: rank - work.rank(name) for name in names if name}


def stretched(work: Work, node: onnx.NodeProto, shifts: Mapping[str, int], place: Place) -> dict[str, str]:
    """Repeat the constants that are as long as the axis of the batch is at batch 1; others broadcast."""
    own = {name: Place(place.axis - shift, place.inner) for name, shift in shifts.items()}
    long = [n for n, p in own.items() if n not in work.places and p.axis >= 0 and work.shape(n)[p.axis] > 1]
    return {name: repeated(work, node, name, own[name]) for name in long}


def repeated(work: Work, node: onnx.NodeProto, name: str, place: Place) -> str:
    """Repeat a constant for each sample along the axis of the batch, and return the new name."""
    if work.shape(name)[place.axis] != place.inner:
        raise refusal(node, f"the constant {name!r} would have to be repeated within axis {place.axis}")
    return work.add("Tile", (name, sizes_with_batch(work, [1] * work.rank(name), place.axis)))


def sizes_with_batch(work: Work, sizes: list[int], axis: int) -> str:
    """Return the name of int64 `[rank]`: the sizes, with the batch in the place of one."""
    before, after = work.integers(sizes[:axis]), work.integers(sizes[axis + 1 :])
    return work.add("Concat", (before, work.batch, after), axis=0)


# ----- The rules -----

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

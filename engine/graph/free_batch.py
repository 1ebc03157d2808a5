"""Free a batch that a file fixes to 1: follow it through the graph and rewrite every node that pins it.

Each tensor that holds data of the picture has a place of the batch: an axis, and how many steps of that axis lie
inside one sample. A rule for each operator says where the batch goes next and emits the node, changed only where
it names the batch's size. Whatever is computed from a shape keeps its value of batch 1.
"""

from collections.abc import Callable, Iterable, Mapping
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
"""Name of the free dimension on inputs and outputs."""


class BatchError(ModelError):
    """A node cannot be rewritten for a free batch."""


@dataclass(frozen=True)
class Place:
    """Where the batch lies: index on `axis` = (outer index * batch + sample) * inner + inner index."""

    axis: int
    inner: int = 1


def free_batch(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """Return a copy of a model whose input's axis 0, and all that follows from it, takes any batch.

    `shapes` are those of every tensor when the input's axis 0 is 1; sizes other than the batch are fixed to them.
    A batch of n computes what n runs of one sample compute, except where an operator mixes samples at run time
    (DynamicQuantizeLinear), so compare before use. Raises BatchError naming the node that cannot be rewritten.
    Cost: a copy of the model; nothing is run.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    work = begin(freed, input_name, shapes)
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
        return self.add("Constant", (), value=numpy_helper.from_array(np.array(list(values), np.int64)))

    def keep(self, node: onnx.NodeProto, place: Place, renamed: Mapping[str, str] | None = None) -> Place:
        """Append a node of the model, some of its inputs renamed."""
        kept = onnx.NodeProto()
        kept.CopyFrom(node)
        kept.input[:] = [(renamed or {}).get(name, name) for name in node.input]
        self.nodes.append(kept)
        return place

    def replace(
        self, node: onnx.NodeProto, place: Place, op_type: str, inputs: Iterable[str], **attributes: Any
    ) -> Place:
        """Append another operator under the name and with the outputs of a node of the model."""
        new = helper.make_node(op_type, list(inputs), list(node.output), name=node.name, **attributes)
        self.nodes.append(new)
        return place


Rule = Callable[[Work, onnx.NodeProto], Place]
"""Appends the rewritten node to the work and returns the place of the batch in its outputs."""


def begin(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> Work:
    graph, prefix = model.graph, "free_batch"
    names = {name for node in graph.node for name in node.output} | {i.name for i in graph.initializer}
    while any(name.startswith(prefix) for name in names):
        prefix += "_again"
    constants = {i.name: i for i in graph.initializer} | dict(constant_nodes(graph.node))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    work = Work(shapes, constants, opset, prefix)
    if not work.shape(input_name) or work.shape(input_name)[0] != 1:
        raise BatchError(
            f"cannot free the batch: {input_name!r} must be [1, ...], it is {list(work.shape(input_name))}; "
            "give the shapes of a run with one picture"
        )
    work.places[input_name] = Place(0)
    return work


def constant_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        values = [attribute(node, name) for name in ("value", "value_int", "value_ints")]
        value = next((v for v in values if v is not None), None)
        if node.op_type == "Constant" and value is not None:
            is_tensor = isinstance(value, onnx.TensorProto)
            yield node.output[0], value if is_tensor else numpy_helper.from_array(np.array(value, np.int64))


def visit(work: Work, node: onnx.NodeProto) -> None:
    """Append a node to the new graph as its rule says, or as it is where it holds no data of the input."""
    if node.op_type in SHAPE_READERS and node.input[0] in work.places:
        work.nodes.append(measured_shape(work, node))
    elif not any(name in work.places for name in reads(node)):
        work.nodes.append(node)
    else:
        place = rule_for(node)(work, node)
        # Beside its result, DynamicQuantizeLinear has a scale and a zero point for the whole batch: no places.
        outputs = node.output[:1] if node.op_type == "DynamicQuantizeLinear" else node.output
        work.places.update((name, place) for name in outputs if name)


def measured_shape(work: Work, node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the constant that a Shape or Size has at batch 1.

    Otherwise what is made from it (an expanded class token) would hold the batch already, unknown to the walk.
    """
    shape = work.shape(node.input[0])
    if node.op_type == "Size":
        value = np.array(prod(shape), np.int64)
    else:
        value = np.array(shape[integer(node, "start", 0) : integer(node, "end", len(shape))], np.int64)
    return helper.make_node("Constant", [], [node.output[0]], value=numpy_helper.from_array(value))


def rule_for(node: onnx.NodeProto) -> Rule:
    known = RULES.get(node.op_type) if node.domain in ("", "ai.onnx", "com.microsoft") else None
    if any(subgraphs(node)):
        raise refusal(node, "it has subgraphs")
    if known is None:
        raise refusal(node, "there is no rule for this operator")
    return known


def refusal(node: onnx.NodeProto, reason: str) -> BatchError:
    name = node.name or (node.output[0] if node.output else "")
    return BatchError(
        f"cannot free the batch at {node.op_type} (node {name!r}): {reason}; export the model with a free batch"
    )


def batch_count(work: Work, input_name: str) -> list[onnx.NodeProto]:
    """Return the nodes that read the batch from the input, none where nothing asks for it."""
    if not any(work.batch in node.input for node in work.nodes):
        return []
    sizes, first = f"{work.prefix}_sizes", f"{work.prefix}_first"
    return [
        helper.make_node("Constant", [], [first], value=numpy_helper.from_array(np.array([0], np.int64))),
        helper.make_node("Shape", [input_name], [sizes]),
        helper.make_node("Gather", [sizes, first], [work.batch], axis=0),
    ]


def declare(value: onnx.ValueInfoProto, shape: Shape, place: Place) -> None:
    """Declare the batch of an input or output as free; other free dimensions keep their names."""
    dims = value.type.tensor_type.shape.dim
    if not value.type.HasField("tensor_type"):
        return
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


def axes_of(work: Work, node: onnx.NodeProto, index: int, rank: int) -> list[int] | None:
    """Return the axes of a node, counted from the front: its attribute, or the constant input of that index."""
    axes = attribute(node, "axes")
    if axes is None and len(node.input) > index and node.input[index]:
        if node.input[index] not in work.constants:
            raise refusal(node, "its axes are computed at run time")
        axes = numpy_helper.to_array(work.constants[node.input[index]]).ravel().tolist()
    return [int(axis) % rank for axis in axes] if isinstance(axes, list) else None


def operands(node: onnx.NodeProto) -> list[str]:
    """Return the inputs that hold data: quantised operators have a scale and a zero point after each."""
    return list(node.input[OPERANDS.get(node.op_type, slice(None))])


OPERANDS = dict.fromkeys(("QLinearAdd", "QLinearMul", "QLinearMatMul", "QGemm"), slice(0, None, 3))
OPERANDS["QLinearConcat"] = slice(2, None, 3)


def single(work: Work, node: onnx.NodeProto) -> Place:
    """Return the place of the batch in the first input, which must be the only one that holds data."""
    if any(name in work.places for name in node.input[1:]):
        raise refusal(node, "another input than the first one depends on the picture")
    return work.places[node.input[0]]


def agreed(work: Work, node: onnx.NodeProto, shifts: Mapping[str, int]) -> Place:
    """Return the one place of the batch in several inputs, each of whose axes is shifted to those of the output."""
    places = {
        (Place(work.places[name].axis + shift, work.places[name].inner), work.steps(name))
        for name, shift in shifts.items()
        if name in work.places
    }
    if len(places) != 1:
        raise refusal(node, "its inputs hold the batch on different axes")
    return places.pop()[0]


def repeated(work: Work, node: onnx.NodeProto, name: str, place: Place) -> str:
    """Repeat a constant once for each sample along the batch's axis, and return the new name."""
    size = work.shape(name)[place.axis]
    if size not in (1, place.inner):
        raise refusal(node, f"the constant {name!r} would have to be repeated inside axis {place.axis}")
    ones = [1] * len(work.shape(name))
    return work.add("Tile", (name, sizes_with_batch(work, ones, place.axis)))


def sizes_with_batch(work: Work, sizes: list[int], axis: int) -> str:
    """Return the name of int64 `[rank]`: the sizes, with the batch on one axis."""
    before, after = work.integers(sizes[:axis]), work.integers(sizes[axis + 1 :])
    return work.add("Concat", (before, work.batch, after), axis=0)


# ----- The batch stays where it is -----


def same(work: Work, node: onnx.NodeProto) -> Place:
    return work.keep(node, single(work, node))


def samples(work: Work, node: onnx.NodeProto) -> Place:
    """Convolutions, pools and normalisations, which work on each index of axis 0 alone."""
    place = single(work, node)
    if place.axis != 0:
        raise refusal(node, f"it needs the batch on axis 0, it is on axis {place.axis}")
    return work.keep(node, place)


def together(work: Work, node: onnx.NodeProto) -> Place:
    """Operators with several inputs that hold the batch on axis 0, such as attention."""
    place = agreed(work, node, dict.fromkeys(filter(None, node.input), 0))
    if place.axis != 0:
        raise refusal(node, f"it needs the batch on axis 0, it is on axis {place.axis}")
    return work.keep(node, place)


def along(default: int) -> Rule:
    """Operators that work along one axis, which must not be that of the batch."""

    def rule(work: Work, node: onnx.NodeProto) -> Place:
        place = single(work, node)
        if integer(node, "axis", default) % len(work.shape(node.input[0])) == place.axis:
            raise refusal(node, "it works along the axis of the batch")
        return work.keep(node, place)

    return rule


def from_axis(default: int) -> Rule:
    """Operators that work on all axes from one on, which must lie behind that of the batch."""

    def rule(work: Work, node: onnx.NodeProto) -> Place:
        place = single(work, node)
        if integer(node, "axis", default) % len(work.shape(node.input[0])) <= place.axis:
            raise refusal(node, "it works along the axis of the batch")
        return work.keep(node, place)

    return rule


def softmax(work: Work, node: onnx.NodeProto) -> Place:
    """Before opset 13 softmax flattened everything from its axis on."""
    return (along(-1) if work.opset >= 13 else from_axis(1))(work, node)


def cumsum(work: Work, node: onnx.NodeProto) -> Place:
    place, axis = single(work, node), work.constants.get(node.input[1])
    if axis is None or int(numpy_helper.to_array(axis).item()) % len(work.shape(node.input[0])) == place.axis:
        raise refusal(node, "it works along the axis of the batch, or along one that is computed at run time")
    return work.keep(node, place)


def trilu(work: Work, node: onnx.NodeProto) -> Place:
    place = single(work, node)
    if place.axis >= len(work.shape(node.input[0])) - 2:
        raise refusal(node, "the batch lies in the matrix")
    return work.keep(node, place)


def unresized(work: Work, node: onnx.NodeProto) -> Place:
    """Tile, Pad and Upsample, whose parameters must leave the axis of the batch alone."""
    place = single(work, node)
    if work.shape(node.output[0])[place.axis] != work.steps(node.input[0]):
        raise refusal(node, "it changes the size of the axis of the batch")
    return work.keep(node, place)


def resize(work: Work, node: onnx.NodeProto) -> Place:
    """Resize to fixed sizes gets those sizes with the batch among them."""
    place, out = single(work, node), work.shape(node.output[0])
    axes = axes_of(work, node, len(node.input), len(out)) or list(range(len(out)))
    if len(node.input) < 4 or not node.input[3] or place.axis not in axes:
        return unresized(work, node)
    if out[place.axis] != 1:
        raise refusal(node, "it changes the size of the axis of the batch")
    sizes = sizes_with_batch(work, [out[axis] for axis in axes], axes.index(place.axis))
    return work.keep(node, place, {node.input[3]: sizes})


def cut_out(work: Work, node: onnx.NodeProto) -> Place:
    """Slice loses what it says of the axis of the batch, which it must leave whole."""
    place, data = single(work, node), node.input[0]
    count = len(integers(node, "starts")) or work.shape(node.input[1])[0]
    axes = axes_of(work, node, 3, len(work.shape(data))) or list(range(count))
    if place.axis not in axes:
        return work.keep(node, place)
    if work.shape(node.output[0])[place.axis] != work.steps(data):
        raise refusal(node, "it cuts the axis of the batch")
    rest = [i for i, axis in enumerate(axes) if axis != place.axis]
    left = [axes[i] for i in rest]
    if not rest:
        return work.replace(node, place, "Identity", (data,))
    if work.opset < 10:
        starts, ends = ([integers(node, name)[i] for i in rest] for name in ("starts", "ends"))
        return work.replace(node, place, "Slice", (data,), starts=starts, ends=ends, axes=left)
    picked = {i: entries(work, name, rest) for i, name in enumerate(node.input) if i in (1, 2, 4) and name}
    inputs = (data, picked[1], picked[2], work.integers(left), picked.get(4, ""))
    return work.replace(node, place, "Slice", inputs)


def entries(work: Work, name: str, kept: list[int]) -> str:
    """Pick entries of a vector; int64, because all parameters of a Slice must have one type."""
    picked = work.add("Gather", (name, work.integers(kept)), axis=0)
    return work.add("Cast", (picked,), to=onnx.TensorProto.INT64)


# ----- The batch moves to another axis -----


def permuted(work: Work, node: onnx.NodeProto) -> Place:
    place, rank = single(work, node), len(work.shape(node.input[0]))
    order = integers(node, "perm") or list(range(rank))[::-1]
    return work.keep(node, Place(order.index(place.axis), place.inner))


def unsqueezed(work: Work, node: onnx.NodeProto) -> Place:
    place, rank = single(work, node), len(work.shape(node.output[0]))
    axes = axes_of(work, node, 1, rank)
    if axes is None or work.steps(node.input[0]) > 1:
        return regrouped(work, node)
    old = [axis for axis in range(rank) if axis not in axes]
    return work.keep(node, Place(old[place.axis], place.inner))


def squeezed(work: Work, node: onnx.NodeProto) -> Place:
    place, shape = single(work, node), work.shape(node.input[0])
    axes = axes_of(work, node, 1, len(shape)) or [axis for axis, size in enumerate(shape) if size == 1]
    if place.axis in axes:
        return regrouped(work, node)
    return work.keep(node, without(place, axes))


def without(place: Place, axes: Iterable[int]) -> Place:
    return Place(place.axis - sum(axis < place.axis for axis in axes), place.inner)


def reduced(work: Work, node: onnx.NodeProto) -> Place:
    rank = len(work.shape(node.input[0]))
    axes = axes_of(work, node, 1, rank)
    if not axes and integer(node, "noop_with_empty_axes", 0):
        return same(work, node)
    return reduced_by(work, node, axes or list(range(rank)))


def arg_reduced(work: Work, node: onnx.NodeProto) -> Place:
    return reduced_by(work, node, [integer(node, "axis", 0) % len(work.shape(node.input[0]))])


def reduced_by(work: Work, node: onnx.NodeProto, axes: list[int]) -> Place:
    place = single(work, node)
    if place.axis in axes:
        raise refusal(node, "it reduces the axis of the batch")
    return work.keep(node, place if integer(node, "keepdims", 1) else without(place, axes))


def one_hot(work: Work, node: onnx.NodeProto) -> Place:
    place, rank = single(work, node), len(work.shape(node.output[0]))
    new = integer(node, "axis", -1) % rank
    return work.keep(node, Place(place.axis + (place.axis >= new), place.inner))


def gathered(work: Work, node: onnx.NodeProto) -> Place:
    data, index = node.input
    axis = integer(node, "axis", 0) % len(work.shape(data))
    if data in work.places and index in work.places:
        raise refusal(node, "both its data and its indices depend on the picture")
    place = work.places.get(data) or work.places[index]
    if index in work.places:
        return work.keep(node, Place(axis + place.axis, place.inner))
    if place.axis == axis:
        return gathered_in_each_sample(work, node, axis)
    more = len(work.shape(index)) - 1
    return work.keep(node, Place(place.axis + (more if place.axis > axis else 0), place.inner))


def gathered_in_each_sample(work: Work, node: onnx.NodeProto, axis: int) -> Place:
    """A table of positions in a flattened tensor (what as_strided exports to) counts in each sample."""
    data, index = node.input
    shape, size = work.shape(data), work.steps(data)
    if work.places[data].inner != size:
        raise refusal(node, "it picks along the axis of the batch")
    apart = work.add("Reshape", (data, work.integers((*shape[:axis], -1, size, *shape[axis + 1 :]))))
    picked = work.add("Gather", (apart, index), axis=axis + 1)
    return regrouped_from(work, node, picked, lodge(work, node, prod(work.shape(node.output[0])[axis:])))


# ----- The batch moves by its stride -----


def regrouped(work: Work, node: onnx.NodeProto) -> Place:
    """Reshape and its kin: the axis of the output that has the batch's stride takes what is left (-1)."""
    place, source = single(work, node), node.input[0]
    shape, stride = work.shape(source), work.stride(source)
    ones_before = sum(shape[i] == 1 and prod(shape[i + 1 :]) == stride for i in range(place.axis))
    return regrouped_from(work, node, source, lodge(work, node, stride, ones_before))


def regrouped_from(work: Work, node: onnx.NodeProto, source: str, place: Place) -> Place:
    sizes = list(work.shape(node.output[0]))
    sizes[place.axis] = -1
    return work.replace(node, place, "Reshape", (source, work.integers(sizes)))


def lodge(work: Work, node: onnx.NodeProto, stride: int, ones_before: int = 0) -> Place:
    """Find the axis of a node's output that can hold the batch at this stride of the flat order.

    Best one of its own, as many such axes before it as in the input; then one that it leads (heads, windows),
    but not the last one, which a product may sum over; then one whose steps lie around it (positions).
    """
    shape = work.shape(node.output[0])
    after = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    inner = [stride // max(step, 1) for step in after]
    fitting = [i for i, size in enumerate(shape) if inner[i] * after[i] == stride and inner[i] and size % inner[i] == 0]
    own = [i for i in fitting if shape[i] == 1]
    led = [i for i in fitting if shape[i] == inner[i] > 1]
    choice = [*own[ones_before:], *own[::-1], *(i for i in led if i < len(shape) - 1), *fitting]
    if not choice:
        raise refusal(node, "no axis of its output can hold the batch")
    return Place(choice[0], inner[choice[0]])


# ----- Several operands -----


def broadcast(work: Work, node: onnx.NodeProto) -> Place:
    """Elementwise operators with several operands."""
    shifts = aligned(work, operands(node), len(work.shape(node.output[0])))
    place = agreed(work, node, shifts)
    return work.keep(node, place, stretched(work, node, shifts, place))


def aligned(work: Work, names: Iterable[str], rank: int) -> dict[str, int]:
    """Return by how much the axes of each operand shift when they are aligned at the last one."""
    return {name: rank - len(work.shape(name)) for name in names if name}


def stretched(work: Work, node: onnx.NodeProto, shifts: Mapping[str, int], place: Place) -> dict[str, str]:
    """Repeat the constants that are as long as the axis of the batch is at batch 1; others broadcast."""
    own = {name: Place(place.axis - shift, place.inner) for name, shift in shifts.items()}
    long = [n for n, p in own.items() if n not in work.places and p.axis >= 0 and work.shape(n)[p.axis] > 1]
    return {name: repeated(work, node, name, own[name]) for name in long}


def concatenated(work: Work, node: onnx.NodeProto) -> Place:
    """Concat repeats its constants (a class token) for each sample."""
    return beside(work, node, operands(node), integer(node, "axis", 1))


def elements(work: Work, node: onnx.NodeProto) -> Place:
    """GatherElements and ScatterElements, all of whose inputs must be as long as the batch."""
    return beside(work, node, list(node.input), integer(node, "axis", 0))


def beside(work: Work, node: onnx.NodeProto, names: list[str], axis: int) -> Place:
    place = agreed(work, node, dict.fromkeys(names, 0))
    if axis % len(work.shape(node.output[0])) == place.axis:
        raise refusal(node, "it works along the axis of the batch")
    fixed = dict.fromkeys(name for name in names if name not in work.places)
    return work.keep(node, place, {name: repeated(work, node, name, place) for name in fixed})


def expanded(work: Work, node: onnx.NodeProto) -> Place:
    """Expand to fixed sizes asks for 1 along the batch, which keeps any."""
    place, sizes = single(work, node), list(work.shape(node.output[0]))
    axis = place.axis + len(sizes) - len(work.shape(node.input[0]))
    if sizes[axis] != work.steps(node.input[0]):
        raise refusal(node, "it repeats the axis of the batch")
    sizes[axis] = 1
    inputs = (node.input[0], work.integers(sizes))
    return work.replace(node, Place(axis, place.inner), "Expand", inputs)


def multiplied(work: Work, node: onnx.NodeProto) -> Place:
    """Matrix products: the batch lies in the leading axes, the rows of the left or the columns of the right."""
    left, right = operands(node)[:2]
    rank = max(2, len(work.shape(left)), len(work.shape(right)))
    shifts = aligned(work, (left, right), rank)
    place, rows, columns = agreed(work, node, shifts), rank - 2, rank - 1
    summed = {left: columns, right: columns if shifts[right] == rank - 1 else rows}
    if any(name in work.places and place.axis == axis for name, axis in summed.items()):
        raise refusal(node, "it sums over the axis of the batch")
    renamed = stretched(work, node, shifts, place) if place.axis < rows else {}
    vector_left = shifts[left] == rank - 1
    return work.keep(node, Place(place.axis - (vector_left and place.axis > rows), place.inner), renamed)


def gemm(work: Work, node: onnx.NodeProto) -> Place:
    left, right, *bias = operands(node)
    row, column = integer(node, "transA", 0), 1 - integer(node, "transB", 0)
    for name, axis in ((left, row), (right, column)):
        if name in work.places and work.places[name].axis != axis:
            raise refusal(node, "it sums over the axis of the batch")
    biases = aligned(work, bias, 2)
    place = agreed(work, node, {left: -row, right: 1 - column, **biases})
    return work.keep(node, place, stretched(work, node, biases, place))


def einsum(work: Work, node: onnx.NodeProto) -> Place:
    """Einsum: the batch is one letter, on both sides of the arrow."""
    equation: Any = attribute(node, "equation")
    *terms, result = equation.decode().replace(" ", "").replace("->", ",").split(",")
    if len(terms) != len(node.input) or b"..." in equation:
        raise refusal(node, "its equation leaves axes unnamed")
    named = list(zip(node.input, terms, strict=True))
    letter, *others = {term[work.places[name].axis] for name, term in named if name in work.places}
    if others or letter not in result:
        raise refusal(node, "it sums over the axis of the batch")
    shifts = {name: -term.index(letter) for name, term in named if letter in term}
    place = agreed(work, node, shifts)
    return work.keep(node, Place(result.index(letter), place.inner), stretched(work, node, shifts, place))


# ----- The table -----

RULES: dict[str, Rule] = {
    **dict.fromkeys(
        """
        Abs Acos Acosh Asin Asinh Atan Atanh BiasGelu BitwiseNot Cast Ceil Celu Clip Cos Cosh DequantizeLinear Dropout
        DynamicQuantizeLinear Elu Erf Exp FastGelu Floor Gelu HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log
        Mish Neg Not QLinearLeakyRelu QLinearSigmoid QuantizeLinear QuickGelu Reciprocal Relu Round Selu Shrink
        Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
        """.split(),
        same,
    ),
    **dict.fromkeys(
        """
        Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min
        Mod Mul Or PRelu Pow QLinearAdd QLinearMul Sub Sum Where Xor
        """.split(),
        broadcast,
    ),
    **dict.fromkeys(
        """
        AveragePool BatchNormalization Conv ConvInteger ConvTranspose DepthToSpace FusedConv GlobalAveragePool
        GlobalLpPool GlobalMaxPool GroupNormalization InstanceNormalization LRN LpPool MaxPool QLinearAveragePool
        QLinearConv QLinearGlobalAveragePool SpaceToDepth
        """.split(),
        samples,
    ),
    **dict.fromkeys(("Attention", "MultiHeadAttention", "RotaryEmbedding", "SkipLayerNormalization"), together),
    **dict.fromkeys(("LogSoftmax", "Softmax", "Hardmax"), softmax),
    **dict.fromkeys(("LpNormalization", "TopK", "QLinearSoftmax"), along(-1)),
    "Split": along(0),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"), from_axis(-1)),
    "CumSum": cumsum,
    "Trilu": trilu,
    **dict.fromkeys(("Pad", "Tile", "Upsample"), unresized),
    "Resize": resize,
    "Slice": cut_out,
    "Transpose": permuted,
    "Unsqueeze": unsqueezed,
    "Squeeze": squeezed,
    **dict.fromkeys(
        """
        ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
        ReduceSumSquare
        """.split(),
        reduced,
    ),
    **dict.fromkeys(("ArgMax", "ArgMin"), arg_reduced),
    "OneHot": one_hot,
    "Gather": gathered,
    **dict.fromkeys(("Reshape", "Flatten"), regrouped),
    **dict.fromkeys(("Concat", "QLinearConcat"), concatenated),
    **dict.fromkeys(("GatherElements", "ScatterElements"), elements),
    "Expand": expanded,
    **dict.fromkeys(("FusedMatMul", "MatMul", "MatMulInteger", "QLinearMatMul"), multiplied),
    **dict.fromkeys(("Gemm", "QGemm"), gemm),
    "Einsum": einsum,
}
"""What frees each operator; an operator that is not here is refused."""

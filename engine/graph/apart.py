"""How far the units stay apart: every tensor behind the split that each unit reaches on its own, and on which axis.

There, a unit that is kept and a unit that is removed can be computed once each, and a probe only selects.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

import onnx

from ..types import Split, Value
from .walk import axes_given, constants_of, integer, integers, path_nodes, reads, separators

Shape = tuple[int, ...]
FLOATS = frozenset({"float32", "float16", "float64"})


@dataclass(frozen=True)
class Step:
    """A node that reads units apart: the axis of the units in each such input, the shapes of what is measured."""

    node: onnx.NodeProto
    axes: Mapping[str, int]
    shapes: Mapping[str, Shape]
    constants: Mapping[str, onnx.TensorProto]

    @property
    def first(self) -> int | None:
        """The axis of the units in the first input, where no other input depends on units."""
        name = self.node.input[0]
        return self.axes[name] if list(self.axes) == [name] else None

    @property
    def before(self) -> Shape:
        return self.shapes[self.node.input[0]]

    @property
    def after(self) -> Shape:
        return self.shapes[self.node.output[0]]


Rule = Callable[[Step], int | None]
"""Returns the axis of the units in the outputs, or None where the node lets units meet."""
RULES: dict[str, Rule] = {}


def advance(graph: onnx.GraphProto, split: Split, logits: str, values: Mapping[str, Value]) -> Split:
    """Return the split moved to the last float tensor that everything passes and where units are apart still."""
    axes = apart_axes(graph, split, logits, values)
    reached = split
    for name in separators(graph, split.tensor, logits):
        value = values.get(name)
        if name not in axes or name == logits or value is None:
            continue
        if value.dtype in FLOATS and value.shape[0] == 1 and axes[name]:
            reached = replace(split, tensor=name, dtype=value.dtype, shape=value.shape, unit_axis=axes[name])
    return reached


def apart_axes(graph: onnx.GraphProto, split: Split, logits: str, values: Mapping[str, Value]) -> dict[str, int]:
    """Return the tensors on the way to the logits whose slices along one axis depend on one unit each: that axis.

    Cells lie on two axes and are not followed.
    """
    if split.units == "cell":
        return {}
    return follow(graph, {split.tensor: split.unit_axis}, path_nodes(graph, split.tensor, logits), values)


def follow(
    graph: onnx.GraphProto, axes: Mapping[str, int], path: list[onnx.NodeProto], values: Mapping[str, Value]
) -> dict[str, int]:
    """Follow an axis through the nodes of a path, as long as nothing mixes what lies along it."""
    found, constants = dict(axes), constants_of(graph)
    shapes = {name: value.shape for name, value in values.items()}
    shapes |= {name: tuple(tensor.dims) for name, tensor in constants.items()}
    moving = found.keys() | {name for node in path for name in node.output}
    for node in path:
        held = {name: found.get(name) for name in dict.fromkeys(reads(node)) if name in moving}
        known = {name: axis for name, axis in held.items() if axis is not None}
        if known and known.keys() == held.keys() <= shapes.keys() and node.output[0] in shapes:
            axis = axis_after(Step(node, known, shapes, constants))
            if axis is not None:
                found.update((name, axis) for name in node.output if name in shapes)
    return found


def axis_after(step: Step) -> int | None:
    """Return where the units lie behind a node that keeps them apart, or None where it does not."""
    rule = RULES.get(step.node.op_type)
    return rule(step) if rule else None


def rule(*op_types: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(op_types, function))
        return function

    return register


@rule("Identity", "Dropout", "Relu", "LeakyRelu", "PRelu", "Clip", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Erf")
@rule("Gelu", "Elu", "Selu", "Celu", "Softplus", "Softsign", "Neg", "Abs", "Sqrt", "Exp", "Log", "Reciprocal", "Mish")
@rule("Swish", "Cast", "Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "QuantizeLinear", "DequantizeLinear")
def elementwise(step: Step) -> int | None:
    """Operands are aligned at their last axis; the units must lie on the same one in all of them."""
    rank = len(step.after)
    axes = {axis + rank - len(step.shapes[name]) for name, axis in step.axes.items()}
    sizes = {step.shapes[name][axis] for name, axis in step.axes.items()}
    axis = axes.pop()
    return axis if not axes and sizes == {step.after[axis]} else None


@rule("BatchNormalization", "GlobalAveragePool", "GlobalMaxPool", "AveragePool", "MaxPool", "InstanceNormalization")
def channelwise(step: Step) -> int | None:
    return 1 if step.first == 1 else None


@rule("Conv")
def depthwise(step: Step) -> int | None:
    alone = integer(step.node, "group", 1) == step.before[1] == step.after[1]
    return 1 if alone and step.first == 1 else None


@rule("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")
def reduced(step: Step) -> int | None:
    axis = step.first
    gone = {a % len(step.before) for a in axes_given(step.node, step.constants)}
    if axis is None or not gone or axis in gone:
        return None
    return axis if integer(step.node, "keepdims", 1) else axis - sum(a < axis for a in gone)


@rule("Transpose")
def permuted(step: Step) -> int | None:
    order = integers(step.node, "perm") or list(range(len(step.before)))[::-1]
    return None if step.first is None else order.index(step.first)


@rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def regrouped(step: Step) -> int | None:
    """Other axes may merge or part, as long as that of the units stays as long and has as much before it."""
    axis, before, after = step.first, step.before, step.after
    if axis is None or before[axis] == 1:
        return None
    same = [a for a, size in enumerate(after) if size == before[axis] and prod(after[:a]) == prod(before[:axis])]
    return same[0] if same else None


@rule("LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization")
def normalised(step: Step) -> int | None:
    axis = step.first
    return axis if axis is not None and axis < integer(step.node, "axis", -1) % len(step.before) else None


@rule("Softmax", "LogSoftmax")
def distributed(step: Step) -> int | None:
    """Before operator set 13 everything from the axis on is normalised; units before it are apart in both readings."""
    axis = step.first
    return axis if axis is not None and axis < integer(step.node, "axis", -1) % len(step.before) else None


@rule("MatMul")
def projected(step: Step) -> int | None:
    """Allow a product along the last axis with a matrix that no unit changes, where the units lie on another axis."""
    axis = step.first
    same = len(step.before) == len(step.after)
    return axis if axis is not None and same and axis < len(step.before) - 1 else None


@rule("Gemm")
def row_by_row(step: Step) -> int | None:
    return 0 if step.first == 0 and not integer(step.node, "transA", 0) else None


@rule("Slice", "Split")
def left_alone(step: Step) -> int | None:
    """Allow cutting along other axes; an axis that is as long as before was not cut, unless it was turned round."""
    axis, steps = step.first, step.constants.get(step.node.input[4]) if len(step.node.input) > 4 else None
    turned = steps is not None and bool((onnx.numpy_helper.to_array(steps) < 0).any())
    sizes = {step.shapes[name][axis] for name in step.node.output if name in step.shapes} if axis is not None else ()
    return axis if axis is not None and not turned and sizes == {step.before[axis]} else None


@rule("Pad")
def padded(step: Step) -> int | None:
    axis, rank = step.first, len(step.before)
    pads = axes_given(step.node, step.constants, name="pads")
    return axis if axis is not None and len(pads) == 2 * rank and not pads[axis] and not pads[axis + rank] else None


@rule("Gather")
def picked(step: Step) -> int | None:
    axis, along = step.first, integer(step.node, "axis", 0) % len(step.before)
    if axis is None or axis == along:
        return None
    return axis if axis < along else axis + len(step.after) - len(step.before)


@rule("Concat")
def joined(step: Step) -> int | None:
    axes = set(step.axes.values())
    axis = axes.pop()
    along = integer(step.node, "axis", 0) % len(step.after)
    return axis if not axes and along != axis else None

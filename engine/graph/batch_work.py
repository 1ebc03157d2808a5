"""What the rules of a free batch work with: where the batch lies in each tensor, and the new graph so far."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import ModelError
from .walk import axes_given

Shape = tuple[int, ...]


class BatchError(ModelError):
    """A node cannot be rewritten for a free batch."""


@dataclass(frozen=True)
class Place:
    """Where the batch lies: index on `axis` = (outer index * batch + sample) * inner + inner index."""

    axis: int
    inner: int = 1


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


def refusal(node: onnx.NodeProto, reason: str) -> BatchError:
    named = f"{node.op_type} (node {node.name or node.output[0]!r})"
    return BatchError(f"cannot free the batch at {named}: {reason}; export the model with a free batch")


def axes_of(work: Work, node: onnx.NodeProto, index: int, rank: int) -> list[int]:
    """Return the axes that a node names, counted from the front: in an attribute or in the input `index`."""
    name = next(iter(node.input[index : index + 1]), "")
    if name and name not in work.constants:
        raise refusal(node, "its axes are computed at run time")
    return [axis % rank for axis in axes_given(node, work.constants, index)]


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

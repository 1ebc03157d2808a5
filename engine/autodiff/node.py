"""A node as a gradient rule sees it: its operands and results as variables, what is known of them, what is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..graph.build import Builder, Shape, Var
from ..graph.walk import attribute

Cotangents = Sequence[Var | None]
"""One for each input of a node; None where there is none, or none is asked."""


@dataclass(frozen=True)
class Known:
    """What runs saw of every tensor.

    Shapes with None where the batch decides, types, and whole numbers that are the same whatever the picture.
    """

    shapes: Mapping[str, Shape]
    dtypes: Mapping[str, str]
    numbers: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Node:
    """A node on the way from what is differentiated to what it is differentiated by.

    `x` and `y` are its inputs and outputs (None where left out), `gs` the cotangents of all its outputs, `needs` the
    positions of inputs whose cotangent is asked; `first` says that no layer with weights comes before it.
    """

    proto: onnx.NodeProto
    x: tuple[Var | None, ...]
    y: tuple[Var | None, ...]
    gs: tuple[Var | None, ...]
    needs: frozenset[int]
    constant: Callable[[str], NDArray[Any] | None]
    first: bool = False

    @property
    def kind(self) -> str:
        return self.proto.op_type

    @property
    def label(self) -> str:
        """Name the node as messages do."""
        return f"{self.kind} (node {self.proto.name or self.proto.output[0]!r})"

    def operand(self, index: int) -> Var:
        """Return an input that the operator cannot do without."""
        found = self.x[index] if index < len(self.x) else None
        if found is None:
            raise AssertionError(f"{self.label} has no input {index}")
        return found

    def has(self, index: int) -> bool:
        """Say whether an optional input is there."""
        return index < len(self.x) and self.x[index] is not None

    def value(self, index: int) -> NDArray[Any] | None:
        """Return an input whose value is known beforehand, else None."""
        return self.constant(self.operand(index).name) if self.has(index) else None

    @property
    def result(self) -> Var:
        """Return the first output."""
        found = self.y[0]
        assert found is not None
        return found

    def number(self, name: str, default: float) -> float:
        found = attribute(self.proto, name)
        return float(found) if isinstance(found, (int, float)) else default

    def integer(self, name: str, default: int) -> int:
        found = attribute(self.proto, name)
        return found if isinstance(found, int) else default

    def integers(self, name: str) -> list[int] | None:
        found = attribute(self.proto, name)
        return [int(item) for item in found] if isinstance(found, list) else None

    def text(self, name: str, default: str) -> str:
        found = attribute(self.proto, name)
        return found.decode() if isinstance(found, bytes) else default


class Operands:
    """Turns the names of a graph into variables."""

    def __init__(self, op: Builder, graph: onnx.GraphProto, known: Known) -> None:
        self.op, self.known = op, known
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            found = attribute(node, "value") if node.op_type == "Constant" else None
            if isinstance(found, onnx.TensorProto):
                self.weights[node.output[0]] = found

    def var(self, name: str) -> Var | None:
        if not name:
            return None
        if name in self.weights:
            tensor = self.weights[name]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).name
            return Var(self.op, name, dtype, tuple(tensor.dims))
        return Var(self.op, name, self.known.dtypes[name], self.known.shapes[name])

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a weight, or of whole numbers that no picture changes."""
        if name in self.weights:
            return numpy_helper.to_array(self.weights[name])
        return self.known.numbers.get(name)

    def node(self, proto: onnx.NodeProto, gs: Sequence[Var | None], needs: frozenset[int], *, first: bool) -> Node:
        x, y = (tuple(self.var(name) for name in names) for names in (proto.input, proto.output))
        shaped = tuple(g and v and g.shaped(v.shape) for g, v in zip(gs, y, strict=True))
        return Node(proto, x, y, shaped, needs, self.constant, first)

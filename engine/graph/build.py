"""Write ONNX nodes as Python expressions: combining variables appends nodes to a graph under construction."""

from collections.abc import Callable, Sequence
from typing import Any, Union

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Shape = tuple[int | None, ...]
"""Sizes of the axes, None where the batch decides."""
Operand = Union["Var", float, NDArray[Any]]
Axes = int | Sequence[int]
BOOLEAN = frozenset(
    {"And", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor"}
)
COUNTING = frozenset({"ArgMax", "ArgMin", "NonZero", "Shape", "Size"})
REDUCTIONS_SINCE_18 = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceL2"})
"""Reductions whose axes were an attribute before operator set 18 (those of ReduceSum before 13)."""

TINY = 1e-12
"""Nothing smaller is divided by."""


class Var:
    """A tensor of a graph under construction; operators on it append nodes."""

    def __init__(self, op: "Builder", name: str, dtype: str, shape: Shape | None = None) -> None:
        """Stand for the tensor `name`; `shape` where it is known."""
        self.op, self.name, self.dtype, self.shape = op, name, dtype, shape

    def __repr__(self) -> str:
        return f"Var({self.name!r}, {self.dtype}, {self.shape})"

    @property
    def sizes(self) -> Shape:
        """The shape, which must be known here."""
        if self.shape is None:
            raise AssertionError(f"the shape of {self.name!r} is not known")
        return self.shape

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.sizes)

    def shaped(self, shape: Shape | None) -> "Var":
        """Return the same tensor with a shape that the caller knows."""
        return Var(self.op, self.name, self.dtype, shape)

    def __add__(self, other: Operand) -> "Var":
        return self.op.Add(self, other)

    def __radd__(self, other: Operand) -> "Var":
        return self.op.Add(self, other)

    def __sub__(self, other: Operand) -> "Var":
        return self.op.Sub(self, other)

    def __rsub__(self, other: Operand) -> "Var":
        return self.op.Sub(self.op.value(other, self.dtype), self)

    def __mul__(self, other: Operand) -> "Var":
        return self.op.Mul(self, other)

    def __rmul__(self, other: Operand) -> "Var":
        return self.op.Mul(self, other)

    def __truediv__(self, other: Operand) -> "Var":
        return self.op.Div(self, other)

    def __rtruediv__(self, other: Operand) -> "Var":
        return self.op.Div(self.op.value(other, self.dtype), self)

    def __pow__(self, other: Operand) -> "Var":
        return self.op.Pow(self, other)

    def __neg__(self) -> "Var":
        return self.op.Neg(self)

    def __matmul__(self, other: Operand) -> "Var":
        return self.op.MatMul(self, other)

    def __gt__(self, other: "Var | float") -> "Var":
        return self.op.Greater(self, other)

    def __ge__(self, other: "Var | float") -> "Var":
        return self.op.GreaterOrEqual(self, other)

    def __lt__(self, other: "Var | float") -> "Var":
        return self.op.Less(self, other)

    def __le__(self, other: "Var | float") -> "Var":
        return self.op.LessOrEqual(self, other)

    def equals(self, other: Operand) -> "Var":
        """Compare elementwise; `==` stays Python's own."""
        return self.op.Equal(self, other)

    def __and__(self, other: "Var") -> "Var":
        return self.op.And(self, other)

    def __or__(self, other: "Var") -> "Var":
        return self.op.Or(self, other)

    def __invert__(self) -> "Var":
        return self.op.Not(self)

    def sum(self, axes: Axes, keep: bool = True) -> "Var":
        """Sum over some axes, which stay with size 1."""
        return self.op.reduce("ReduceSum", self, axes, keep)

    def mean(self, axes: Axes, keep: bool = True) -> "Var":
        """Average over some axes, which stay with size 1."""
        return self.op.reduce("ReduceMean", self, axes, keep)

    def max(self, axes: Axes, keep: bool = True) -> "Var":
        """Take the largest over some axes, which stay with size 1."""
        return self.op.reduce("ReduceMax", self, axes, keep)

    def min(self, axes: Axes, keep: bool = True) -> "Var":
        """Take the least over some axes, which stay with size 1."""
        return self.op.reduce("ReduceMin", self, axes, keep)

    def reshape(self, shape: Sequence[int]) -> "Var":
        """Reshape; -1 is what is left, 0 keeps an axis."""
        return self.op.Reshape(self, self.op.ints(shape))

    def transpose(self, order: Sequence[int]) -> "Var":
        """Permute the axes."""
        return self.op.Transpose(self, perm=list(order))

    def slice(self, axis: int, start: int, stop: int, step: int = 1) -> "Var":
        """Cut along one axis."""
        return self.op.Slice(self, *(self.op.ints([number]) for number in (start, stop, axis, step)))

    def where(self, yes: Operand, no: Operand) -> "Var":
        """Choose elementwise; self is a condition."""
        dtype = next(v.dtype for v in (yes, no) if isinstance(v, Var))
        return self.op.node("Where", [self, self.op.value(yes, dtype), self.op.value(no, dtype)], dtype=dtype)

    def cast(self, dtype: str) -> "Var":
        """Convert to another element type, named as in NumPy; the same type is no node."""
        if dtype == self.dtype:
            return self
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.op.node("Cast", [self], dtype=dtype, to=to).shaped(self.shape)


class Builder:
    """Collects the nodes and constants of a graph under construction.

    Every operator of the standard domain is a method: `op.Conv(x, weights, strides=[2, 2])`. Operands are values,
    NumPy arrays or numbers, which become constants in the type of the first value. `nodes` and `tensors` hold what
    was built so far, `makers` the node that made each tensor; new names start with `prefix`, which nothing else in
    the graph may.
    """

    def __init__(self, prefix: str, opset: int) -> None:
        self.prefix, self.opset = prefix, opset
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, onnx.TensorProto] = {}
        self.makers: dict[str, onnx.NodeProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._made = 0

    def __getattr__(self, op_type: str) -> Callable[..., Var]:
        if not op_type[:1].isupper():
            raise AttributeError(op_type)
        return lambda *inputs, **attributes: self.node(op_type, list(inputs), **attributes)

    def node(
        self, op_type: str, inputs: Sequence[Operand | None], *, dtype: str | None = None, **attributes: Any
    ) -> Var:
        """Append a node of one output and return it; None is an input left out."""
        [output] = self.several(op_type, inputs, 1, dtype=dtype, **attributes)
        return output

    def several(
        self, op_type: str, inputs: Sequence[Operand | None], count: int, *, dtype: str | None = None, **attributes: Any
    ) -> list[Var]:
        """Append a node of `count` outputs, all of one element type."""
        first = next((value.dtype for value in inputs if isinstance(value, Var)), "float32")
        values = [None if value is None else self.value(value, first) for value in inputs]
        names = [self.name(op_type) for _ in range(count)]
        found = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, [v.name if v else "" for v in values], names, **found))
        self.makers.update(dict.fromkeys(names, self.nodes[-1]))
        kind = dtype or ("bool" if op_type in BOOLEAN else "int64" if op_type in COUNTING else first)
        return [Var(self, name, kind) for name in names]

    def name(self, hint: str) -> str:
        """Make a new name."""
        self._made += 1
        return f"{self.prefix}{hint}_{self._made}"

    def value(self, operand: Operand, dtype: str) -> Var:
        """Return an operand as a value; numbers and arrays of floats become constants of the given type."""
        if isinstance(operand, Var):
            return operand
        array = np.asarray(operand)
        number = not isinstance(operand, np.ndarray)
        return self.constant(array.astype(dtype) if number or array.dtype.kind == "f" else array)

    def constant(self, array: NDArray[Any]) -> Var:
        """Return an array as a constant in its own type; the same array is stored once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))  # NumPy makes a scalar [1]
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.name("constant")
            self._constants[key] = name
            self.tensors[name] = numpy_helper.from_array(array, name)
        return Var(self, self._constants[key], array.dtype.name, array.shape)

    def ints(self, numbers: Sequence[int]) -> Var:
        """Return int64 constants `[n]`: a shape, axes, pads."""
        return self.constant(np.array(list(numbers), np.int64))

    def reduce(self, op_type: str, x: Var, axes: Axes, keep: bool = True) -> Var:
        """Append a reduction, whose axes are an input or an attribute by the operator set."""
        wanted = [axes] if isinstance(axes, int) else list(axes)
        as_input = self.opset >= (18 if op_type in REDUCTIONS_SINCE_18 else 13)
        if as_input:
            return self.node(op_type, [x, self.ints(wanted)], keepdims=int(keep))
        return self.node(op_type, [x], axes=wanted, keepdims=int(keep))


def builder_for(model: onnx.ModelProto, prefix: str) -> Builder:
    """Return a builder whose nodes can join a model's graph; its names start with the prefix, or more of it."""
    names = {name for node in model.graph.node for name in node.output}
    names |= {tensor.name for tensor in model.graph.initializer}
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    return Builder(prefix, next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")))


def resized(x: Var, height: int, width: int, coordinates: str = "half_pixel") -> Var:
    """Bring maps `[N, K, h, w]` to another size, bilinearly; from operator set 18 on."""
    size = x.op.ints([height, width])
    how = {"mode": "linear", "coordinate_transformation_mode": coordinates}
    return x.op.Resize(x, None, None, size, axes=[2, 3], **how).shaped((*x.sizes[:2], height, width))


def relu(x: Var) -> Var:
    """Return max(x, 0)."""
    return x.op.Relu(x)


def sqrt(x: Var) -> Var:
    return x.op.Sqrt(x)


def exp(x: Var) -> Var:
    return x.op.Exp(x)


def absolute(x: Var) -> Var:
    return x.op.Abs(x)


def divisor(x: Var) -> Var:
    """Return what may be divided by: x, and 1 where x is about 0."""
    return (absolute(x) > TINY).where(x, 1.0)

"""Scale and zero point of an integer activation, read from the operators around it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import SplitError
from ..types import Measured
from .walk import consumers, initializers, producers

KEEPING = frozenset(
    {
        "MaxPool",
        "Reshape",
        "Transpose",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Identity",
        "Dropout",
        "Slice",
        "Relu",
    }
)
"""Operators that pass integers on under the same scale."""
QUANTISING = frozenset({"QuantizeLinear", "DequantizeLinear", "ConvInteger", "MatMulInteger", "MatMulNBits"})
"""Operators of quantised graphs besides those whose names begin so."""


@dataclass(frozen=True)
class Quantization:
    """`real = (integer - zero) * scale` of a tensor."""

    scale: float
    zero: int
    dtype: str

    def tensors(self, scale: str, zero: str) -> list[onnx.TensorProto]:
        """Return scale and zero point as constants of the given names."""
        values = {scale: np.array(self.scale, np.float32), zero: np.array(self.zero, self.dtype)}
        return [onnx.numpy_helper.from_array(value, name) for name, value in values.items()]

    def real(self, integers: NDArray[Any]) -> NDArray[np.float32]:
        return ((integers.astype(np.float32) - self.zero) * np.float32(self.scale)).astype(np.float32)


def quantization_of(graph: onnx.GraphProto, name: str, measured: Measured) -> Quantization | None:
    """Return the quantisation of an integer tensor, None for a float one.

    Raises SplitError where no operator around the tensor names a constant scale.
    """
    if measured.values[name].dtype not in ("uint8", "int8"):
        return None
    names = from_readers(graph, name) or from_maker(graph, name)
    constants = constant_values(graph)
    if names is None or names[0] not in constants or (names[1] and names[1] not in constants):
        raise SplitError(f"tensor {name!r} holds integers and nothing around it names their scale")
    scale, zero = names
    offset = int(constants[zero].ravel()[0]) if zero else 0
    return Quantization(float(constants[scale].ravel()[0]), offset, measured.values[name].dtype)


def from_readers(graph: onnx.GraphProto, name: str) -> tuple[str, str] | None:
    """Ask the operators that read the tensor: each integer operand is followed by its scale and zero point."""
    readers, reached = consumers(graph), [name]
    for tensor in reached:
        for node in readers.get(tensor, []):
            if node.op_type == "DequantizeLinear" or node.op_type.startswith(("QLinear", "QGemm")):
                return operands(node, list(node.input).index(tensor) + 1)
            if node.op_type in KEEPING and node.output[0] not in reached:
                reached.append(node.output[0])
    return None


def from_maker(graph: onnx.GraphProto, name: str) -> tuple[str, str] | None:
    """Ask the operator that made the tensor, or what it merely passed on."""
    made = producers(graph)
    node = made.get(name)
    while node is not None and node.op_type in KEEPING:
        node = made.get(node.input[0])
    return operands(node, 1) if node is not None and node.op_type == "QuantizeLinear" else None


def operands(node: onnx.NodeProto, first: int) -> tuple[str, str]:
    """Return the names of scale and zero point; an operand that is left out is empty."""
    padded: list[str] = [*node.input, "", ""]
    return padded[first], padded[first + 1]


def constant_values(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the small constants of a graph by name."""
    values = {k: onnx.numpy_helper.to_array(t) for k, t in initializers(graph).items() if np.prod(t.dims) <= 1}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].HasField("t"):
            values[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
    return values


def is_quantising(node: onnx.NodeProto) -> bool:
    """Say whether an operator goes from real numbers to integers, back, or computes on such integers."""
    kind = node.op_type
    return kind.startswith(("QLinear", "QGemm", "DynamicQuantize")) or kind in QUANTISING

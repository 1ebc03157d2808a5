"""What a trained graph remembers of the inputs it was trained on: centred layers, colours, an input's range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..types import Content, Floats, Measured, PictureInput
from .content import content_of
from .cut import Part, extract
from .load import opset
from .walk import constants_of, consumers, downstream, producers

CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
UNCHANGED = ("Cast", "Reshape", "Unsqueeze", "Squeeze", "Identity")
"""Operators behind which a constant is the same numbers."""
BEFORE_COLOURS = frozenset(
    {"Cast", "Transpose", "Identity", "Mul", "Div", "Sub", "Add", "Pad", "BatchNormalization"}
    | {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
)
"""Operators between the picture and the first convolution that keep the colours apart and in order."""


@dataclass(frozen=True)
class Centred:
    """A layer after which the mean of every channel over the training pictures is `learned - shift`, or near it.

    A batch normalisation took the mean off; folded into a convolution it left a bias that does. `tensor` plus `shift`
    is the layer's output; its mean per channel, along `axis`, is that of the training or a small number that was
    learned. `bias` is what remains without any input.
    """

    tensor: str
    axis: int
    shift: Floats
    bias: Floats


def centred_layers(proto: onnx.ModelProto, picture: str, measured: Measured, most: int) -> list[Centred]:
    """List the first layers with a bias or a normalisation per channel; one position alone tells no mean."""
    values, found, held = measured.values, list[Centred](), Constants(proto.graph)
    below = downstream(proto.graph, [picture])
    for node in proto.graph.node:
        if len(found) == most:
            break
        layer = layer_of(node, held) if node.output and node.output[0] in below else None
        value = values.get(layer.tensor) if layer else None
        if layer is None or value is None or value.dtype[:5] != "float" or len(value.shape) <= layer.axis:
            continue
        channels = value.shape[layer.axis]
        if channels == layer.bias.size > 2 and int(np.prod(value.shape)) >= 4 * channels:
            found.append(layer)
    return found


def means_graph(proto: onnx.ModelProto, picture: str, measured: Measured, layers: Sequence[Centred]) -> Content:
    """Serialise the graph from the picture to the mean `[C]` of each layer's tensor by channel, in their order.

    Raises SplitError where the layers need anything besides the picture.
    """
    part = extract(proto, measured, Part(picture, tuple(dict.fromkeys(layer.tensor for layer in layers))))
    del part.graph.output[:]
    for i, layer in enumerate(layers):
        rest = [axis for axis in range(len(measured.values[layer.tensor].shape)) if axis != layer.axis]
        real, mean, axes = f"ddcam_real_{i}", f"ddcam_mean_{i}", f"ddcam_axes_{i}"
        part.graph.node.append(helper.make_node("Cast", [layer.tensor], [real], to=onnx.TensorProto.FLOAT))
        if opset(part) < 18:
            part.graph.node.append(helper.make_node("ReduceMean", [real], [mean], axes=rest, keepdims=0))
        else:
            part.graph.initializer.append(onnx.numpy_helper.from_array(np.array(rest, np.int64), axes))
            part.graph.node.append(helper.make_node("ReduceMean", [real, axes], [mean], keepdims=0))
        part.graph.output.append(helper.make_tensor_value_info(mean, onnx.TensorProto.FLOAT, [layer.bias.size]))
    return content_of(part)


def layer_of(node: onnx.NodeProto, held: "Constants") -> Centred | None:
    if node.op_type == "BatchNormalization" and (mean := held.array(node.input[3])) is not None:
        return Centred(node.input[0], 1, -mean.ravel(), -mean.ravel())
    if node.op_type == "Conv" and len(node.input) > 2 and (bias := held.array(node.input[2])) is not None:
        return Centred(node.output[0], 1, np.zeros_like(bias.ravel()), bias.ravel())
    if node.op_type != "Add":
        return None
    for name in node.input:
        bias = held.array(name)
        if bias is not None and bias.size > 2 and bias.size == max(bias.shape):
            from_end = bias.ndim - int(np.argmax(bias.shape))  # [C] is the last axis, [C, 1, 1] the third from the end
            return Centred(node.output[0], 4 - from_end, np.zeros_like(bias.ravel()), bias.ravel())
    return None


def colour_weights(proto: onnx.ModelProto, picture: PictureInput) -> tuple[Floats, int] | None:
    """Return the norm of the first convolution's weights of each of three colours, and how many weights a colour has.

    None where something else reads the picture, or something that may put the colours into another order.
    """
    weights = first_weights(proto, picture)
    if weights is None or weights.shape[1] != 3:
        return None
    return np.sqrt((weights**2).sum((0, 2, 3))), weights[:, 0].size


def neighbours(proto: onnx.ModelProto, picture: PictureInput) -> float | None:
    """Return the correlation of neighbouring weights of the first convolution, in deviations of that of random ones."""
    weights = first_weights(proto, picture)
    if weights is None or min(weights.shape[2:]) < 2:
        return None
    left, right = weights[..., :-1].ravel(), weights[..., 1:].ravel()
    norm = float(np.sqrt((left**2).sum() * (right**2).sum()))
    return float((left * right).sum()) / norm * np.sqrt(left.size) if norm > 0 else None


def first_weights(proto: onnx.ModelProto, picture: PictureInput) -> NDArray[np.float64] | None:
    """Return the weights of the convolution that reads the picture, or what keeps its colours as they are."""
    held, readers, name = Constants(proto.graph), consumers(proto.graph), picture.name
    for _ in range(12):
        first = [node for node in readers.get(name, []) if node.op_type != "Shape"]
        if len(first) != 1:
            return None
        if first[0].op_type in CONVOLUTIONS:
            weights = held.weights(first[0])
            return weights if weights is not None and weights.ndim == 4 else None
        if first[0].op_type not in BEFORE_COLOURS:
            return None
        name = first[0].output[0]
    return None


def recorded_range(proto: onnx.ModelProto, picture: str) -> tuple[float, float] | None:
    """Return the range of real numbers that a quantised model's first node lets in; None where there is none."""
    held = Constants(proto.graph)
    for node in consumers(proto.graph).get(picture, []):
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = held.array(node.input[1]), held.array(node.input[2]) if len(node.input) > 2 else np.zeros(1)
        raw = held.tensor(node.input[2]) if len(node.input) > 2 else None
        if scale is None or zero is None or scale.size != 1:
            return None
        signed = raw is not None and raw.data_type == onnx.TensorProto.INT8
        low, high = (-128, 127) if signed else (0, 255)
        unit, offset = float(scale.ravel()[0]), float(zero.ravel()[0])
        return (low - offset) * unit, (high - offset) * unit
    return None


class Constants:
    """The constants of a graph, through what leaves their numbers alone."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.held: Mapping[str, onnx.TensorProto] = constants_of(graph)
        self.made = producers(graph)

    def tensor(self, name: str) -> onnx.TensorProto | None:
        return self.held.get(name)

    def array(self, name: str, depth: int = 6) -> NDArray[np.float64] | None:
        """Return real numbers, dequantised; None where they are not constant or not plain."""
        if name in self.held:
            return _real(self.held[name])
        node = self.made.get(name)
        if node is None or not depth or not node.input:
            return None
        if node.op_type in UNCHANGED:
            inner = self.array(node.input[0], depth - 1)
            shape = self.array(node.input[1], 1) if node.op_type == "Reshape" else None
            return inner if inner is None or shape is None else _reshaped(inner, shape)
        if node.op_type != "DequantizeLinear":
            return None
        parts = [self.array(each, depth - 1) for each in node.input]
        return None if any(p is None for p in parts) else _dequantised(*[p for p in parts if p is not None])

    def weights(self, node: onnx.NodeProto) -> NDArray[np.float64] | None:
        """Return a convolution's weights as real numbers, up to a factor for all of them."""
        place = 3 if node.op_type == "QLinearConv" else 1
        weights = self.array(node.input[place])
        if weights is None or node.op_type == "Conv":
            return weights
        integer = node.op_type == "ConvInteger"  # which has no scale, one factor for all
        zero = node.input[3:4] if integer else node.input[5:6]
        rest = [np.ones(1) if integer else self.array(node.input[4]), *(self.array(name) for name in zero)]
        if any(each is None for each in rest):
            return None
        return _dequantised(weights, *[each for each in rest if each is not None])


def _real(tensor: onnx.TensorProto) -> NDArray[np.float64] | None:
    if tensor.data_type in (onnx.TensorProto.STRING, onnx.TensorProto.COMPLEX64, onnx.TensorProto.COMPLEX128):
        return None
    return onnx.numpy_helper.to_array(tensor).astype(np.float64)


def _reshaped(values: NDArray[np.float64], shape: NDArray[np.float64]) -> NDArray[np.float64] | None:
    wanted = [int(side) for side in shape.ravel()]
    known = int(np.prod([side for side in wanted if side > 0]))
    return values.reshape(wanted) if 0 not in wanted and values.size % max(known, 1) == 0 else None


def _dequantised(
    values: NDArray[np.float64], scale: NDArray[np.float64], zero: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Undo a quantisation of all of a tensor or of each output, its first axis."""
    axes = (-1, *[1] * (values.ndim - 1))
    scale = scale.reshape(axes) if scale.size == values.shape[0] else scale.ravel()[:1]
    taken = 0.0 if zero is None else zero.reshape(axes) if zero.size == values.shape[0] else zero.ravel()[:1]
    return np.asarray((values - taken) * scale)

"""What a graph does to pixels before its first layer, and so in which numbers it takes them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from ..types import Floats
from .walk import constants_of, consumers

PASSING = frozenset({"Cast", "CastLike", "Transpose", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Resize"})
"""Operators that may stand before or between the arithmetic."""
WIDTH, REACH = (0.8, 10.0), 6.0
"""How wide the values of a normalised picture are, and how far from 0 they lie."""
SHIFTED = 0.2
"""What is taken off pixels of 0..1 at least, as a share of the width: a factor alone does not tell that it is 1."""
MEANS = (10.0, 200.0)
"""Means of pixels 0..255 that are taken off without any division, as Caffe and MATLAB do."""
ORDERED = 0.03
"""Share of the largest pixel that blue's mean lies below red's in photographs."""


@dataclass(frozen=True)
class Normalised:
    """The largest pixel that a graph expects, the order of the colours that its means tell, and its nodes."""

    largest: Literal[1, 255]
    color: Literal["RGB", "BGR"]
    nodes: str


@dataclass(frozen=True)
class Affine:
    """Pixels become `scale * x + shift`, one number or one a channel; None is what is not of that kind."""

    scale: Floats
    shift: Floats

    def after(self, node: onnx.NodeProto, known: dict[str, onnx.TensorProto], tensor: str) -> "Affine | None":
        values: list[Floats] = [
            onnx.numpy_helper.to_array(known[name]).astype(np.float64).ravel() for name in node.input if name in known
        ]
        few = all(value.size in (1, 3) for value in values)
        if node.op_type == "BatchNormalization" and len(values) == 4 and few:
            return self.normalised(*values)
        if len(node.input) != 2 or len(values) != 1:
            return None
        value = values[0]
        if not few and node.op_type in ("Add", "Sub"):
            value = value.mean(keepdims=True)  # a mean picture
        elif not few:
            return None
        return self.changed(node.op_type, value) if node.input[0] == tensor else self.changed_by(node.op_type, value)

    def changed(self, operator: str, value: Floats) -> "Affine | None":
        """Return the result of `self operator value`."""
        match operator:
            case "Add":
                return Affine(self.scale, self.shift + value)
            case "Sub":
                return Affine(self.scale, self.shift - value)
            case "Mul":
                return Affine(self.scale * value, self.shift * value)
            case "Div" if value.all():
                return Affine(self.scale / value, self.shift / value)
        return None

    def changed_by(self, operator: str, value: Floats) -> "Affine | None":
        """Return the result of `value operator self`."""
        if operator == "Sub":
            return Affine(-self.scale, value - self.shift)
        return self.changed(operator, value) if operator in ("Add", "Mul") else None

    def normalised(self, gain: Floats, bias: Floats, mean: Floats, variance: Floats) -> "Affine":
        slope = gain / np.sqrt(np.maximum(variance, 1e-5))
        return Affine(self.scale * slope, (self.shift - mean) * slope + bias)


def find_normalised(proto: onnx.ModelProto, picture: str) -> Normalised | None:
    """Follow the picture through the arithmetic before the first layer, and say which pixels come out normalised.

    Those of 0..255 that are scaled to a few units around 0, or have their mean taken off; those of 0..1 that are
    shifted and scaled to such. None where there is no such arithmetic or it is something else, as a learned layer is.
    """
    known, readers = constants_of(proto.graph), consumers(proto.graph)
    found, tensor = Affine(np.ones(1), np.zeros(1)), picture
    names: list[str] = []
    while len(reading := readers.get(tensor, [])) == 1:
        [node] = reading
        if node.op_type not in PASSING:
            following = found.after(node, known, tensor)
            if following is None:
                break
            found, names = following, [*names, f"{node.op_type} {node.name or node.output[0]!r}"]
        tensor = node.output[0]
    largest = largest_of(found) if names else None
    return None if largest is None else Normalised(largest, order_of(found, largest), ", ".join(names))


def largest_of(found: Affine) -> Literal[1, 255] | None:
    scale, shift = float(found.scale.mean()), float(found.shift.mean())
    if np.isclose(scale, 1) and MEANS[0] <= -shift <= MEANS[1]:
        return 255
    for largest in (255, 1):
        ends = (shift, scale * largest + shift)
        normal = WIDTH[0] <= abs(scale) * largest <= WIDTH[1] and max(map(abs, ends)) <= REACH
        if normal and (largest == 255 or -shift >= SHIFTED * scale > 0):
            return 255 if largest == 255 else 1
    return None


def order_of(found: Affine, largest: int) -> Literal["RGB", "BGR"]:
    """Tell the order by the means: photographs have the least blue."""
    means = np.broadcast_to(-found.shift / found.scale, 3)
    return "BGR" if means[2] - means[0] > ORDERED * largest and means[1] > means[0] else "RGB"

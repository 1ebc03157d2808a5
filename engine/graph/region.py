"""Where a segmenter has the scores of each place, before the softmax, sigmoid or argmax that may follow them."""

from typing import Literal, NamedTuple

import onnx

from ..errors import ModelError, OptionError
from ..types import Measured
from .interface import describe_output, final_activation
from .walk import producers

PASSING = frozenset({"Identity", "Cast", "Squeeze", "Unsqueeze"})


class Places(NamedTuple):
    """A tensor `[1, C, h, w]` or `[1, h, w, C]` of scores, and what follows it."""

    tensor: str
    ending: Literal["none", "sigmoid"]


def find_places(proto: onnx.ModelProto, measured: Measured, asked: str | None = None) -> Places:
    """Return the scores of places: of the first output that has them, or of the one asked for.

    Raises ModelError where there are none, OptionError for an output that does not exist.
    """
    outputs = {output.name: output for output in proto.graph.output}
    listed = "; ".join(map(describe_output, outputs.values()))
    if asked is not None and asked not in outputs:
        raise OptionError(f"the model has no output {asked!r}; its outputs are: {listed}")
    for name in outputs if asked is None else [asked]:
        found = behind(proto, name)
        value = measured.values.get(found.tensor)
        real = value is not None and value.dtype.startswith(("float", "bfloat"))
        if value and real and len(value.shape) == 4 and sorted(value.shape)[-2] > 1:
            return found
    raise ModelError(
        f"expected an output with class scores for places, [N, C, h, w] or [N, h, w, C]; the model's outputs are: "
        f"{listed}; a region can be chosen of segmenters only"
    )


def behind(proto: onnx.ModelProto, output: str) -> Places:
    """Walk back over an argmax, or a softmax or sigmoid, to the scores that enter it."""
    made, name = producers(proto.graph), output
    node = made.get(name)
    while node is not None and node.op_type in PASSING:
        node = made.get(node.input[0])
    if node is not None and node.op_type == "ArgMax":
        name = node.input[0]
    node = made.get(name)
    end = final_activation(node, made) if node is not None else None
    if end is None:
        return Places(name, "none")
    before, activation, _ = end
    return Places(before, "sigmoid" if activation == "sigmoid" else "none")

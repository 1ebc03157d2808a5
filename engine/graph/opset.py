"""Raise a model to an operator set that the rules are written for."""

import onnx
from onnx import defs, inliner, version_converter

from ..errors import GradientError
from .load import one_line, opset

LOWEST, HIGHEST = 18, 21
"""Reductions take their axes as an input from 18 on; from 22 on ONNX Runtime 1.31 has no CUDA kernel for MaxPool,
InstanceNormalization and Elu."""


def raised(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model at an operator set from LOWEST on; a newer one is lowered to HIGHEST where that can be done.

    Raises GradientError where the converter cannot raise it. The result must be compared with the original.
    """
    found = opset(proto)
    if LOWEST <= found <= HIGHEST:
        return proto
    try:
        return version_converter.convert_version(spelled_out(proto), LOWEST if found < LOWEST else HIGHEST)
    except Exception as error:  # the converter's exceptions share no base class
        if found > HIGHEST:
            return proto
        raise GradientError(
            f"the model's operator set {found} cannot be raised to {LOWEST}, which gradients need: {one_line(error)}; "
            "explain with a method that needs no gradients, such as dd-cam"
        ) from error


def raised_to(proto: onnx.ModelProto, lowest: int) -> onnx.ModelProto:
    """Return the model as it is from operator set `lowest` on, else raised as `raised` does."""
    return proto if opset(proto) >= lowest else raised(proto)


def spelled_out(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Write operators that HIGHEST has not yet (Attention, RMSNormalization, ...) as the older ones they stand for.

    The others of a newer set then have their gradient rules, and none is needed for these.
    """
    kinds = {node.op_type for node in proto.graph.node if node.domain in ("", "ai.onnx")}
    newer = [kind for kind in sorted(kinds) if not defs.has(kind, HIGHEST, "")]
    if not newer:
        return proto
    return inliner.inline_selected_functions(proto, [("", name) for name in newer], inline_schema_functions=True)

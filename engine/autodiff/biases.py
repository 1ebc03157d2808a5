"""What convolutions and batch normalisations add to their channels, as far as the graph has it as constants."""

import numpy as np
import onnx
from numpy.typing import NDArray

from ..graph.walk import attribute, path_nodes
from .forward import Forward
from .node import Operands

Values = NDArray[np.floating]


def added(forward: Forward, operands: Operands, source: str, target: str) -> dict[str, Values]:
    """Return tensors `[N, K, h, w]` between two others and the bias `[1, K, 1, 1]` of the layer that makes each.

    Where a batch normalisation was folded into a convolution, theirs together is that of the convolution.
    """
    found = {}
    for node in path_nodes(forward.model.graph, source, target):
        bias = bias_of(node, operands)
        if bias is not None and len(forward.known.shapes[node.output[0]]) == 4:
            found[node.output[0]] = bias.astype(np.float32).reshape(1, -1, 1, 1)
    return found


def bias_of(node: onnx.NodeProto, operands: Operands) -> Values | None:
    """Return the bias `[K]` of a layer; that of a batch normalisation is b - mean scale / sqrt(variance + e)."""
    if node.op_type in ("Conv", "ConvTranspose") and len(node.input) > 2:
        return operands.constant(node.input[2])
    if node.op_type != "BatchNormalization":
        return None
    values = [operands.constant(name) for name in node.input[1:5]]
    scale, bias, mean, variance = (None if value is None else value.astype(np.float64) for value in values)
    if scale is None or bias is None or mean is None or variance is None:
        return None
    epsilon = attribute(node, "epsilon")
    return bias - mean * scale / np.sqrt(variance + (epsilon if isinstance(epsilon, float) else 1e-5))

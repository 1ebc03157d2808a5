"""Backward rules that pass over quantisation as if nothing had been rounded."""

from ..graph.build import Var
from .node import Cotangents, Node
from .registry import Rule, Rules
from .rules import VJP


def quantize(node: Node, g: Var) -> Cotangents:
    """Ignore the rounding and clipping of y = round(x / s) + z: dx = g / s."""
    return ((g / scale_of(node)).shaped(g.shape),)


def dequantize(node: Node, g: Var) -> Cotangents:
    """Scale back, y = (x - z) s: dx = g s."""
    return ((g * scale_of(node)).shaped(g.shape),)


def scale_of(node: Node) -> Var:
    """Return the scale in a shape that broadcasts: one number, or one along the node's axis."""
    scale = node.operand(1)
    if scale.rank == 0 or scale.sizes == (1,):
        return scale
    shape = [1] * node.operand(0).rank
    shape[node.integer("axis", 1)] = -1
    return scale.reshape(shape)


STRAIGHT: dict[str, Rule] = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}


def straight_through(rules: Rules = VJP) -> Rules:
    """Return rules that go straight through QuantizeLinear and DequantizeLinear (Bengio et al., 2013)."""
    return {**rules, **STRAIGHT}

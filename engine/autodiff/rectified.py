"""Backward rules that treat ReLU unlike its gradient: guided backpropagation and deconvolution."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from ..errors import GradientError
from ..graph.build import Var
from ..graph.build import relu as positive
from .node import Cotangents, Node
from .registry import Rules
from .rules import VJP

RECTIFIERS = frozenset({"Relu", "Clip"})
OTHERS = frozenset(
    {"Celu", "Elu", "Erf", "Gelu", "HardSwish", "LeakyRelu", "Mish", "PRelu", "Selu", "Softplus", "Softsign", "Swish"}
    | {"Tanh", "ThresholdedRelu"}
)
"""Activations whose backward pass neither method says anything about."""
GATING = frozenset({"Add", "Clip", "Div", "HardSigmoid", "Identity", "Mul", "Relu", "Sigmoid"})
"""What may make a gate out of the very tensor that it weighs: SiLU and hard swish, written out."""


def guided(node: Node, g: Var) -> Cotangents:
    """Let pass what is positive, where the unit is active: dx = max(g, 0) dy/dx."""
    return VJP[node.kind](node, positive(g).shaped(g.shape)) if rectifies(node) else VJP[node.kind](node, g)


def deconvolved(node: Node, g: Var) -> Cotangents:
    """Let pass what is positive, whatever the unit does: dx = max(g, 0)."""
    return (positive(g).shaped(g.shape),) if rectifies(node) else VJP[node.kind](node, g)


def rectifies(node: Node) -> bool:
    """Say whether a node is a ReLU, or a Clip from 0 on, as ReLU6 is written."""
    low = node.value(1) if node.kind == "Clip" else np.zeros(1)
    return low is not None and not np.any(low)


GUIDED: Rules = {**VJP, "Relu": guided, "Clip": guided}
DECONVOLVED: Rules = {**VJP, "Relu": deconvolved, "Clip": deconvolved}


def require_relu(path: Sequence[onnx.NodeProto]) -> None:
    """Raise GradientError where the nodes from picture to scores hold no ReLU, or other activations too."""
    makers = {name: node for node in path for name in node.output}
    strange = [node for node in path if node.op_type in OTHERS or is_self_gated(node, makers)]
    if strange:
        named = f"{strange[0].op_type} (node {strange[0].name or strange[0].output[0]!r}) is another activation"
    elif not any(node.op_type in RECTIFIERS for node in path):
        named = "this model has none"
    else:
        return
    raise GradientError(
        f"guided backpropagation and deconvolution change the backward pass of ReLU alone, and {named}; "
        "take smoothgrad or integrated-gradients, which ask nothing of activations"
    )


def is_self_gated(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Say whether a Mul weighs a tensor by something made of that tensor element by element."""
    names = [name for name in node.input if name in makers]
    if node.op_type != "Mul" or len(names) != 2:
        return False
    return names[0] in made_of(names[1], makers) or names[1] in made_of(names[0], makers)


def made_of(name: str, makers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """Return the tensors that one is made of by a chain of operators that may make a gate."""
    found: set[str] = set()
    while name in makers and makers[name].op_type in GATING:
        above = [given for given in makers[name].input if given in makers]
        if len(above) != 1:
            break
        name = above[0]
        found.add(name)
    return found

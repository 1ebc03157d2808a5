"""The registry of gradient rules: one function an operator, filed by a decorator."""

from collections.abc import Callable, Mapping

from ..graph.build import Var
from .node import Cotangents, Node

Rule = Callable[[Node, Var], Cotangents]
"""`(node, g)`: append to the graph (`g.op`) what makes cotangents of the inputs out of that of the first output."""
Rules = Mapping[str, Rule]

INSTEAD = "explain with a method that needs no gradients, such as dd-cam"
"""What a user can do where there is no gradient."""
ELSE = f"; {INSTEAD}"
"""The end of a refusal that has nothing else to offer."""
VJP: dict[str, Rule] = {}
"""The vector-Jacobian product of each operator."""
READS_ALL: set[str] = set()
"""Operators of several outputs, whose rules read `node.gs`; `g` is any of them that is there."""
FLAT = frozenset(
    {"ArgMax", "ArgMin", "BitShift", "Bernoulli", "Ceil", "ConstantOfShape", "Equal", "EyeLike", "Floor", "Greater"}
    | {"GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "NonZero", "OneHot"}
    | {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "Round", "Shape", "Sign"}
    | {"Size", "Multinomial", "NonMaxSuppression", "Unique", "Hardmax"}
)
"""Operators whose derivative is zero wherever it exists."""


def vjp(*op_types: str) -> Callable[[Rule], Rule]:
    """File a rule under the operators that it is for."""

    def register(rule: Rule) -> Rule:
        VJP.update(dict.fromkeys(op_types, rule))
        return rule

    return register


def vjp_of_all(*op_types: str) -> Callable[[Rule], Rule]:
    """File a rule that reads the cotangents of all outputs from `node.gs`, some of which may be None."""
    READS_ALL.update(op_types)
    return vjp(*op_types)

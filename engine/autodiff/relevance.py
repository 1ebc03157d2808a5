"""Backward rules of relevance (LRP): what reaches a tensor is how much of the logit is due to each of its elements.

A layer hands the relevance of its results on to what they are made of, in the proportion of the contributions. So a
rule is x times the layer's own gradient rule, asked for relevance over result.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
from numpy.typing import NDArray

from ..errors import GradientError
from ..graph.build import Var, relu
from .node import Cotangents, Node
from .registry import Rule, Rules
from .rules import VJP
from .shaping import reshaped, unbroadcast

EPSILON = 1e-6
"""Keeps a result that is 0 from being divided by; zennit's default."""
Weights = NDArray[np.floating]
Change = Callable[[Weights], Weights]
"""What a rule makes of weights, and of a bias."""

ACTIVATIONS = frozenset(
    {"BatchNormalization", "Celu", "Clip", "Elu", "Erf", "Gelu", "GroupNormalization", "HardSigmoid", "HardSwish"}
    | {"InstanceNormalization", "LayerNormalization", "LeakyRelu", "Min", "Mish", "PRelu", "Pow", "RMSNormalization"}
    | {"Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"}
)
"""One result for each element: its relevance is that of the element."""
MOVES = frozenset(
    {
        "Cast",
        "CastLike",
        "CenterCropPad",
        "Compress",
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
    }
    | {"GatherElements", "GatherND", "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile"}
    | {"Transpose", "Unsqueeze", "Where"}
    | {"GlobalMaxPool", "Max", "MaxPool", "ReduceMax"}
)
"""Elements are put elsewhere, or the largest is taken: relevance goes the way of gradients."""
MEANS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Resize"})
FILTERS, DENSE = frozenset({"Conv", "ConvTranspose"}), frozenset({"Einsum", "Gemm", "MatMul"})


# ----- Layers with weights -----


def epsilon(rule: Rule) -> Rule:
    """Share by contribution: R_i = sum_j x_i w_ij R_j / z_j, where z_j, the bias in it, is kept from 0."""

    def share(node: Node, g: Var) -> Cotangents:
        i = only(node)
        x, found = node.operand(i), rule(node, over(g, node.result))[i]
        return [*[None] * i, found and (x * found).shaped(x.shape)]

    return share


def z_plus(rule: Rule) -> Rule:
    """Share by what raises a result alone: x+ with w+ and x- with w-."""

    def share(node: Node, g: Var) -> Cotangents:
        return by_parts(rule, node, g, parts(node, positive, negative))

    return share


def gamma(rule: Rule, by: float) -> Rule:
    """Share with what raises a positive result (lowers a negative one) weighed more: w + by w+, or w + by w-."""

    def share(node: Node, g: Var) -> Cotangents:
        above = (node.result >= 0.0).cast(g.dtype)
        rise, fall = (partial(favoured, side=side, by=by) for side in (positive, negative))
        up = by_parts(rule, node, (g * above).shaped(g.shape), parts(node, rise, fall))
        down = by_parts(rule, node, (g * (1.0 - above)).shaped(g.shape), parts(node, fall, rise))
        return [a and b and (a + b).shaped(a.shape) for a, b in zip(up, down, strict=True)]

    return share


def alpha_beta(rule: Rule) -> Rule:
    """Share twice the relevance by what raises a result, and take back once by what lowers it."""

    def share(node: Node, g: Var) -> Cotangents:
        up = by_parts(rule, node, g, parts(node, positive, negative))
        down = by_parts(rule, node, g, parts(node, negative, positive))
        return [a and b and (a * 2.0 - b).shaped(a.shape) for a, b in zip(up, down, strict=True)]

    return share


def flat(rule: Rule, behind: Callable[[Rule], Rule]) -> Rule:
    """Share evenly among all that a result of the first layer sees; the layers behind it have another rule."""
    later = behind(rule)

    def share(node: Node, g: Var) -> Cotangents:
        if not node.first:
            return later(node, g)
        x = node.operand(only(node))
        return by_parts(rule, node, g, [applied(node, (x * 0.0 + 1.0).shaped(x.shape), np.ones_like, biased=False)])

    return share


def positive(w: Weights) -> Weights:
    return np.maximum(w, 0)


def negative(w: Weights) -> Weights:
    return np.minimum(w, 0)


def favoured(w: Weights, side: Change, by: float) -> Weights:
    return w + by * side(w)


def parts(node: Node, rise: Change, fall: Change) -> list[Node]:
    """Return the layer on the positive inputs with weights and bias under `rise`, and on the negative under `fall`."""
    x = node.operand(only(node))
    above = relu(x).shaped(x.shape)
    return [applied(node, above, rise, biased=True), applied(node, (x - above).shaped(x.shape), fall, biased=False)]


def applied(node: Node, x: Var, change: Change, biased: bool) -> Node:
    """Append the same layer on another input, with its weights changed, with or without its bias."""
    i, operands, held = only(node), list(node.x), {}
    for at, operand in enumerate(node.x):
        value = node.value(at)
        if at == i or operand is None or value is None:
            continue
        made = x.op.constant(change(value).astype(value.dtype))
        held[made.name] = change(value)
        operands[at] = made if at < 2 or biased else None
    operands[i] = x
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.proto.attribute}
    result = x.op.node(node.kind, operands, **attributes).shaped(node.result.shape)
    return replace(node, x=tuple(operands), y=(result,), constant=lambda name: held.get(name, node.constant(name)))


def by_parts(rule: Rule, node: Node, g: Var, made: Sequence[Node]) -> list[Var | None]:
    """Share g by the contributions of layers whose results are summed."""
    i = only(node)
    share = over(g, added([part.result for part in made]))
    found = [(part.operand(i), rule(part, share)[i]) for part in made]
    return [*[None] * i, added([(x * r).shaped(x.shape) for x, r in found if r])]


def added(values: Sequence[Var]) -> Var:
    """Sum one or two values of the same shape."""
    return values[0] if len(values) == 1 else (values[0] + values[1]).shaped(values[0].shape)


def only(node: Node) -> int:
    """Return the position of the one operand that moves; the others must be constants."""
    [*moving] = node.needs
    if len(moving) > 1 or any(x is not None and node.value(i) is None for i, x in enumerate(node.x) if i != moving[0]):
        raise GradientError(
            f"no relevance through {node.label}, a product of two things that depend on the picture, as attention has "
            "it; explain with attention-relevance or deeplift"
        )
    return moving[0]


def over(g: Var, z: Var) -> Var:
    """Divide relevance by results, kept from 0 on their own side of it."""
    return (g / (z + (z >= 0.0).where(EPSILON, g.op.value(-EPSILON, g.dtype)))).shaped(g.shape)


# ----- What has none -----


def passed(node: Node, g: Var) -> Cotangents:
    """Hand on the relevance of a result to the first operand that moves."""
    i = min(node.needs)
    return [*[None] * i, reshaped(unbroadcast(g, node.operand(i)), node.operand(i))]


def add(node: Node, g: Var) -> Cotangents:
    """Share by contribution; a bias keeps what it adds, a single number (as in 1 + erf) is none."""
    if shifts(node):
        return passed(node, g)
    share = over(g, node.result)
    return [x and unbroadcast((x * share).shaped(g.shape), x) for x in node.x]


def subtract(node: Node, g: Var) -> Cotangents:
    """Share as a sum does, what is taken off with its sign."""
    if shifts(node):
        return passed(node, g)
    a, b, share = node.operand(0), node.operand(1), over(g, node.result)
    return unbroadcast((a * share).shaped(g.shape), a), -unbroadcast((b * share).shaped(g.shape), b)


def shifts(node: Node) -> bool:
    """Say whether a single number is all that is added."""
    rest = [x for i, x in enumerate(node.x) if x is not None and i not in node.needs]
    return len(node.needs) == 1 and all(set(x.sizes) <= {1} for x in rest)


def multiply(node: Node, g: Var) -> Cotangents:
    """Hand all on to the factor that has every element; two of the same shape get half each, as x sigmoid(x) has it.

    What is repeated over the other is a gate: it weighs, as weights do.
    """
    whole = [i for i in node.needs if node.operand(i).sizes == node.result.sizes] or [min(node.needs)]
    share = (g * (1 / len(whole))).shaped(g.shape) if len(whole) > 1 else g
    return [unbroadcast(share, x) if x and i in whole else None for i, x in enumerate(node.x)]


def refuse(node: Node, _: Var) -> Cotangents:
    """Refuse what has no rule."""
    instead = "attention-relevance or deeplift" if node.kind == "Softmax" else "deeplift or grad-cam"
    raise GradientError(f"no relevance through {node.label}; explain with {instead}")


def relevance(filters: Callable[[Rule], Rule], dense: Callable[[Rule], Rule] = epsilon) -> Rules:
    """Return the rules of relevance, with one for convolutions and one for dense layers."""
    return {
        **{name: refuse for name in VJP},
        **{name: passed for name in ACTIVATIONS},
        **{name: rule for name, rule in VJP.items() if name in MOVES},
        **{name: epsilon(rule) for name, rule in VJP.items() if name in MEANS},
        **{name: filters(VJP[name]) for name in FILTERS},
        **{name: dense(VJP[name]) for name in DENSE},
        **dict.fromkeys(("Add", "Sum"), add),
        "Sub": subtract,
        "Mul": multiply,
        "Div": passed,  # what divides only scales
    }

"""Backward rules of DeepLIFT: slopes between a picture and its reference in the place of slopes at a point.

A run holds pictures and then, as its second half, their references. What a rule returns is the same for both halves, so
that (x - reference) times what reaches x sums to the difference of the logits wherever every operator is linear or has
a rule here.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..errors import GradientError
from ..graph.build import Var, absolute, exp, relu, sqrt
from .node import Cotangents, Node
from .registry import Rule, Rules
from .rules import VJP
from .shaping import unbroadcast

TINY = 1e-6
"""A change below which the slope between two points is the slope at one: float32 knows seven digits."""
LEAST = 1e-30
"""Keeps a sum of powers of which all underflow from being 0."""
CURVES = frozenset(
    {"Abs", "Celu", "Clip", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Min", "Mish"}
    | {"PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh"}
    | {"ThresholdedRelu"}
)
"""Functions of each element alone."""
PRODUCTS = frozenset({"Conv", "Einsum", "Gemm", "MatMul", "Mul"})
LARGEST = frozenset({"GlobalMaxPool", "Max", "MaxPool", "ReduceMax"})


def other(x: Var) -> Var:
    """Exchange the halves of a run: what a picture's element is in its reference, and the other way round."""
    if None not in x.sizes:
        raise GradientError("a picture and its reference do not fit into one run: the model fixes its batch to 1")
    axis = x.sizes.index(None)
    halves = x.op.several("Split", [x], 2, axis=axis, num_outputs=2)
    return x.op.Concat(halves[1], halves[0], axis=axis).shaped(x.shape)


def change(x: Var) -> Var:
    """Return by how much each half differs from the other."""
    return (x - other(x)).shaped(x.shape)


def between(x: Var) -> Var:
    """Return the middle of the halves."""
    return ((x + other(x)) * 0.5).shaped(x.shape)


def ratio(change_of_y: Var, change_of_x: Var, otherwise: Var | float) -> Var:
    """Divide changes where there is one."""
    tiny = absolute(change_of_x) < TINY
    return tiny.where(otherwise, change_of_y / tiny.where(1.0, change_of_x)).shaped(change_of_x.shape)


def curve(rule: Rule) -> Rule:
    """Make the rescale rule of a function of each element: dx = g (y - y') / (x - x')."""

    def rescale(node: Node, g: Var) -> Cotangents:
        found = rule(node, g)
        if len(node.needs) > 1:
            return found
        [i] = node.needs
        slope, x = found[i], node.operand(i)
        if slope is None or x.sizes != g.sizes:
            return found
        return [*[None] * i, ratio((g * change(node.result)).shaped(g.shape), change(x), slope)]

    return rescale


def product(rule: Rule) -> Rule:
    """Make the rule of a product: of a b each factor gets its change times the middle of the other, which is exact."""

    def middle(node: Node, g: Var) -> Cotangents:
        if len(node.needs) == 1:
            return rule(node, g)
        operands = [x and (between(x) if i in node.needs else x) for i, x in enumerate(node.x)]
        return rule(replace(node, x=tuple(operands)), g)

    return middle


def largest(rule: Rule) -> Rule:
    """Make the cross-maximum rule: a change of the largest belongs to the place where the larger of both stood."""

    def cross(node: Node, g: Var) -> Cotangents:
        risen = relu(change(node.result))
        placed = rule(node, (g * risen).shaped(g.shape))
        pairs = zip(placed, node.x, strict=False)
        return [p and x and ratio(change(p.shaped(x.shape)), change(x), 0.0) for p, x in pairs]

    return cross


def divide(node: Node, g: Var) -> Cotangents:
    """Divide, y = a r, r = 1 / b: a product, where r - r' = -(b - b') r r'."""
    if 1 not in node.needs:
        return VJP["Div"](node, g)
    a, b = node.operand(0), node.operand(1)
    r = (1.0 / b).shaped(b.shape)
    middle = between(a) if 0 in node.needs else a
    db = -(g * middle * (r * other(r)))
    return unbroadcast((g * between(r)).shaped(g.shape), a), unbroadcast(db.shaped(g.shape), b)


def softmax(node: Node, g: Var) -> Cotangents:
    """Normalise powers, y = e r, e = exp(x - c), r = 1 / sum(e): a curve and a product; both halves share c."""
    x, axis = node.operand(0), node.integer("axis", -1)
    top = kept(x.max(axis), x, [axis])
    e = exp(x - x.op.Max(top, other(top))).shaped(x.shape)
    r = (1.0 / (e.sum(axis) + LEAST)).shaped(top.shape)
    de = g * between(r) - (g * between(e)).sum(axis) * (r * other(r))
    return (ratio(de * change(e), change(x), de * e),)


def layer_normalization(node: Node, g: Var) -> Cotangents:
    """Standardise, y = c i s + b, c = x - mean(x), i = 1 / sqrt(v), v = mean(c c) + e: products.

    1 / sqrt(v) changes by -(i i')^2 / (i + i') of what v changes.
    """
    x, axes = node.operand(0), list(range(node.integer("axis", -1) % node.operand(0).rank, node.operand(0).rank))
    c = (x - x.mean(axes)).shaped(x.shape)
    i = kept(1.0 / sqrt((c * c).mean(axes) + node.number("epsilon", 1e-5)), x, axes)
    q, middle, both = g * node.operand(1), between(c), i * other(i)
    dv = -(q * middle).mean(axes) * (both * both) * (2.0 / (i + other(i)))
    dc = q * between(i) + dv * middle
    return ((dc - dc.mean(axes)).shaped(x.shape),)


def kept(v: Var, like: Var, axes: Sequence[int]) -> Var:
    """Tell a reduced tensor its shape."""
    axes = [axis % like.rank for axis in axes]
    return v.shaped(tuple(1 if i in axes else size for i, size in enumerate(like.sizes)))


RESCALE: Rules = {
    **VJP,
    **{name: curve(rule) for name, rule in VJP.items() if name in CURVES},
    **{name: product(rule) for name, rule in VJP.items() if name in PRODUCTS},
    **{name: largest(rule) for name, rule in VJP.items() if name in LARGEST},
    "Div": divide,
    "Softmax": softmax,
    "LayerNormalization": layer_normalization,
}

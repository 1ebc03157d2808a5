"""Gradient rules of reductions, of what normalises by a sum, and of what sums or sorts along an axis."""

from ...errors import GradientError
from ...graph.build import Var
from ..node import Cotangents, Node
from ..registry import vjp
from .elementwise import sign


@vjp("ReduceSum")
def reduce_sum(node: Node, g: Var) -> Cotangents:
    """Sum, y = sum(x): dx = g, repeated."""
    return (spread(node, kept(node, g)),)


@vjp("ReduceMean")
def reduce_mean(node: Node, g: Var) -> Cotangents:
    """Average, y = sum(x) / n: dx = g / n, repeated."""
    return (spread(node, kept(node, over_count(node, g))),)


@vjp("ReduceMax", "ReduceMin")
def reduce_extreme(node: Node, g: Var) -> Cotangents:
    """Choose the largest or the least: g is shared among the elements that equal y."""
    hits = node.operand(0).equals(kept(node, node.result)).cast(g.dtype)
    return (hits * (kept(node, g) / summed(node, hits)),)


@vjp("ReduceProd")
def reduce_product(node: Node, g: Var) -> Cotangents:
    """Multiply, y = prod(x): dx = g times the product of the others, without a division by 0."""
    x, axes = node.operand(0), reduced(node)
    noughts = x.equals(0.0).cast(g.dtype)
    filled = x + noughts
    product = g.op.reduce("ReduceProd", filled, axes) if axes else filled
    alone = summed(node, noughts).equals(noughts).cast(g.dtype)  # no other element is 0
    return (alone * (kept(node, g) * product / filled),)


@vjp("ReduceL1")
def reduce_l1(node: Node, g: Var) -> Cotangents:
    """Sum the sizes, y = sum(|x|): dx = g sign(x)."""
    return (kept(node, g) * sign(node.operand(0)),)


@vjp("ReduceL2")
def reduce_l2(node: Node, g: Var) -> Cotangents:
    """Measure the length, y = sqrt(sum(x^2)): dx = g x / y, 0 where y = 0."""
    return (node.operand(0) * (kept(node, g) * inverted(kept(node, node.result))),)


@vjp("ReduceSumSquare")
def reduce_sum_square(node: Node, g: Var) -> Cotangents:
    """Sum the squares, y = sum(x^2): dx = 2 g x."""
    return (node.operand(0) * (kept(node, g) * 2.0),)


@vjp("ReduceLogSum")
def reduce_log_sum(node: Node, g: Var) -> Cotangents:
    """Take the logarithm of a sum, y = log(sum(x)): dx = g exp(-y), repeated."""
    return (spread(node, kept(node, g * g.op.Exp(-node.result))),)


@vjp("ReduceLogSumExp")
def reduce_log_sum_exp(node: Node, g: Var) -> Cotangents:
    """Take the logarithm of a sum of powers, y = log(sum(exp(x))): dx = g exp(x - y)."""
    return (kept(node, g) * g.op.Exp(node.operand(0) - kept(node, node.result)),)


@vjp("LpNormalization")
def lp_normalization(node: Node, g: Var) -> Cotangents:
    """Scale to length 1, y = x / n: dx = (g - d sum(g y)) / n, d = y, or sign(x) for p = 1; 0 where n = 0."""
    x, y, axis, p = node.operand(0), node.result, node.integer("axis", -1), node.integer("p", 2)
    size = g.op.reduce(f"ReduceL{p}", x, axis)
    along = (g * y).sum(axis)
    return ((g - (sign(x) if p == 1 else y) * along) * inverted(size),)


@vjp("CumSum")
def cumulative_sum(node: Node, g: Var) -> Cotangents:
    """Sum up along an axis: dx sums g up from the other end."""
    exclusive, reverse = node.integer("exclusive", 0), node.integer("reverse", 0)
    return (g.op.CumSum(g, node.operand(1), exclusive=exclusive, reverse=1 - reverse),)


@vjp("TopK")
def top_k(node: Node, g: Var) -> Cotangents:
    """Choose the best, y, i = top(x): dx is g at i, 0 elsewhere; no place is written twice."""
    x, places = node.operand(0), node.y[1]
    zeros = g.op.Expand(g.op.value(0.0, g.dtype), g.op.Shape(x))
    return (g.op.ScatterElements(zeros, places, g, axis=node.integer("axis", -1)),)


@vjp("Softmax")
def softmax(node: Node, g: Var) -> Cotangents:
    """Normalise powers, y = exp(x) / sum(exp(x)): dx = y (g - sum(g y))."""
    y = node.result
    return (y * (g - (g * y).sum(node.integer("axis", -1))),)


@vjp("LogSoftmax")
def log_softmax(node: Node, g: Var) -> Cotangents:
    """Take the logarithm of a softmax, y = x - log(sum(exp(x))): dx = g - exp(y) sum(g)."""
    return (g - g.op.Exp(node.result) * g.sum(node.integer("axis", -1)),)


def reduced(node: Node) -> list[int]:
    """Return the axes that a reduction sums over, from 0 on; they are an input or, earlier, an attribute."""
    found = node.integers("axes")
    if node.has(1):
        constant = node.value(1)
        if constant is None:
            raise GradientError(f"no gradient through {node.label}, whose axes are computed; simplify the model")
        found = [int(axis) for axis in constant]
    rank = node.operand(0).rank
    if not found:
        return [] if node.integer("noop_with_empty_axes", 0) else list(range(rank))
    return sorted(axis % rank for axis in found)


def kept(node: Node, v: Var) -> Var:
    """Give a reduced tensor (y, or its cotangent) the axes of size 1 that the node may have dropped."""
    axes, sizes = reduced(node), node.operand(0).sizes
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(sizes))
    if node.integer("keepdims", 1) or not axes:
        return v.shaped(shape)
    return v.op.Unsqueeze(v, v.op.ints(axes)).shaped(shape)


def summed(node: Node, v: Var) -> Var:
    """Sum as the node reduces, with axes of size 1; over no axes at all that is nothing to do."""
    axes = reduced(node)
    return v.sum(axes) if axes else v


def spread(node: Node, g: Var) -> Var:
    """Repeat a cotangent of y, with its axes of size 1, over the shape of x; a size of the batch is kept as it is."""
    x = node.operand(0)
    if g.shape == x.shape:
        return g
    open_axes = [axis for axis in reduced(node) if x.sizes[axis] is None]
    shape = g.op.Shape(x) if open_axes else g.op.ints([1 if size is None else size for size in x.sizes])
    return g.op.Expand(g, shape).shaped(x.shape)


def over_count(node: Node, g: Var) -> Var:
    """Divide by the number of elements that were averaged."""
    x, count = node.operand(0), 1
    for axis in reduced(node):
        size = x.sizes[axis]
        if size is None:
            return g / g.op.Div(g.op.Size(x), g.op.Size(node.result)).cast(g.dtype)
        count *= size
    return g * (1 / count)


def inverted(size: Var) -> Var:
    """Return 1 / size, 0 where the size is 0."""
    nought = size.equals(0.0).cast(size.dtype)
    return (1.0 - nought) / (size + nought)

"""Gradient rules of normalisations."""

import math
from collections.abc import Sequence

import numpy as np

from ...errors import GradientError
from ...graph.build import Var, sqrt
from ..node import Cotangents, Node
from ..registry import vjp
from ..shaping import reshaped, unbroadcast


@vjp("BatchNormalization")
def batch_normalization(node: Node, g: Var) -> Cotangents:
    """Scale by fixed statistics, y = (x - m) k + b, k = s / sqrt(v + e): dx = g k."""
    if node.integer("training_mode", 0):
        raise GradientError(f"no gradient through {node.label} in training mode; export the model for inference")
    x, epsilon = node.operand(0), node.number("epsilon", 1e-5)
    scale, variance = node.value(1), node.value(4)
    if scale is None or variance is None:
        inverse = 1.0 / sqrt(node.operand(4) + epsilon)
        factor = along_channels(node.operand(1) * inverse, x)
    else:
        factor = g.op.value((scale / np.sqrt(variance.astype(np.float64) + epsilon)).reshape(channel_shape(x)), g.dtype)
    return (g * factor, *(statistics(node, g) if node.needs - {0} else ()))


def statistics(node: Node, g: Var) -> list[Var]:
    """Return ds = dk i, db = sum(g), dm = -db k, dv = -dk s i^3 / 2, where i = 1 / sqrt(v + e), dk = sum(g (x - m))."""
    x, scale = node.operand(0), node.operand(1)
    inverse = 1.0 / sqrt(node.operand(4) + node.number("epsilon", 1e-5))
    others = [axis for axis in range(x.rank) if axis != 1]
    db = g.sum(others, keep=False)
    dk = (g * (x - along_channels(node.operand(3), x))).sum(others, keep=False)  # of k = scale inverse
    ds = dk * inverse
    return [ds, db, -(db * (scale * inverse)), ds * scale * inverse * inverse * -0.5]


def channel_shape(x: Var) -> list[int]:
    """Return the shape in which a value for each channel broadcasts over x."""
    return [-1, *[1] * (x.rank - 2)]


def along_channels(v: Var, x: Var) -> Var:
    """Let values `[C]` broadcast over x `[N, C, ...]`."""
    return v.reshape(channel_shape(x))


@vjp("LayerNormalization")
def layer_normalization(node: Node, g: Var) -> Cotangents:
    """Standardise, y = z s + b, z = (x - m) i: dx = i (q - mean(q) - z mean(q z)), q = g s; ds = g z, db = g."""
    x, scale = node.operand(0), node.operand(1)
    axis = node.integer("axis", -1) % x.rank
    z, inverse = standardised(node, x, axis)
    dx = inverse * apart((g * scale), z, range(axis, x.rank))
    ds = unbroadcast((g * z).shaped(g.shape), scale)
    return dx, ds, unbroadcast(g, node.operand(2)) if node.has(2) else None


@vjp("InstanceNormalization")
def instance_normalization(node: Node, g: Var) -> Cotangents:
    """Standardise each channel, y = z s + b, z = (x - m) i: dx = i s (g - mean(g) - z mean(g z))."""
    x = node.operand(0)
    z, inverse = standardised(node, x, 2)
    dx = inverse * along_channels(node.operand(1), x) * apart(g, z, range(2, x.rank))
    others = [axis for axis in range(x.rank) if axis != 1]
    return dx, (g * z).sum(others, keep=False), g.sum(others, keep=False)


@vjp("GroupNormalization")
def group_normalization(node: Node, g: Var) -> Cotangents:
    """Standardise groups of channels, y = z s + b: dx as of a LayerNormalization of x as `[N, groups, rest]`."""
    x, scale, groups = node.operand(0), node.operand(1), node.integer("num_groups", 1)
    size = None if None in x.sizes[1:] else math.prod(n or 0 for n in x.sizes[1:]) // groups
    shape = (x.sizes[0], groups, size)
    z, inverse = standardised(node, x.reshape([0, groups, -1]).shaped(shape), 2)
    # scale and bias have a value for each group before operator set 21, for each channel from then on
    rows, channels = [0, scale.sizes[0] or -1, -1], [scale.sizes[0] or -1, 1]
    by_row, z_by_row = g.reshape(rows), z.reshape(rows)
    q = (by_row * scale.reshape(channels)).reshape([0, groups, -1])
    dx = reshaped((inverse * apart(q, z, [2])).shaped(shape), x)
    return dx, (by_row * z_by_row).sum([0, 2], keep=False), by_row.sum([0, 2], keep=False)


@vjp("RMSNormalization")
def rms_normalization(node: Node, g: Var) -> Cotangents:
    """Scale by the size, y = x i s, i = 1 / sqrt(mean(x^2) + e): dx = i q - x i^3 mean(q x), q = g s; ds = g x i."""
    x, scale = node.operand(0), node.operand(1)
    axes = range(node.integer("axis", -1) % x.rank, x.rank)
    inverse = 1.0 / sqrt((x * x).mean(axes) + node.number("epsilon", 1e-5))
    q = g * scale
    dx = inverse * q - x * (inverse * inverse * inverse * (q * x).mean(axes))
    return dx, unbroadcast((g * (x * inverse)).shaped(g.shape), scale)


@vjp("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, g: Var) -> Cotangents:
    """Standardise over some axes, y = (x - m) i: dx = i (g - mean(g) - y mean(g y))."""
    axes, x = node.integers("axes") or [0, 2, 3], node.operand(0)
    centred = x - x.mean(axes)
    return (apart(g, node.result, axes) / (sqrt((centred * centred).mean(axes)) + 1e-9),)


@vjp("LRN")
def local_response_normalization(node: Node, g: Var) -> Cotangents:
    """Damp by neighbours, y = x d^-b, d = k + a / n W x^2: dx = g d^-b - x 2 a b / n W' (g y / d)."""
    x, y, channels, size = node.operand(0), node.result, node.operand(0).sizes[1], node.integer("size", 1)
    if channels is None:
        raise GradientError(f"no gradient through {node.label}, whose number of channels is not fixed")
    a, b = node.number("alpha", 1e-4), node.number("beta", 0.75)
    ahead = np.subtract.outer(np.arange(channels), np.arange(channels)).T  # of the window's middle, by [middle, other]
    window = ((-ahead <= (size - 1) // 2) & (ahead <= size // 2)).astype(np.float64)[..., None, None]
    bias = np.full(channels, node.number("bias", 1.0))
    d = g.op.Conv(x * x, window * (a / size), bias)
    back = g.op.Conv(g * y / d, window.swapaxes(0, 1) * (2 * a * b / size))
    return (g * d**-b - x * back,)


def apart(q: Var, z: Var, axes: Sequence[int]) -> Var:
    """Take out of q what goes along 1 and along z: q - mean(q) - z mean(q z), for z of mean 0 and variance 1."""
    return q - q.mean(axes) - z * (q * z).mean(axes)


def standardised(node: Node, x: Var, axis: int) -> tuple[Var, Var]:
    """Return z = (x - mean) i and i = 1 / sqrt(variance + epsilon), by one more LayerNormalization."""
    sizes, epsilon = x.sizes[axis:], node.number("epsilon", 1e-5)
    if None in sizes:
        return by_hand(x, range(axis, x.rank), epsilon)
    ones = np.ones([size or 0 for size in sizes])
    z, _, inverse = x.op.several("LayerNormalization", [x, ones], 3, axis=axis, epsilon=epsilon)
    return z, inverse


def by_hand(x: Var, axes: Sequence[int], epsilon: float) -> tuple[Var, Var]:
    """Return the same as `standardised`, over any axes."""
    centred = x - x.mean(axes)
    inverse = 1.0 / sqrt((centred * centred).mean(axes) + epsilon)
    return centred * inverse, inverse

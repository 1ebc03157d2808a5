"""Gradient rules of pools: MaxPool, AveragePool, LpPool and their global forms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...graph.build import Var
from ..node import Cotangents, Node
from ..registry import vjp
from ..shaping import weighted_along
from ..window import Axis, interleaved, padded, phases_of, repeated, windows

Weights = NDArray[np.floating]


@vjp("MaxPool")
def max_pool(node: Node, g: Var) -> Cotangents:
    """Take the largest of each window: g goes to the first place that holds it.

    A window is pooled along one axis after the other, the last first, so that what is first among equals stays so,
    and the gradient goes back the same way: no index is needed, nothing is scattered. For 64 x 112 x 112 and windows
    of 3 x 3 that takes 6 ms, pooling with indices 15 and adding by them 10.
    """
    x = node.operand(0)
    axes = windows(node, node.integers("kernel_shape") or [], x, node.result)
    stages = []
    for i in reversed(range(len(axes))):
        places = places_of(x, 2 + i, axes[i])
        x = x.op.Max(*places).shaped(places[0].shape) if i else node.result
        stages.append((i, places, x))
    for i, places, top in reversed(stages):
        g = laid_out(first_of_equals(places, top, g), 2 + i, axes[i])
    return (g.shaped(node.operand(0).shape),)


@vjp("AveragePool")
def average_pool(node: Node, g: Var) -> Cotangents:
    """Average each window, y = sum(x) / n: dx adds g / n over the windows that cover each place."""
    x = node.operand(0)
    axes = windows(node, node.integers("kernel_shape") or [], x, node.result)
    return (covering(g, axes, 1 / counts(node, axes)).shaped(x.shape),)


@vjp("LpPool")
def lp_pool(node: Node, g: Var) -> Cotangents:
    """Take the norm of each window, y = (sum |x|^p)^(1/p): dx adds g y^(1-p) over the windows, times x |x|^(p-2)."""
    x, p = node.operand(0), node.integer("p", 2)
    axes = windows(node, node.integers("kernel_shape") or [], x, node.result)
    shares = covering((g * norm_slope(node.result, p)).shaped(g.shape), axes, np.ones(()))
    return ((shares * power_slope(x, p)).shaped(x.shape),)


@vjp("GlobalAveragePool")
def global_average_pool(node: Node, g: Var) -> Cotangents:
    """Average all places: g over their number everywhere."""
    x = node.operand(0)
    places = [int(size or 0) for size in x.sizes[2:]]
    return ((g * np.full((1, 1, *places), 1 / np.prod(places))).shaped(x.shape),)


@vjp("GlobalMaxPool")
def global_max_pool(node: Node, g: Var) -> Cotangents:
    """Take the largest of all places: the places that hold it share g."""
    x = node.operand(0)
    hits = x.equals(node.result).cast(g.dtype)
    return (((g / hits.sum(range(2, x.rank))) * hits).shaped(x.shape),)


@vjp("GlobalLpPool")
def global_lp_pool(node: Node, g: Var) -> Cotangents:
    """Take the norm of all places, y = (sum |x|^p)^(1/p): dx = g y^(1-p) x |x|^(p-2)."""
    x, p = node.operand(0), node.integer("p", 2)
    return (((g * norm_slope(node.result, p)) * power_slope(x, p)).shaped(x.shape),)


# ----- Largest -----


def places_of(x: Var, at: int, axis: Axis) -> list[Var]:
    """Return the first place of every window along an axis, the second, ...; padding holds the lowest number."""
    lowest = float(np.finfo(x.dtype).min)
    phases, rest, places = phases_of(x, at, axis.stride, lowest), [0] * (x.rank - at - 1), []
    for j in range(axis.kernel):
        shift, phase = divmod(j * axis.dilation - axis.begin, axis.stride)
        end = axis.windows + shift - int(phases[phase].sizes[at] or 0)
        places.append(padded(phases[phase], [-shift, *rest], [end, *rest], lowest))
    return places


def first_of_equals(places: Sequence[Var], top: Var, g: Var) -> list[Var]:
    """Split g among the places of each window: all of it goes to the first place that equals the largest."""
    parts = []
    for place in places[:-1]:
        parts.append((g * place.equals(top).cast(g.dtype)).shaped(g.shape))
        g = (g - parts[-1]).shaped(g.shape)  # exact: what is left is g or 0
    return [*parts, g]


def laid_out(parts: Sequence[Var], at: int, axis: Axis) -> Var:
    """Add the j-th of the parts to the j-th place of every window."""
    length = -(-axis.size // axis.stride)
    rest = [0] * (parts[0].rank - at - 1)
    phases: list[list[Var]] = [[] for _ in range(axis.stride)]
    for j, part in enumerate(parts):
        shift, phase = divmod(j * axis.dilation - axis.begin, axis.stride)
        phases[phase].append(padded(part, [shift, *rest], [length - shift - axis.windows, *rest]))
    filled = next(phase for phase in phases if phase)
    sums = [added(phase) if phase else (filled[0] * 0.0).shaped(filled[0].shape) for phase in phases]
    return padded(interleaved(sums, at), [0, *rest], [axis.size - length * axis.stride, *rest])


def added(parts: Sequence[Var]) -> Var:
    if len(parts) == 1:
        return parts[0]
    return (parts[0] + parts[1] if len(parts) == 2 else parts[0].op.Sum(*parts)).shaped(parts[0].shape)


# ----- Average -----


def covering(g: Var, axes: Sequence[Axis], weights: Weights) -> Var:
    """Give each place the sum of g, weighted, over the windows that cover it, in the form that is fastest.

    One window, or windows side by side: the value is repeated. Windows that advance by one place: the sum is itself
    a pool. All others: a product with a matrix of 0 and 1 along each axis.
    """
    side_by_side = all(axis.kernel == axis.stride and axis.dilation == 1 and axis.begin == 0 for axis in axes)
    if all(axis.windows == 1 for axis in axes):
        cover = weights
        for i, axis in enumerate(axes):
            cover = cover * band(axis).reshape([-1 if a == 2 + i else 1 for a in range(2 + len(axes))])
        return g * cover
    if all(axis.stride == 1 and axis.dilation == 1 and axis.begin < axis.kernel for axis in axes):
        return pooled_back(g, axes, weights)
    g = scaled(g, weights)
    if side_by_side:
        return padded(repeated(g, [axis.stride for axis in axes]), [0] * len(axes), [-axis.end for axis in axes])
    for i, axis in enumerate(axes):
        g = weighted_along(g, 2 + i, band(axis))
    return g


def pooled_back(g: Var, axes: Sequence[Axis], weights: Weights) -> Var:
    """Sum over the windows, which advance by one place, by averaging over as many and undoing the division."""
    begin = [axis.reach - axis.begin for axis in axes]
    end = [axis.size + axis.reach - axis.windows - b for axis, b in zip(axes, begin, strict=True)]
    g = padded(g, [0] * len(axes), [min(e, 0) for e in end])
    kernel = [axis.kernel for axis in axes]
    pads = [*begin, *(max(e, 0) for e in end)]
    return g.op.AveragePool(scaled(g, weights * np.prod(kernel)), kernel_shape=kernel, pads=pads, count_include_pad=1)


def scaled(g: Var, weights: Weights) -> Var:
    """Multiply; nothing to do where all weights are 1."""
    return g if np.allclose(weights, 1, rtol=1e-12) else (g * weights).shaped(g.shape)


def counts(node: Node, axes: Sequence[Axis]) -> Weights:
    """Return by what the sum of each window was divided, `[1, 1, ...]`, or `[1, 1, 1, ...]` where it is one number."""
    result = np.ones((1, 1, *(axis.windows for axis in axes)))
    pads = node.integers("pads") or [0] * (2 * len(axes))
    with_pads = node.integer("count_include_pad", 0)
    for i, axis in enumerate(axes):
        end = max(axis.end, 0) if node.text("auto_pad", "NOTSET") != "NOTSET" else pads[len(axes) + i]
        low, high = (-axis.begin, axis.size + end) if with_pads else (0, axis.size)
        places = np.arange(axis.windows)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.begin
        inside = ((places >= low) & (places < high)).sum(1)
        result *= inside.reshape([-1 if a == 2 + i else 1 for a in range(2 + len(axes))])
    return result if result.min() < result.max() else result.ravel()[:1]


def band(axis: Axis) -> Weights:
    """Return the 0/1 matrix `[windows, size]` of the places that each window covers."""
    matrix = np.zeros((axis.windows, axis.size))
    for j in range(axis.kernel):
        places = np.arange(axis.windows) * axis.stride + j * axis.dilation - axis.begin
        inside = (places >= 0) & (places < axis.size)
        matrix[np.arange(axis.windows)[inside], places[inside]] += 1
    return matrix


# ----- Norms -----


def norm_slope(y: Var, p: int) -> Var | float:
    """Return y^(1-p), and 1 where y is 0: what it is multiplied by is 0 there."""
    if p == 1:
        return 1.0
    safe = y + y.equals(0.0).cast(y.dtype)
    return 1.0 / safe if p == 2 else safe ** float(1 - p)


def power_slope(x: Var, p: int) -> Var:
    """Return x |x|^(p-2), the slope of |x|^p / p."""
    if p == 2:
        return x
    return x.op.Sign(x) if p == 1 else x.op.Sign(x) * x.op.Abs(x) ** float(p - 1)

"""What rules share about shapes: undo a broadcast, go back to an earlier shape, choose along an axis."""

import math

import numpy as np
from numpy.typing import NDArray

from ..graph.build import Shape, Var


def unbroadcast(g: Var, to: Var) -> Var:
    """Sum a cotangent over the axes along which an operand was repeated; return it in the operand's shape."""
    lead = g.rank - to.rank
    if lead:
        g = g.sum(range(lead), keep=False).shaped(g.sizes[lead:])
    repeated = [axis for axis, size in enumerate(to.sizes) if size == 1 and g.sizes[axis] != 1]
    return (g.sum(repeated) if repeated else g).shaped(to.shape)


def reshaped(g: Var, like: Var) -> Var:
    """Give a cotangent the shape of a tensor."""
    if g.sizes == like.sizes:
        return g
    if 0 not in like.sizes and kept(g.sizes, like.sizes).count(-1) <= 1:
        return in_sizes(g, like.sizes)
    return g.op.Reshape(g, g.op.Shape(like), allowzero=1).shaped(like.shape)


def in_sizes(x: Var, sizes: Shape) -> Var:
    """Reshape; leading axes that the batch decides stay, and one more of them may be anywhere."""
    wanted = kept(x.sizes, sizes)
    if wanted.count(-1) > 1:
        raise AssertionError(f"the batch decides more than one axis of {sizes}")
    return x.op.Reshape(x, x.op.ints(wanted)).shaped(sizes)


def kept(old: Shape, new: Shape) -> list[int]:
    """Return what Reshape takes for a new shape: 0 for a free axis that stays where it was, -1 for another.

    With 0 ONNX Runtime knows that the batch is the same, and only then multiplies and adds in the blocked layout of
    its convolutions. A free axis that took in others (rows of all pictures and heads) is another one: then the fixed
    sizes differ too.
    """
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    if fixed(old) != fixed(new):
        same = 0
    return [size if size is not None else 0 if axis < same else -1 for axis, size in enumerate(new)]


def fixed(sizes: Shape) -> int:
    return math.prod(size for size in sizes if size is not None)


def swapped(x: Var) -> Var:
    """Exchange the last two axes."""
    order = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return x.transpose(order).shaped((*x.sizes[:-2], x.sizes[-1], x.sizes[-2]))


def weighted_along(g: Var, axis: int, matrix: NDArray[np.floating]) -> Var:
    """Multiply along one axis: g `[..., k, ...]` and matrix `[k, n]` -> `[..., n, ...]`.

    What scattering along an axis comes to where the places are known beforehand; deterministic, unlike adding by
    index, which is atomic on CUDA.
    """
    axis %= g.rank
    shape = (*g.sizes[:axis], matrix.shape[1], *g.sizes[axis + 1 :])
    matrix = matrix.astype(g.dtype)
    if axis == g.rank - 1:
        return (g @ matrix).shaped(shape)
    if axis == g.rank - 2:
        return g.op.MatMul(matrix.T, g).shaped(shape)
    after = [size for size in g.sizes[axis + 1 :] if size is not None]
    if len(after) == g.rank - axis - 1:  # the axes behind are one to the product: nothing to move
        flat = in_sizes(g, (*g.sizes[: axis + 1], math.prod(after)))
        return in_sizes(weighted_along(flat, axis, matrix), shape)
    order = [i for i in range(g.rank) if i != axis] + [axis]
    return (g.transpose(order) @ matrix).transpose(np.argsort(order).tolist()).shaped(shape)

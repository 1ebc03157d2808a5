"""Put a cotangent back where a tensor was cut or gathered: zeros elsewhere, sums where a place was read twice."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from ..graph.build import Shape, Var
from .shaping import in_sizes

WIDEST = 4
"""How much wider a table of readers may be than what it makes or reads. Where a few places are read by most, it would
be mostly padding; adding by index is then less work."""


def zeros(like: Var, order: Sequence[int] | None = None) -> Var:
    """Return zeros in the shape of a tensor, its axes in the given order, and in its type."""
    op, dtype = like.op, helper.np_dtype_to_tensor_dtype(np.dtype(like.dtype))
    sizes = like.sizes if order is None else tuple(like.sizes[axis] for axis in order)
    known = [size for size in sizes if size is not None]
    shape = op.ints(known) if len(known) == len(sizes) else op.Shape(like)
    if order is not None and len(known) < len(sizes):
        shape = op.Gather(shape, op.ints(order))
    zero = helper.make_tensor("value", dtype, [1], [0.0])
    return op.node("ConstantOfShape", [shape], dtype=like.dtype, value=zero).shaped(sizes)


def padded(g: Var, pads: Mapping[int, tuple[int, int]]) -> Var:
    """Add zeros before and after along some axes."""
    before, after = ([pads.get(axis, (0, 0))[side] for axis in range(g.rank)] for side in (0, 1))
    if not any(before) and not any(after):
        return g
    sizes = [size if size is None else sum((size, *pads.get(axis, ()))) for axis, size in enumerate(g.sizes)]
    return g.op.Pad(g, g.op.ints(before + after)).shaped(tuple(sizes))


def cut(x: Var, cuts: Mapping[int, range]) -> Var:
    """Take the given places along some axes."""
    taken = {a: r for a, r in cuts.items() if r != range(size_of(x, a))}
    if not taken:
        return x
    ranges = taken.values()
    # a stop of -1 would count from the end
    stops = [r.stop if r.stop >= 0 else -size_of(x, a) - 1 for a, r in taken.items()]
    numbers = [r.start for r in ranges], stops, list(taken), [r.step for r in ranges]
    sizes = tuple(len(taken[axis]) if axis in taken else size for axis, size in enumerate(x.sizes))
    return x.op.Slice(x, *(x.op.ints(column) for column in numbers)).shaped(sizes)


def size_of(x: Var, axis: int) -> int:
    size = x.sizes[axis]
    if size is None:
        raise AssertionError(f"the batch decides the size of axis {axis} of {x.name!r}")
    return size


def put(g: Var, sizes: Shape, cuts: Mapping[int, range]) -> Var:
    """Undo `cut`: place a cotangent into zeros of the given sizes. One pass over memory for each axis with a step."""
    back = {axis: range(len(r) - 1, -1, -1) for axis, r in cuts.items() if r.step < 0 and len(r)}
    g = cut(g, back)
    pads = {}
    for axis, r in cuts.items():
        total, ahead = sizes[axis], r[::-1] if axis in back else r
        assert total is not None, "an axis that is cut has a size"
        start = ahead.start if ahead else 0
        if len(ahead) > 1 and ahead.step > 1 and 0 not in g.sizes:
            g, start = spread(g, axis, ahead, total)
        pads[axis] = (start, total - start - size_of(g, axis))
    return padded(g, pads).shaped(sizes)


def spread(g: Var, axis: int, places: range, total: int) -> tuple[Var, int]:
    """Put zeros between neighbours along an axis; return also where along it, of size `total`, the result starts.

    Each number becomes a block of `step` numbers. Joined with zeros: Pad is 5 to 9 times slower where the blocks hold
    single numbers, a product with a 0/1 matrix 2 to 17 times (64 x 56 x 56 to 3 x 320 x 320, ONNX Runtime 1.31).
    """
    size, step = len(places), places.step
    # zeros go ahead of the number as far as they would not fit behind it: nothing is left to cut off
    ahead = min(max(0, places.start + size * step - total), places.start)
    one = in_sizes(g, (*g.sizes[: axis + 1], 1, *g.sizes[axis + 1 :]))
    empty = zeros(one)
    joined = g.op.Concat(*[empty] * ahead, one, *[empty] * (step - 1 - ahead), axis=axis + 1)
    joined = joined.shaped((*g.sizes[: axis + 1], step, *g.sizes[axis + 1 :]))
    wide = in_sizes(joined, (*g.sizes[:axis], size * step, *g.sizes[axis + 1 :]))
    start = places.start - ahead
    return cut(wide, {axis: range(min(size * step, total - start))}), start


def put_along(g: Var, axis: int, places: NDArray[np.integer[Any]], size: int) -> Var:
    """Undo a gathering along one axis: `out[..., p, ...]` is the sum of the `g[..., j, ...]` with `places[j] == p`.

    Places known beforehand. A range of them is a Pad; others are looked up from the other side, which is the same on
    every device and every run, unlike adding by index, which is atomic on CUDA.
    """
    places = places.astype(np.int64) % size
    sizes = (*g.sizes[:axis], size, *g.sizes[axis + 1 :])
    steps = np.unique(np.diff(places))
    if len(places) == 1 or (len(steps) == 1 and steps[0] != 0):
        step, start = int(steps[0]) if len(steps) else 1, int(places[0])
        return put(g, sizes, {axis: range(start, start + step * len(places), step)})
    most = int(np.bincount(places).max(initial=0))
    if most * size > WIDEST * max(size, len(places)):
        return led(g, axis, lambda first: added(first, g.op.constant(places[:, None]), size)).shaped(sizes)
    table = readers(places, size, most)
    if most == 1 and axis < g.rank - 1:  # whole rows are copied: no need to bring the axis to the front
        return looked_up(g, axis, table).shaped(sizes)
    return led(g, axis, lambda first: looked_up(first, 0, table)).shaped(sizes)


def led(g: Var, axis: int, work: Callable[[Var], Var]) -> Var:
    """Do something with an axis brought to the front, and bring it back."""
    if axis == 0:
        return work(g)
    order = [axis, *(i for i in range(g.rank) if i != axis)]
    first = g.transpose(order).shaped(tuple(g.sizes[i] for i in order))
    return work(first).transpose(np.argsort(order).tolist())


def looked_up(g: Var, axis: int, table: NDArray[np.int64]) -> Var:
    """Add up the readers of every place along one axis."""
    if (table == g.sizes[axis]).any():
        g = padded(g, {axis: (0, 1)})
    if table.shape[1] == 1:
        return g.op.Gather(g, g.op.constant(table[:, 0]), axis=axis)
    return g.op.Gather(g, g.op.constant(table), axis=axis).sum(axis + 1, keep=False)


def added(g: Var, places: Var, size: int) -> Var:
    """Add the rows of a tensor into those rows of zeros that `places` `[rows, 1]` names."""
    shape = g.op.Concat(g.op.ints([size]), g.op.Shape(g, start=1), axis=0)
    return g.op.ScatterND(g.op.Expand(g.op.value(0.0, g.dtype), shape), places, g, reduction="add")


def readers(places: NDArray[np.int64], size: int, most: int) -> NDArray[np.int64]:
    """List for every place who reads it, `[size, most]`, filled up with one past the last reader."""
    order = np.argsort(places, kind="stable")
    counts = np.bincount(places, minlength=size)
    rank = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((size, most), len(places), np.int64)
    table[places[order], rank] = order
    return table

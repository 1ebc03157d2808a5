"""Sum the cotangents that reach a tensor on several ways; pieces that were cut apart are joined instead."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import numpy_helper

from ..graph.build import Var
from .places import padded


@dataclass(frozen=True)
class Piece:
    """A tensor that is zero outside of `places` along one axis, and what it holds there."""

    whole: Var
    inner: Var
    axis: int
    places: range


def summed(parts: Sequence[Var]) -> Var:
    """Sum tensors of one shape.

    Queries, keys and values cut out of one tensor, or two halves changing places, give cotangents that are zeros but
    for a piece each. A Concat of the pieces writes each number once, where padding and adding them would go over all
    of the tensor once for each and once more: 0.2 instead of 1.6 ms for 3 x 12 x 197 x 64.
    """
    pieces = sorted(filter(None, map(piece_of, parts)), key=lambda piece: piece.places.start)
    runs: list[list[Piece]] = []
    for piece in pieces:
        fits = [run for run in runs if (run[-1].axis, run[-1].places.stop) == (piece.axis, piece.places.start)]
        if fits:
            fits[0].append(piece)
        else:
            runs.append([piece])
    long = [run for run in runs if len(run) > 1]
    inside = {piece.whole.name for run in long for piece in run}
    left = [*(part for part in parts if part.name not in inside), *map(joined_run, long)]
    if len(left) <= 2:
        return left[0] + left[1] if len(left) == 2 else left[0]
    return left[0].op.Sum(*left)


def piece_of(part: Var) -> Piece | None:
    """See a tensor as a piece, if it was just padded along one axis."""
    node = part.op.makers.get(part.name)
    if node is None or node.op_type != "Pad" or len(node.input) > 2 or node.attribute or part.shape is None:
        return None
    pads = numpy_helper.to_array(part.op.tensors[node.input[1]]).reshape(2, -1)
    axes = np.flatnonzero(pads.any(axis=0)).tolist()
    size = part.sizes[axes[0]] if len(axes) == 1 else None
    if size is None or pads.min() < 0:
        return None
    [axis], (before, after) = axes, pads[:, axes[0]].tolist()
    places = range(before, size - after)
    shape = (*part.sizes[:axis], len(places), *part.sizes[axis + 1 :])
    return Piece(part, Var(part.op, node.input[0], part.dtype, shape), axis, places)


def joined_run(run: Sequence[Piece]) -> Var:
    """Join pieces that lie one after the other, and pad what they leave out at the ends."""
    whole, axis = run[0].whole, run[0].axis
    start, stop = run[0].places.start, run[-1].places.stop
    joined = whole.op.Concat(*(piece.inner for piece in run), axis=axis)
    shape = (*whole.sizes[:axis], stop - start, *whole.sizes[axis + 1 :])
    return padded(joined.shaped(shape), {axis: (start, (whole.sizes[axis] or 0) - stop)}).shaped(whole.shape)

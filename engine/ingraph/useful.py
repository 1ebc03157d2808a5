"""The order of units by their use as nodes: what `search.worth` and `Problem.order` say of one picture."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..graph.build import Var
from ..graph.loops import cut, inside, number, row, scalar
from ..search.worth import MOST, WAY
from .margins import Asked, of_target


class Worth(NamedTuple):
    """Some classes `[k]`, what one more of each of their logits is worth, and of the mean over all classes."""

    classes: Var
    weights: Var
    rest: Var | None = None


def worth(asked: Asked, nothing: Var) -> Worth:
    """Weigh the classes as `search.worth` does."""
    op, classes = nothing.op, asked.full.sizes[1]
    assert classes is not None
    target = row(asked.target)
    if asked.kind in ("threshold", "tolerance") or classes == 1:
        rises = of_target(asked, asked.full) >= of_target(asked, nothing)
        return Worth(target, rises.where(op.value(1.0, "float32"), -1.0))
    if asked.kind == "confidence" and asked.sigmoid:
        return Worth(target, op.value(np.ones(1, np.float32), "float32"))
    way = nothing + op.value(WAY.astype(np.float32), "float32") * (asked.full - nothing)
    way = op.node("Where", [asked.target_row, op.value(-1e38, "float32"), way], dtype="float32")
    shares = op.Softmax(way, axis=1).mean(0, keep=False)
    most, places = op.several("TopK", [shares, op.ints([min(MOST, classes - 1)])], 2, axis=0)
    places = Var(op, places.name, "int64")
    rest = most.sum(0) - 1.0
    weights = op.Concat(-most, op.value(np.ones(1, np.float32), "float32"), axis=0)
    return Worth(op.Concat(places, target, axis=0), weights, rest)


def by_class(weighed: Worth, effects: Var, mean: Var, strengths: Var, count: int) -> Var:
    """Order units by strengths `[n]` and what one more of them adds to each class `[n, C]` and to the `mean` `[n]`."""
    op = strengths.op
    scores = scalar(row(weighed.weights) @ op.Gather(inside(op, effects), weighed.classes, axis=1).transpose([1, 0]))
    if weighed.rest is not None:
        scores = scores + weighed.rest * inside(op, mean)
    return first(strengths * scores, count)


def by_rows(weighed: Worth, rows: Var) -> Var:
    """Return what rows of changes of logits `[B, C]` are worth, `[B]`."""
    op = rows.op
    chosen = op.Gather(rows, weighed.classes, axis=1)
    found = (chosen * row(weighed.weights)).sum(1, keep=False)
    return found if weighed.rest is None else found + weighed.rest * rows.mean(1, keep=False)


def first(scores: Var, count: int) -> Var:
    """Sort units by scores `[n]`, the most useful first, ties in index order."""
    _, places = scores.op.several("TopK", [scores, scores.op.ints([count])], 2, axis=0)
    return Var(scores.op, places.name, "int64")


def by_removal(strengths: Var, tried: int, count: int, costs: Callable[[Var], Var]) -> Var:
    """Order units by what the removal of the `tried` strongest costs, the others between them by their strength.

    `costs` tells what the removal of each of some units `[tried]` alone costs.
    """
    op = strengths.op
    strongest = first(op.Abs(strengths), count)
    if not tried:
        return strongest
    asked = strongest.slice(0, 0, tried)
    found = costs(asked)
    ranked = op.Gather(asked, first(found, tried))
    useful = (found > 0).cast("int64").sum(0, keep=False)
    ends = number(op, 0), number(op, tried)
    parts = [cut(ranked, ends[0], useful), strongest.slice(0, tried, count), cut(ranked, useful, ends[1])]
    return op.Concat(*parts, axis=0)

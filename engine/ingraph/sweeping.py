"""The search `sweep` with its certificate as nodes, for one picture: `search.sweep`, question for question."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..graph.build import Var
from ..graph.loops import Turn, cut, inside, length, loop, number, scalar
from .margins import Asked, keeps, margins, of_target
from .scorers import Scorer


class Subset(NamedTuple):
    """What was found: units `[k]`, a weight for each, and two scalars: whether they suffice, whether none can go."""

    units: Var
    weights: Var
    sufficient: Var
    minimal: Var


@dataclass(frozen=True)
class Search:
    """One picture's search: what probes go through, what is asked, and the units by their use."""

    scorer: Scorer
    asked: Asked
    order: Var
    count: int
    weighs: str

    def keeps(self, rows: Var) -> Var:
        return keeps(self.asked, rows)


def swept(search: Search, nothing: Var) -> Subset:
    """Write a search; `nothing` `[1, C]` are the logits with every unit removed.

    No unit is needed where these keep what is asked, and none is found where the full set does not.
    """
    op = nothing.op
    full, empty = (scalar(search.keeps(rows)) for rows in (search.asked.full, nothing))
    needed = full & ~empty
    size = prefix(search, needed)
    reverse = search.order.slice(0, -1, -search.count - 1, -1)
    queue = cut(reverse, number(op, search.count) - size, number(op, search.count))
    few = replace(search, scorer=search.scorer.among(queue))
    places = removed(few, op.Range(number(op, 0), size, number(op, 1)))
    found = certified(few, places, full, empty)
    return found._replace(units=op.Gather(queue, found.units))


def prefix(search: Search, needed: Var) -> Var:
    """Return the length (scalar) of a prefix of the order that is kept while the one before it is not; else 0."""
    op = needed.op

    def halve(_: Var, states: list[Var]) -> Turn:
        failed, kept = states
        inner = failed.op
        middle = inner.Min(inner.Max(failed * 2, number(inner, 1)), inner.Div(failed + kept, number(inner, 2)))
        units = cut(inside(inner, search.order), number(inner, 0), middle)
        yes = scalar(search.keeps(search.scorer.of(units)))
        failed, kept = yes.where(failed, middle), yes.where(middle, kept)
        return Turn((kept - failed) > 1, [failed, kept])

    states = [number(op, 0), number(op, search.count)]
    _, kept = loop(op, states, halve, going=needed & op.constant(np.array(search.count > 1)))
    return needed.where(kept, number(op, 0))


def removed(search: Search, queue: Var) -> Var:
    """Take single units away from a kept queue `[k]`, its first one first, round and round, until none can go."""
    op = queue.op

    def ask(_: Var, states: list[Var]) -> Turn:
        queue, passed = states
        inner = queue.op
        size, zero = length(queue), number(inner, 0)
        block = cut(queue, zero, inner.Min(number(inner, search.scorer.ahead), size - passed))
        kept = search.keeps(search.scorer.without(queue, block)).cast("float32")
        gone = scalar(kept.max(0)) > 0
        stayed = gone.where(inner.ArgMax(kept, axis=0, keepdims=0), length(block))
        queue = inner.Concat(cut(queue, stayed + gone.cast("int64"), size), cut(queue, zero, stayed), axis=0)
        passed = gone.where(zero, passed + stayed)
        return Turn((length(queue) > 1) & (passed < length(queue)), [queue, passed])

    return loop(op, [queue, number(op, 0)], ask, going=length(queue) > 1)[0]


def certified(search: Search, units: Var, full: Var, empty: Var) -> Subset:
    """Ask about the subset and about it without each of its units once more, and weigh them by what their loss costs.

    The logit's drop, or the margin's where no logit drops or where that is what the predicate weighs by.
    """
    op = units.op
    whole = search.scorer.of(units)

    def ask(turn: Var, states: list[Var]) -> Turn:
        inner = turn.op
        subset, step = inside(inner, units), number(inner, search.scorer.ahead)
        start = turn * step
        rows = search.scorer.without(subset, cut(subset, start, start + step))
        logits = of_target(search.asked.inside(inner), rows)
        found = logits, margins(search.asked, rows), search.keeps(rows).cast("float32")
        longer = [inner.Concat(*pair, axis=0) for pair in zip(states, found, strict=True)]
        return Turn(length(subset) > (start + step), longer)

    nothing = op.constant(np.zeros(0, np.float32))
    logits, left, kept = loop(op, [nothing] * 3, ask, going=length(units) > 0)
    drops = op.Max(of_target(search.asked, whole) - logits, op.value(0.0, "float32"))
    of_margin = margins(search.asked, whole) - left
    weights = of_margin
    if search.weighs == "logit":
        weights = (drops.sum(0, keep=False) > 0).where(drops, of_margin)
    suffices = empty | scalar(search.keeps(whole))
    none_can_go = op.Equal(kept.sum(0, keep=False), op.value(0.0, "float32"))
    return Subset(units, weights, full & suffices, full & none_can_go)

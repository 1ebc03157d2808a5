"""Predicates as nodes: how far rows of logits are from losing them, as `search.kinds` has it for arrays."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import OptionError
from ..graph.build import Builder, Var, absolute, exp
from ..graph.loops import inside

FAR = 3.0e38
"""A margin that decides nothing, and below which no logit lies."""


@dataclass(frozen=True)
class Asked:
    """A predicate about one picture: its kind and number, the target (int64 scalar) and the full set's logits `[1, C]`.

    `target_row` `[1, C]` marks the target; `bar` is what the number comes to for this picture.
    """

    kind: str
    value: float
    sigmoid: bool
    target: Var
    target_row: Var
    full: Var
    bar: Var | None = None

    def inside(self, op: Builder) -> "Asked":
        """Return the same for nodes of an inner graph."""
        target, target_row, full = (inside(op, value) for value in (self.target, self.target_row, self.full))
        bar = None if self.bar is None else inside(op, self.bar)
        return replace(self, target=target, target_row=target_row, full=full, bar=bar)


def ask(kind: str, value: float, sigmoid: bool, target: Var, full: Var) -> Asked:
    """Pose a predicate about logits `[1, C]`; OptionError for a kind that has no graph."""
    if kind not in TERMS:
        raise OptionError(f"expected {', '.join(TERMS)} in an exported model, the predicate {kind} has no graph")
    op, classes = full.op, full.sizes[1]
    assert classes is not None
    if kind == "label":
        target = op.constant(np.array(int(value), np.int64))
    target_row = op.Equal(op.constant(np.arange(classes)[None]), target)
    asked = Asked(kind, value, sigmoid, target, target_row, full)
    return replace(asked, bar=least_log_odds(asked)) if kind == "confidence" else asked


def keeps(asked: Asked, rows: Var) -> Var:
    """Tell `[B]` which rows of logits `[B, C]` keep what is asked."""
    strict, weak = terms(asked, rows)
    return (strict > 0) & (weak >= 0)


def margins(asked: Asked, rows: Var) -> Var:
    """Return `[B]` how far rows of logits `[B, C]` are from losing what is asked."""
    return rows.op.Min(*terms(asked, rows))


def terms(asked: Asked, rows: Var) -> tuple[Var, Var]:
    """Return both margins `[B]` of rows: kept are those with strict > 0 and weak >= 0."""
    return TERMS[asked.kind](asked.inside(rows.op), rows)


def on_top(asked: Asked, rows: Var) -> tuple[Var, Var]:
    return of_target(asked, rows) - rivals(asked, rows).max(1, keep=False), never(rows)


def among_best(asked: Asked, rows: Var) -> tuple[Var, Var]:
    op, count = rows.op, int(asked.value)
    best, _ = op.several("TopK", [rivals(asked, rows), op.ints([count])], 2, axis=1)
    last = best.slice(1, count - 1, count)
    return of_target(asked, rows) - op.Squeeze(last, op.ints([1])), never(rows)


def confident(asked: Asked, rows: Var) -> tuple[Var, Var]:
    lead, odds = lead_and_odds(asked, rows)
    decided = rows.op.ArgMax(asked.full, axis=1, keepdims=0).equals(asked.target)
    assert asked.bar is not None
    return decided.where(lead, FAR), odds - asked.bar


def on_its_side(asked: Asked, rows: Var) -> tuple[Var, Var]:
    """A probability of exactly the threshold is on the lower side."""
    edge = float(np.log(asked.value) - np.log1p(-asked.value))
    above, over = of_target(asked, rows) - edge, of_target(asked, asked.full) > edge
    return over.where(above, FAR), over.where(FAR, -above)


def near(asked: Asked, rows: Var) -> tuple[Var, Var]:
    return never(rows), asked.value - absolute(of_target(asked, rows) - of_target(asked, asked.full))


TERMS: dict[str, Callable[[Asked, Var], tuple[Var, Var]]] = {
    "top1": on_top,
    "label": on_top,
    "topk": among_best,
    "confidence": confident,
    "threshold": on_its_side,
    "tolerance": near,
}


def lead_and_odds(asked: Asked, rows: Var) -> tuple[Var, Var]:
    """Return the target's lead over the best rival and its log-odds, both `[B]`."""
    others = rivals(asked, rows)
    most = others.max(1)
    lead = of_target(asked, rows) - rows.op.Squeeze(most, rows.op.ints([1]))
    if asked.sigmoid:
        return lead, of_target(asked, rows)
    return lead, lead - rows.op.Log(exp(others - most).sum(1, keep=False))


def least_log_odds(asked: Asked) -> Var:
    """Return `[1]`: the log-odds of a share of the full set's probability."""
    full = lead_and_odds(asked, asked.full)[1]
    if asked.value == 1:
        return full
    least = float(np.log(asked.value)) - full.op.Softplus(-full)
    return least - full.op.Log(1.0 - exp(least))


def of_target(asked: Asked, rows: Var) -> Var:
    """Return the target's logit `[B]`."""
    return rows.op.Gather(rows, asked.target, axis=1)


def rivals(asked: Asked, rows: Var) -> Var:
    """Return rows with the target's logit out of the way."""
    op = rows.op
    return op.node("Where", [asked.target_row, op.value(-FAR, "float32"), rows], dtype="float32").shaped(rows.shape)


def never(rows: Var) -> Var:
    """Return a margin that decides nothing; `[1]`, which goes with any number of rows."""
    return rows.op.value(np.array([FAR], np.float32), "float32")

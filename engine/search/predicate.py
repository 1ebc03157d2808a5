"""What must be preserved of a decision, asked of logits: arithmetic in float64 and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, OptionError
from ..types import Activation, Floats
from .kinds import KINDS, Decision, Reals, Scores, Terms

# Folding, batching and threads move a logit by rounding only; inside this band the canonical run decides.
BAND = 1e-4


class Parsed(NamedTuple):
    """A predicate text taken apart: its kind and the number behind the colon (0 where the kind takes none)."""

    kind: str
    value: float


class Answers(NamedTuple):
    """What is known of each probe, both [B]: whether it is kept, and whether rounding could change that."""

    kept: NDArray[np.bool_]
    close: NDArray[np.bool_]


def parse(text: str) -> Parsed:
    """Read a predicate such as `top1` or `confidence:0.9`, one of `KINDS`; OptionError for anything else.

    A class name is unknown here: `label:` is followed by its index.
    """
    kind, _, argument = text.partition(":")
    if kind not in KINDS or text.endswith(":"):
        raise OptionError(_unknown(text, kind))
    try:
        return Parsed(kind, KINDS[kind].read(argument))
    except ValueError:
        raise OptionError(_unknown(text, kind)) from None


def require_fit(text: str, classes: int, activation: Activation) -> None:
    """Raise OptionError where the predicate makes no sense for a head of so many scores, whatever the picture."""
    kind, value = parse(text)
    problem = KINDS[kind].misfit(Scores(classes, activation), value)
    if problem:
        raise OptionError(f"{kind} {problem}")


def predicate(text: str, target: int, full: Floats, activation: Activation) -> Predicate:
    """Build the predicate `text` for class `target`, given the canonical logits [C] of the full set.

    Activation "none" after several scores is read as softmax; after one it is no probability.
    OptionError when the predicate cannot be met or cannot be lost; ModelError when `full` is not finite.
    """
    logits = np.array(full, dtype=np.float64)
    logits.setflags(write=False)
    if not np.isfinite(logits).all():
        raise ModelError("the logits must be finite, but this picture gives NaN or infinity: check its input")
    if not 0 <= target < logits.size:
        raise OptionError(f"the target must be a class from 0 to {logits.size - 1}, not {target}")
    require_fit(text, logits.size, activation)
    built = Predicate(text, target, logits, activation)
    kind, value = built.parsed
    problem = KINDS[kind].broken(built.decision, value)
    if problem:
        raise OptionError(f"{kind} {problem}")
    return built


@dataclass(frozen=True, eq=False)
class Predicate:
    """One question to a row of logits: whether the decision of the full set is still there."""

    text: str
    target: int
    full: Reals
    activation: Activation

    @cached_property
    def parsed(self) -> Parsed:
        return parse(self.text)

    @cached_property
    def _bar(self) -> float:
        kind, value = self.parsed
        return KINDS[kind].bar(self.decision, value)

    @property
    def decision(self) -> Decision:
        return Decision(self.target, self.full, self.activation)

    @property
    def weighs(self) -> Literal["logit", "margin"]:
        """Whose drop tells how much a unit matters: the target's logit, or the margin where that can rise too."""
        return KINDS[self.parsed.kind].weighs

    def margins(self, logits: Floats) -> Reals:
        """Return how far each row of `logits` [B, C] is from losing the predicate, [B] in logit units.

        top1: z_t - best rival; label:N: z_N - best rival; topk:K: z_t - K-th best rival;
        confidence:T: log-odds of p(S) - log-odds of T p(U), and the smaller of that and the top1 margin where the
        target is the argmax of the full set; threshold:T: |z_t - logit(T)|, negative on the other side;
        multilabel:T: the smallest of these over the classes; tolerance:E: E - |z_t(S) - z_t(U)|.
        NaN where the logits are not finite enough to tell. Cost: a few passes over [B, C].
        """
        return np.minimum(*self._terms(logits))

    def keeps(self, logits: Floats) -> NDArray[np.bool_]:
        """Say which rows of `logits` [B, C] satisfy the predicate, [B].

        A tie with a rival is a loss. Equality is none, so that the full set always holds, in `confidence`
        (p(S) = T p(U)) and `tolerance`; a probability of T itself is below the `threshold`.
        """
        return self.answers(logits).kept

    def judged(self, logits: Floats) -> tuple[NDArray[np.bool_], Reals]:
        """Return `keeps` and `margins` at the cost of one of them."""
        strict, weak = self._terms(logits)
        return (strict > 0) & (weak >= 0), np.minimum(strict, weak)

    def close(self, logits: Floats) -> NDArray[np.bool_]:
        """Say which rows of `logits` [B, C] rounding could decide, [B]: |margin| <= 1e-4 (1 + max |logit|).

        The smallest margin is the deciding one: below the band the probe is lost whatever the others say.
        """
        return self.answers(logits).close

    def answers(self, logits: Floats) -> Answers:
        """Return `keeps` and `close` at the cost of one of them."""
        strict, weak = self._terms(logits)
        largest = np.abs(logits).max(axis=1).astype(np.float64)
        # Written so that NaN is close: the canonical run shall say.
        close = ~(np.abs(np.minimum(strict, weak)) > BAND * (1 + largest))
        return Answers((strict > 0) & (weak >= 0), close)

    def settled(self, logits: Floats, confirm: Callable[[int], bool]) -> NDArray[np.bool_]:
        """Return `keeps`, with `confirm` deciding the rows that rounding could decide."""
        kept, close = self.answers(logits)
        for row in np.flatnonzero(close):
            kept[row] = confirm(int(row))
        return kept

    def _terms(self, logits: Floats) -> Terms:
        # One memory layout, so that a row gives the same bits alone and in a batch.
        rows = np.ascontiguousarray(logits, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return KINDS[self.parsed.kind].terms(self.decision, self._bar, rows)


def probabilities(logits: Floats, activation: Activation) -> Reals:
    """Return the class probabilities of `logits` [..., C] in float64; "none" is read as softmax.

    OptionError for one score without a sigmoid: the softmax of one class would always be 1.
    """
    rows = np.asarray(logits, dtype=np.float64)
    if activation == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0.0, -rows)))
    if Scores(rows.shape[-1], activation).plain:
        raise OptionError("expected scores that are probabilities, but the model gives one plain score: ask for that")
    odds = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


def _unknown(text: str, kind: str) -> str:
    usages = [known.usage for known in KINDS.values()]
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.5)
    hint = f"; did you mean {KINDS[near[0]].usage}?" if near else ""
    return f"unknown predicate {text!r}: expected one of {', '.join(usages)}{hint}"


__all__ = ["BAND", "KINDS", "Answers", "Parsed", "Predicate", "parse", "predicate", "probabilities", "require_fit"]

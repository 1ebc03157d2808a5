"""The kinds of predicates: how each is written, what it needs, and how far a row of logits is from losing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..types import Activation

Reals = NDArray[np.float64]
NEVER: Reals = np.array(np.inf)
"""A margin that decides nothing."""


class Scores(NamedTuple):
    """What a head gives: how many classes (1: a single score) and what follows them ("none" is read as softmax)."""

    classes: int
    activation: Activation

    @property
    def plain(self) -> bool:
        """Whether this is one score without a probability, as of a regression."""
        return self.classes == 1 and self.activation != "sigmoid"


class Decision(NamedTuple):
    """What the full set says: the target, the canonical logits [C] (float64), and what follows them."""

    target: int
    full: Reals
    activation: Activation


class Terms(NamedTuple):
    """The two margins of a probe, each [B] in logit units, or NEVER: kept means `strict > 0` and `weak >= 0`."""

    strict: Reals
    weak: Reals


@dataclass(frozen=True)
class Kind:
    """One kind of predicate.

    `read` turns what is behind the colon into a number (ValueError: it is none); `misfit` and `broken` say why a
    head, or a decision, cannot be asked so (a sentence whose subject is the predicate), else None; `terms` gives
    the margins of rows of logits [B, C] against the `bar` that the number sets; `weighs` tells whose drop says how much
    a unit matters: the target's logit, or the margin itself where the predicate can be lost while that logit rises.
    """

    usage: str
    read: Callable[[str], float]
    misfit: Callable[[Scores, float], str | None]
    broken: Callable[[Decision, float], str | None]
    terms: Callable[[Decision, float, Reals], Terms]
    weighs: Literal["logit", "margin"]
    bar: Callable[[Decision, float], float] = lambda _, number: number


# ----- how arguments are read -----


def _read_nothing(argument: str) -> float:
    if argument:
        raise ValueError(argument)
    return 0


def _read_share(argument: str) -> float:
    share = float(argument)
    if not 0 < share <= 1:
        raise ValueError(argument)
    return share


def _read_edge(argument: str) -> float:
    edge = float(argument or 0.5)
    if not 0 < edge < 1:
        raise ValueError(argument)
    return edge


def _read_count(argument: str) -> float:
    count = int(argument)
    if count < 1:
        raise ValueError(argument)
    return count


def _read_index(argument: str) -> float:
    index = int(argument)
    if not 0 <= index < 10**9:
        raise ValueError(argument)
    return index


def _read_distance(argument: str) -> float:
    distance = float(argument)
    if not 0 < distance < np.inf:
        raise ValueError(argument)
    return distance


# ----- which heads they fit -----


def _needs_rivals(scores: Scores, _: float) -> str | None:
    if scores.classes > 1:
        return None
    return f"compares classes, but the model has one score: ask for {_instead(scores)}"


def _needs_more_than(scores: Scores, count: float) -> str | None:
    if scores.classes == 1 or scores.classes > count:
        return _needs_rivals(scores, count)
    return (
        f"can only be lost with more than {count:.0f} classes, but the model has {scores.classes}: "
        "ask for a smaller K, or for confidence:T"
    )


def _needs_class(scores: Scores, index: float) -> str | None:
    if index < scores.classes:
        return _needs_rivals(scores, index)
    return f"names no class of the model: its classes are 0 to {scores.classes - 1}"


def _needs_probability(scores: Scores, _: float) -> str | None:
    if not scores.plain:
        return None
    return f"needs a probability, but the model gives one plain score: ask for {_instead(scores)}"


def _needs_sigmoid(scores: Scores, _: float) -> str | None:
    if scores.activation == "sigmoid":
        return None
    return f"needs scores that end in a sigmoid, but these do not: ask for {_instead(scores)}"


def _fits_all(_: Scores, __: float) -> str | None:
    return None


def _instead(scores: Scores) -> str:
    """Name a predicate that does fit."""
    if scores.classes > 1:
        return "confidence:T"
    return "tolerance:E" if scores.plain else "threshold"


# ----- which decisions they can preserve -----


def _target_on_top(decision: Decision, _: float) -> str | None:
    top = int(decision.full.argmax())
    if decision.target == top:
        return None
    return (
        f"keeps the decision, class {top}, but the target is class {decision.target}: "
        f"ask for topk:K, or for confidence:T of class {decision.target}"
    )


def _class_on_top(decision: Decision, index: float) -> str | None:
    top = int(decision.full.argmax())
    if index == top:
        return None
    return (
        f"keeps a decision for class {index:.0f}, but the model decides for class {top} here: "
        f"ask for topk:K or confidence:T with class {index:.0f} as the target"
    )


def _among_the_best(decision: Decision, count: float) -> str | None:
    rank = int((decision.full >= decision.full[decision.target]).sum())
    if rank <= count:
        return None
    return (
        f"keeps the target among the {count:.0f} best, but class {decision.target} is number {rank} "
        f"of {decision.full.size}: ask for a larger K, or for confidence:T"
    )


def _always(_: Decision, __: float) -> str | None:
    return None


# ----- margins -----


def _top1(asked: Decision, _: float, logits: Reals) -> Terms:
    return _on_top(asked.target, logits)


def _label(_: Decision, index: float, logits: Reals) -> Terms:
    return _on_top(int(index), logits)


def _on_top(target: int, logits: Reals) -> Terms:
    return Terms(logits[:, target] - _rivals(target, logits).max(axis=1), NEVER)


def _rivals(target: int, logits: Reals) -> Reals:
    """Return the logits with that of the target out of the way."""
    rivals = logits.copy()
    rivals[:, target] = -np.inf
    return rivals


def _topk(asked: Decision, count: float, logits: Reals) -> Terms:
    rivals = np.delete(logits, asked.target, axis=1)
    place = rivals.shape[1] - int(count)
    best = np.partition(rivals, place, axis=1)[:, place]
    # A partition puts NaN last, as if it were the best rival; it must not look like an ordinary number.
    best = np.where(np.isnan(rivals).any(axis=1), np.nan, best)
    return Terms(logits[:, asked.target] - best, NEVER)


def _confidence(asked: Decision, least: float, logits: Reals) -> Terms:
    lead, odds = _lead_and_odds(asked, logits)
    on_top = asked.target == asked.full.argmax()
    return Terms(lead if on_top else NEVER, odds - least)


def _threshold(asked: Decision, edge: float, logits: Reals) -> Terms:
    """A probability of exactly T is on the lower side, so that the full set never fails."""
    above = logits[:, asked.target] - edge
    if asked.full[asked.target] > edge:
        return Terms(above, NEVER)
    return Terms(NEVER, -above)


def _multilabel(asked: Decision, edge: float, logits: Reals) -> Terms:
    above, chosen = logits - edge, asked.full > edge
    return Terms(above[:, chosen].min(axis=1, initial=np.inf), -above[:, ~chosen].max(axis=1, initial=-np.inf))


def _tolerance(asked: Decision, distance: float, logits: Reals) -> Terms:
    return Terms(NEVER, distance - np.abs(logits[:, asked.target] - asked.full[asked.target]))


def least_log_odds(asked: Decision, share: float) -> float:
    """Return the log-odds of `share` times the full set's probability; of exactly that probability for 1."""
    full = float(log_odds(asked, asked.full[None])[0])
    if share == 1:
        return full
    least = np.log(share) - np.logaddexp(0.0, -full)
    return float(least - np.log1p(-np.exp(least)))


def log_odds(asked: Decision, logits: Reals) -> Reals:
    """Return log(p / (1 - p)) of the target: its logit against all rivals together.

    The probability itself says little near 1: there a whole logit is less than the rounding band.
    """
    return _lead_and_odds(asked, logits)[1]


def _lead_and_odds(asked: Decision, logits: Reals) -> tuple[Reals, Reals]:
    """Return the target's lead over the best rival, and its log-odds."""
    target, rivals = logits[:, asked.target], _rivals(asked.target, logits)
    most = rivals.max(axis=1, keepdims=True)
    lead = target - most[:, 0]
    if asked.activation == "sigmoid":
        return lead, target
    rivals -= most
    return lead, lead - np.log(np.exp(rivals, out=rivals).sum(axis=1))


def edge_logit(share: float) -> float:
    """Return the logit at which a sigmoid gives `share`."""
    return float(np.log(share) - np.log1p(-share))


def _edge(_: Decision, share: float) -> float:
    return edge_logit(share)


_SHARE = "confidence:T (0 < T <= 1)"
_EDGE = "0 < T < 1, 0.5 where no T is given"

KINDS: dict[str, Kind] = {
    "top1": Kind("top1", _read_nothing, _needs_rivals, _target_on_top, _top1, "logit"),
    "confidence": Kind(_SHARE, _read_share, _needs_probability, _always, _confidence, "logit", least_log_odds),
    "topk": Kind("topk:K (K >= 1)", _read_count, _needs_more_than, _among_the_best, _topk, "logit"),
    "label": Kind("label:NAME", _read_index, _needs_class, _class_on_top, _label, "logit"),
    "threshold": Kind(f"threshold:T ({_EDGE})", _read_edge, _needs_sigmoid, _always, _threshold, "margin", _edge),
    "multilabel": Kind(f"multilabel:T ({_EDGE})", _read_edge, _needs_sigmoid, _always, _multilabel, "margin", _edge),
    "tolerance": Kind("tolerance:E (E > 0)", _read_distance, _fits_all, _always, _tolerance, "margin"),
}
"""Probabilities of threshold and multilabel are those of sigmoids; tolerance is in the units of the score."""

__all__ = ["KINDS", "Decision", "Kind", "Reals", "Scores", "Terms", "edge_logit", "least_log_odds", "log_odds"]

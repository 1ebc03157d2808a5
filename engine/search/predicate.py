"""What must be preserved of a decision, asked of logits: arithmetic in float64 and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, OptionError
from ..types import Activation, Floats

Reals = NDArray[np.float64]

# Folding, batching and threads move a logit by rounding only; inside this band the canonical run decides.
BAND = 1e-4


class Parsed(NamedTuple):
    """A predicate text taken apart: its kind and the number behind the colon (0 where there is none)."""

    kind: str
    value: float


class Terms(NamedTuple):
    """The two margins of a probe, each [B] in logit units: kept means `strict > 0` and `weak >= 0`."""

    strict: Reals
    weak: Reals


class Answers(NamedTuple):
    """What is known of each probe, both [B]: whether it is kept, and whether rounding could change that."""

    kept: NDArray[np.bool_]
    close: NDArray[np.bool_]


def parse(text: str) -> Parsed:
    """Read `top1`, `confidence:T` (0 < T <= 1) or `topk:K` (K >= 1); OptionError for anything else."""
    kind, _, argument = text.partition(":")
    if kind not in KINDS or text.endswith(":"):
        raise OptionError(_unknown(text, kind))
    try:
        return Parsed(kind, KINDS[kind].read(argument))
    except ValueError:
        raise OptionError(_unknown(text, kind)) from None


def predicate(text: str, target: int, full: Floats, activation: Activation) -> Predicate:
    """Build the predicate `text` for class `target`, given the canonical logits [C] of the full set.

    Activation "none" is read as softmax.
    OptionError when the predicate cannot be met or cannot be lost; ModelError when `full` is not finite.
    """
    logits = np.array(full, dtype=np.float64)
    logits.setflags(write=False)
    if not np.isfinite(logits).all():
        raise ModelError("the logits must be finite, but this picture gives NaN or infinity: check its input")
    if not 0 <= target < logits.size:
        raise OptionError(f"the target must be a class from 0 to {logits.size - 1}, not {target}")
    _refuse(parse(text), target, logits)
    return Predicate(text, target, logits, activation)


@dataclass(frozen=True, eq=False)
class Predicate:
    """One question to a row of logits: whether the decision of the full set is still there."""

    text: str
    target: int
    full: Reals
    activation: Activation

    def margins(self, logits: Floats) -> Reals:
        """Return how far each row of `logits` [B, C] is from losing the predicate, [B] in logit units.

        top1: z_t - best rival; topk:K: z_t - K-th best rival; confidence:T: log-odds of p(S) - log-odds of T p(U), and
        the smaller of that and the top1 margin where the target is the argmax of the full set.
        NaN where the logits are not finite enough to tell. Cost: a few passes over [B, C].
        """
        return np.minimum(*self._terms(logits))

    def keeps(self, logits: Floats) -> NDArray[np.bool_]:
        """Say which rows of `logits` [B, C] satisfy the predicate, [B].

        A tie with a rival is a loss; p(S) = T p(U) is none, so that `confidence:1` holds for the full set.
        """
        return self.answers(logits).kept

    def close(self, logits: Floats) -> NDArray[np.bool_]:
        """Say which rows of `logits` [B, C] rounding could decide, [B]: |margin| <= 1e-4 (1 + max |logit|).

        The smallest margin is the deciding one: below the band the probe is lost whatever the others say.
        """
        return self.answers(logits).close

    def answers(self, logits: Floats) -> Answers:
        """Return `keeps` and `close` at the cost of one of them."""
        strict, weak = self._terms(logits)
        largest = np.maximum(logits.max(axis=1), -logits.min(axis=1)).astype(np.float64)
        # Written so that NaN is close: the canonical run shall say.
        close = ~(np.abs(np.minimum(strict, weak)) > BAND * (1 + largest))
        return Answers((strict > 0) & (weak >= 0), close)

    def _terms(self, logits: Floats) -> Terms:
        # One memory layout, so that a row gives the same bits alone and in a batch.
        rows = np.ascontiguousarray(logits, dtype=np.float64)
        kind, value = parse(self.text)
        with np.errstate(invalid="ignore"):
            return KINDS[kind].terms(self, value, rows)


def probabilities(logits: Floats, activation: Activation) -> Reals:
    """Return the class probabilities of `logits` [..., C] in float64; "none" is read as softmax."""
    rows = np.asarray(logits, dtype=np.float64)
    if activation == "sigmoid":
        return np.asarray(np.exp(-np.logaddexp(0.0, -rows)))
    odds = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class Kind:
    """One kind of predicate: how it is written, how its argument is read, and its margins."""

    usage: str
    read: Callable[[str], float]
    terms: Callable[[Predicate, float, Reals], Terms]


def _refuse(wanted: Parsed, target: int, full: Reals) -> None:
    top = int(full.argmax())
    if wanted.kind == "top1" and target != top:
        raise OptionError(
            f"top1 keeps the decision, class {top}, but the target is class {target}: "
            f"ask for topk:K, or for confidence:T of class {target}"
        )
    rivals = {"top1": 1, "topk": int(wanted.value)}.get(wanted.kind, 0)
    if full.size <= rivals:
        raise OptionError(
            f"{wanted.kind} can only be lost with more than {rivals} classes, but the model has {full.size}: "
            "ask for a smaller K, or for confidence:T"
        )


def _unknown(text: str, kind: str) -> str:
    usages = [known.usage for known in KINDS.values()]
    near = difflib.get_close_matches(kind.lower(), KINDS, n=1, cutoff=0.5)
    hint = f"; did you mean {KINDS[near[0]].usage}?" if near else ""
    return f"unknown predicate {text!r}: expected one of {', '.join(usages)}{hint}"


def _read_nothing(argument: str) -> float:
    if argument:
        raise ValueError(argument)
    return 0


def _read_share(argument: str) -> float:
    share = float(argument)
    if not 0 < share <= 1:
        raise ValueError(argument)
    return share


def _read_count(argument: str) -> float:
    count = int(argument)
    if count < 1:
        raise ValueError(argument)
    return count


def _top1(asked: Predicate, _: float, logits: Reals) -> Terms:
    target = asked.target
    before = logits[:, :target].max(axis=1, initial=-np.inf)
    after = logits[:, target + 1 :].max(axis=1, initial=-np.inf)
    return Terms(logits[:, target] - np.maximum(before, after), _never(logits))


def _topk(asked: Predicate, count: float, logits: Reals) -> Terms:
    rivals = np.delete(logits, asked.target, axis=1)
    place = rivals.shape[1] - int(count)
    best = np.partition(rivals, place, axis=1)[:, place]
    # A partition puts NaN last, as if it were the best rival; it must not look like an ordinary number.
    best = np.where(np.isnan(rivals).any(axis=1), np.nan, best)
    return Terms(logits[:, asked.target] - best, _never(logits))


def _confidence(asked: Predicate, share: float, logits: Reals) -> Terms:
    weak = _log_odds(asked, logits) - _least_log_odds(asked, share)
    on_top = asked.target == asked.full.argmax()
    return Terms(_top1(asked, share, logits).strict if on_top else _never(logits), weak)


def _least_log_odds(asked: Predicate, share: float) -> float:
    """Return the log-odds of `share` times the full set's probability; of exactly that probability for 1."""
    full = float(_log_odds(asked, asked.full[None])[0])
    if share == 1:
        return full
    least = np.log(share) - np.logaddexp(0.0, -full)
    return float(least - np.log1p(-np.exp(least)))


def _log_odds(asked: Predicate, logits: Reals) -> Reals:
    """Return log(p / (1 - p)) of the target: its logit against all rivals together.

    The probability itself says little near 1: there a whole logit is less than the rounding band.
    """
    target = logits[:, asked.target]
    if asked.activation == "sigmoid":
        return target
    rivals = np.delete(logits, asked.target, axis=1)
    most = rivals.max(axis=1, keepdims=True)
    return np.asarray(target - most[:, 0] - np.log(np.exp(rivals - most).sum(axis=1)))


def _never(logits: Reals) -> Reals:
    """Return a margin that decides nothing."""
    return np.full(len(logits), np.inf)


KINDS: dict[str, Kind] = {
    "top1": Kind("top1", _read_nothing, _top1),
    "confidence": Kind("confidence:T (0 < T <= 1)", _read_share, _confidence),
    "topk": Kind("topk:K (K >= 1)", _read_count, _topk),
}

__all__ = ["BAND", "KINDS", "Answers", "Parsed", "Predicate", "parse", "predicate", "probabilities"]

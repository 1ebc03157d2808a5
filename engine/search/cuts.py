"""Linear conditions that every kept row of logits meets: what a solver may know of a predicate."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..errors import OptionError
from .kinds import Decision, Reals, edge_logit, least_log_odds
from .predicate import Predicate

TOGETHER = 8
"""Rivals added in one go: more make the program larger than they make the rounds fewer."""
MUST = -1


class Cuts(NamedTuple):
    """Conditions `normals @ z + offsets >= 0`, [m, C] and [m], that hold wherever the predicate is kept.

    `rivals` [m] names the class that a condition is about, or MUST; of all classes so named as many as
    `spare_rivals` says may be in the lead.
    """

    normals: Reals
    offsets: Reals
    rivals: list[int]


Pieces = Callable[[Decision, float, Reals, Reals], list[Cuts]]


def require_cuts(asked: Predicate) -> None:
    """Raise OptionError for a kind of predicate that is neither linear nor concave in the logits."""
    kind = asked.parsed.kind
    if kind not in PIECES:
        raise OptionError(
            f"expected a predicate out of {', '.join(PIECES)} to prove a minimum, got {asked.text!r}: "
            "ask for another search"
        )


def cuts_at(asked: Predicate, at: Reals, beyond: Reals) -> Cuts:
    """Return conditions that touch the predicate at logits `at` [C], those first that `beyond` [C] breaks most.

    The margin is the smallest of linear functions of the logits and, for `confidence` after a softmax, of a concave
    one, which lies below its tangent at any point. Of many rivals only the strongest at `beyond` are named.
    Raises OptionError, see `require_cuts`. Cost: O(C).
    """
    require_cuts(asked)
    kind, value = asked.parsed
    parts = PIECES[kind](asked.decision, value, at, beyond)
    normals, offsets = (np.concatenate(column) for column in zip(*((p.normals, p.offsets) for p in parts), strict=True))
    order = np.argsort(normals @ beyond + offsets, kind="stable")
    rivals = [rival for part in parts for rival in part.rivals]
    return Cuts(normals[order], offsets[order], [rivals[i] for i in order])


def spare_rivals(asked: Predicate) -> int:
    """Return how many rivals may be in the lead: K - 1 for topk:K, else 0."""
    kind, value = asked.parsed
    return int(value) - 1 if kind == "topk" else 0


def _top1(asked: Decision, _: float, __: Reals, beyond: Reals) -> list[Cuts]:
    return [_rivals(asked.target, beyond, TOGETHER)]


def _label(_: Decision, index: float, __: Reals, beyond: Reals) -> list[Cuts]:
    return [_rivals(int(index), beyond, TOGETHER)]


def _topk(asked: Decision, count: float, _: Reals, beyond: Reals) -> list[Cuts]:
    # Those that may lead come first and are old news: one more must be among the named.
    return [_rivals(asked.target, beyond, TOGETHER + int(count) - 1)]


def _confidence(asked: Decision, share: float, at: Reals, beyond: Reals) -> list[Cuts]:
    least = least_log_odds(asked, share)
    odds = _side(asked, 1, least) if asked.activation == "sigmoid" else _tangent(asked.target, at, least)
    on_top = asked.target == asked.full.argmax()
    return [odds, _rivals(asked.target, beyond, TOGETHER)] if on_top else [odds]


def _threshold(asked: Decision, share: float, _: Reals, __: Reals) -> list[Cuts]:
    edge = edge_logit(share)
    return [_side(asked, 1 if asked.full[asked.target] > edge else -1, edge)]


def _multilabel(asked: Decision, share: float, _: Reals, beyond: Reals) -> list[Cuts]:
    edge = edge_logit(share)
    signs = np.where(asked.full > edge, 1.0, -1.0)
    worst = np.argsort(signs * (beyond - edge), kind="stable")[:TOGETHER]
    normals = np.zeros((len(worst), len(signs)))
    normals[np.arange(len(worst)), worst] = signs[worst]
    return [Cuts(normals, -signs[worst] * edge, [MUST] * len(worst))]


def _tolerance(asked: Decision, distance: float, _: Reals, __: Reals) -> list[Cuts]:
    score = float(asked.full[asked.target])
    return [_side(asked, 1, score - distance), _side(asked, -1, score + distance)]


def _rivals(target: int, beyond: Reals, most: int) -> Cuts:
    """Say `z_t - z_j >= 0` for the strongest rivals j."""
    order = np.argsort(-beyond, kind="stable")
    rivals = order[order != target][:most]
    normals = np.zeros((len(rivals), len(beyond)))
    normals[:, target] = 1
    normals[np.arange(len(rivals)), rivals] = -1
    return Cuts(normals, np.zeros(len(rivals)), rivals.tolist())


def _tangent(target: int, at: Reals, least: float) -> Cuts:
    """Say `z_t - log sum exp(rivals) >= least` by its tangent at the logits `at`."""
    rivals = at.copy()
    rivals[target] = -np.inf
    most = rivals.max()
    odds = np.exp(rivals - most)
    normal = -odds / odds.sum()
    normal[target] = 1
    value = at[target] - most - np.log(odds.sum()) - least
    return Cuts(normal[None], np.array([value - normal @ at]), [MUST])


def _side(asked: Decision, sign: int, edge: float) -> Cuts:
    """Say `z_t >= edge`, or with sign -1 `z_t <= edge`."""
    normal = np.zeros(len(asked.full))
    normal[asked.target] = sign
    return Cuts(normal[None], np.array([-sign * edge]), [MUST])


PIECES: dict[str, Pieces] = {
    "top1": _top1,
    "label": _label,
    "topk": _topk,
    "confidence": _confidence,
    "threshold": _threshold,
    "multilabel": _multilabel,
    "tolerance": _tolerance,
}

__all__ = ["MUST", "Cuts", "cuts_at", "require_cuts", "spare_rivals"]

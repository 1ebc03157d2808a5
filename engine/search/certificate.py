"""The proof of a subset: the canonical run is asked about it, and about it without each of its units."""

from collections.abc import Callable

import numpy as np

from ..types import Certificate, Floats
from .gate import Mask
from .predicate import Predicate


def certify(
    subset: tuple[int, ...], units: int, logits_of: Callable[[Mask], Floats], predicate: Predicate
) -> Certificate:
    """Ask about the subset S, every S without one unit, the empty and the full set, one mask at a time.

    `logits_of` is the canonical run: one mask [units] to logits [C]. Nothing is taken from the search.
    The empty subset is minimal, as there is nothing to drop. Cost: |S| + 3 canonical runs.
    """

    def logits(kept: list[int] | tuple[int, ...]) -> Floats:
        mask = np.zeros(units, dtype=np.bool_)
        mask[list(kept)] = True
        return np.asarray(logits_of(mask))[None]

    whole, empty, full = logits(subset), logits(()), logits(tuple(range(units)))
    without = [logits([kept for kept in subset if kept != unit]) for unit in subset]
    target = predicate.target
    return Certificate(
        sufficient=bool(predicate.keeps(whole)[0]),
        minimal=not any(predicate.keeps(row)[0] for row in without),
        empty_keeps=bool(predicate.keeps(empty)[0]),
        margin=_margin(predicate, whole),
        margin_without=tuple(_margin(predicate, row) for row in without),
        margin_empty=_margin(predicate, empty),
        margin_full=_margin(predicate, full),
        logit=float(whole[0, target]),
        logit_without=tuple(float(row[0, target]) for row in without),
        runs=len(without) + 3,
    )


def _margin(predicate: Predicate, row: Floats) -> float:
    return float(predicate.margins(row)[0])

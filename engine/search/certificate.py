"""The proof of a subset: the canonical run is asked about it, and about it without each of its units."""

from collections.abc import Callable

import numpy as np

from ..answer import Certificate
from ..types import Floats
from .gate import Mask
from .predicate import Predicate


def certify(
    subset: tuple[int, ...], units: int, logits_of: Callable[[Mask], Floats], predicate: Predicate
) -> Certificate:
    """Ask about the subset S, every S without one unit, the empty and the full set, one mask at a time.

    `logits_of` gives the canonical runs: masks [B, units] to logits [B, C], a run for each with that mask alone.
    Nothing is taken from the search. The empty subset is minimal, as there is nothing to drop.
    Cost: |S| + 3 canonical runs.
    """
    masks = masks_of_proof(subset, units)
    logits = logits_of(masks)
    return certificate_of(*predicate.judged(logits), logits, predicate.target)


def masks_of_proof(subset: tuple[int, ...], units: int) -> Mask:
    """Return the masks of S, of nothing, of everything, and of S without each of its units, [|S| + 3, units]."""
    masks, each = np.zeros((len(subset) + 3, units), dtype=np.bool_), list(subset)
    masks[0, each] = True
    masks[2] = True
    masks[3:] = masks[0]
    masks[np.arange(3, len(masks)), each] = False
    return masks


def certificate_of(kept: Mask, margins: Floats, logits: Floats, target: int) -> Certificate:
    """Put answers, margins and logits `[|S| + 3, C]` in the order of `masks_of_proof` into a certificate."""
    decided = logits.argmax(axis=1)
    return Certificate(
        sufficient=bool(kept[0]),
        minimal=not kept[3:].any(),
        empty_keeps=bool(kept[1]),
        margin=float(margins[0]),
        margin_without=tuple(margins[3:].tolist()),
        margin_empty=float(margins[1]),
        margin_full=float(margins[2]),
        logit=float(logits[0, target]),
        logit_without=tuple(logits[3:, target].tolist()),
        runs=len(kept),
        decided=int(decided[0]),
        decided_without=tuple(decided[3:].tolist()),
    )

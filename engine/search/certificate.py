"""The proof of a subset: the canonical run is asked about it, and about it without each of its units."""

from collections.abc import Callable

import numpy as np

from ..types import Certificate, Floats
from .gate import Mask
from .masks import mask_of, without_each
from .predicate import Predicate


def certify(
    subset: tuple[int, ...], units: int, logits_of: Callable[[Mask], Floats], predicate: Predicate
) -> Certificate:
    """Ask about the subset S, every S without one unit, the empty and the full set, one mask at a time.

    `logits_of` is the canonical run: one mask [units] to logits [C]. Nothing is taken from the search.
    The empty subset is minimal, as there is nothing to drop. Cost: |S| + 3 canonical runs.
    """
    masks = masks_of_proof(subset, units)
    logits = np.stack([np.asarray(logits_of(mask)) for mask in masks])
    return certificate_of(*predicate.judged(logits), logits[:, predicate.target])


def masks_of_proof(subset: tuple[int, ...], units: int) -> Mask:
    """Return the masks of S, of nothing, of everything, and of S without each of its units, [|S| + 3, units]."""
    whole, nothing = mask_of(units, list(subset)), np.zeros(units, dtype=np.bool_)
    return np.concatenate([[whole, nothing, ~nothing], without_each(whole, list(subset))])


def certificate_of(kept: Mask, margins: Floats, target: Floats) -> Certificate:
    """Put answers, margins and the target's logits in the order of `masks_of_proof` into a certificate."""
    return Certificate(
        sufficient=bool(kept[0]),
        minimal=not kept[3:].any(),
        empty_keeps=bool(kept[1]),
        margin=float(margins[0]),
        margin_without=tuple(margins[3:].tolist()),
        margin_empty=float(margins[1]),
        margin_full=float(margins[2]),
        logit=float(target[0]),
        logit_without=tuple(target[3:].tolist()),
        runs=len(kept),
    )

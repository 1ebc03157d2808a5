"""The masks that searches ask about: a set of units, or a set without some of its units."""

from collections.abc import Sequence

import numpy as np

from .gate import Mask, Units


def mask_of(count: int, units: Units | Sequence[int]) -> Mask:
    """Return the mask [count] that keeps `units`."""
    mask = np.zeros(count, dtype=np.bool_)
    mask[units] = True
    return mask


def with_units(mask: Mask, units: Units | Sequence[int]) -> Mask:
    """Return a copy of `mask` [n] that keeps `units` too."""
    joined = mask.copy()
    joined[units] = True
    return joined


def without_units(mask: Mask, units: Units | Sequence[int]) -> Mask:
    """Return a copy of `mask` [n] that removes `units`."""
    rest = mask.copy()
    rest[units] = False
    return rest


def without_each(mask: Mask, units: Sequence[int]) -> Mask:
    """Return one row for each unit, [B, n]: `mask` without that unit alone."""
    rows = np.repeat(mask[None], len(units), axis=0)
    rows[np.arange(len(units)), units] = False
    return rows


def without_first(mask: Mask, units: Sequence[int]) -> Mask:
    """Return one row for each unit, [B, n]: `mask` without that unit and those before it."""
    rows = np.repeat(mask[None], len(units), axis=0)
    rows[:, units] &= np.triu(np.ones((len(units), len(units)), dtype=np.bool_), 1)
    return rows

"""QuickXplain (Junker, AAAI 2004): halve, and ask which part of each half the rest cannot do without."""

import numpy as np

from .gate import Gate, Mask, Units
from .masks import with_units
from .ordered import shrink


def quickxplain(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units, preferring those that come first in `gate.order`.

    What QuickXplain finds is kept on any predicate but 1-minimal only on monotone ones, so `shrink` follows.
    Expects that the full set is kept and the empty set is not; the caller has asked.
    Cost: where the predicate is monotone, at most 2 |S| log2(n / |S|) + 3 |S| probes, one after the other.
    """
    found = _needed(gate, np.zeros(gate.units, dtype=np.bool_), gate.order)
    return shrink(gate, found)


def _needed(gate: Gate, base: Mask, units: Units) -> Units:
    """Return those of `units` that must join `base`, which is not kept alone but is with all of them."""
    if len(units) == 1:
        return units
    first, second = np.split(units, [(len(units) + 1) // 2])
    with_first = with_units(base, first)
    from_second = second[:0] if gate.keeps(with_first) else _needed(gate, with_first, second)
    with_second = with_units(base, from_second)
    if gate.keeps(with_second):  # known not to be, and not asked again, where nothing joined
        return from_second
    return np.concatenate([_needed(gate, with_second, first), from_second])

"""The removal of single units, one after the other, until none can go: the plainest 1-minimal search."""

from collections.abc import Iterator

import numpy as np

from .gate import Gate, Mask


def remove_units(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units by removing single units in index order.

    After a removal the next unit is tried, round and round, until every unit that is left has failed
    against the same subset; one pass alone would not be 1-minimal, because units can hinder each other.
    Expects that the full set is kept and the empty set is not; the caller has asked.
    Batches bet that the next units all stay: 1, 2, 4, ... removals at once, 1 again after a success.
    Cost: at least n probes, at worst (n^2 + n) / 2 in sequence (batches add those asked in vain).
    """
    kept, at, failed, ahead = list(range(gate.units)), 0, 0, 1
    while len(kept) > 1 and failed < len(kept):
        asked = min(ahead, gate.batch, len(kept) - failed)
        won = gate.first_kept(_single_removals(gate, kept, at, asked))
        if won is None:
            at, failed, ahead = (at + asked) % len(kept), failed + asked, 2 * ahead
            continue
        at = (at + won) % len(kept)
        del kept[at]
        at, failed, ahead = at % len(kept), 0, 1
    return tuple(kept)


def _single_removals(gate: Gate, kept: list[int], at: int, count: int) -> Iterator[Mask]:
    whole = np.zeros(gate.units, dtype=np.bool_)
    whole[kept] = True
    for place in range(at, at + count):
        mask = whole.copy()
        mask[kept[place % len(kept)]] = False
        yield mask

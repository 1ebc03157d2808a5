"""The removal of single units, one after the other, until none can go: the plainest 1-minimal search."""

import numpy as np

from .gate import Gate
from .masks import without_each, without_first, without_units


def remove_units(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units by removing single units in index order.

    After a removal the next unit is tried, round and round, until every unit that is left has failed
    against the same subset; one pass alone would not be 1-minimal, because units can hinder each other.
    Expects that the full set is kept and the empty set is not; the caller has asked.
    Batches bet that the next units end as the last one did, all going or all staying: 1, 2, 4, ... removals at
    once, 1 again after a lost bet. The answer is that of one removal after the other.
    Cost: at least n probes, at worst (n^2 + n) / 2 in sequence (batches add those asked in vain).
    """
    whole, queue = np.ones(gate.units, dtype=np.bool_), list(range(gate.units))
    failed, ahead, going = 0, 1, False
    while failed < len(queue) and len(queue) > 1:
        run = queue[: min(ahead, gate.batch, len(queue) - (1 if going else failed))]
        kept = gate.answers((without_first if going else without_each)(whole, run)).tolist()
        streak = kept.index(not going) if (not going) in kept else len(run)
        lost = streak < len(run)
        gone = run[:streak] if going else run[streak : streak + 1]
        stayed = run[streak : streak + 1] if going else run[:streak]
        whole = without_units(whole, gone)
        queue = queue[len(gone) + len(stayed) :] + stayed
        # What follows a removal was asked against it; what came before it was not.
        failed = (failed if not gone else 0) + (len(stayed) if going or not gone else 0)
        ahead, going = (1, not going) if lost else (2 * ahead, going)
    return tuple(sorted(queue))

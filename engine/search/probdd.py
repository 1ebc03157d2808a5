"""ProbDD (Wang et al., FSE 2021): remove the run of units with the largest expected gain, and learn from failures."""

import numpy as np
from numpy.typing import NDArray

from .gate import Gate, Units
from .masks import without_units
from .ordered import shrink

Chances = NDArray[np.float64]


def probdd(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units by removals whose odds are learned as the search goes.

    p_u is the chance that unit u has to stay. Removes the units D of lowest p, as many as make |D| prod (1 - p)
    largest; after a failure p_u <- p_u / (1 - prod (1 - p)) in D. The paper starts with the same p for all; here
    `first_guess` starts the unit of rank r in `gate.order`. No randomness. What ProbDD leaves is kept on any predicate
    but 1-minimal only on monotone ones, so `shrink` follows.
    Expects that the full set is kept and the empty set is not; the caller has asked.
    Cost: O(n) probes one after the other, then those of `shrink`.
    """
    whole = np.ones(gate.units, dtype=np.bool_)
    ranked, stay = gate.order[::-1], first_guess(gate.units)[::-1]
    while len(ranked) > 1 and stay.min() < 1:
        rising = np.argsort(stay, kind="stable")
        survive = np.cumprod(1 - stay[rising])
        count = 1 + int(np.argmax(survive * np.arange(1, len(ranked) + 1)))
        run = rising[:count]
        rest = without_units(whole, ranked[run])
        if gate.keeps(rest):
            whole, ranked, stay = rest, np.delete(ranked, run), np.delete(stay, run)
        else:
            stay = _blamed(stay, run, 1 - survive[count - 1])
    return shrink(gate, ranked[::-1])


def _blamed(stay: Chances, run: Units, failure: float) -> Chances:
    """Raise the chances of a run that could not go; a unit that could not go alone has to stay."""
    raised = stay.copy()
    raised[run] = np.minimum(1, stay[run] / failure) if len(run) > 1 else 1
    return raised


def first_guess(units: int) -> Chances:
    """Return the first chances [units] by rank, min(0.9, 1 / (rank + 1)): each unit can still be tried."""
    return np.minimum(0.9, 1 / np.arange(1, units + 1))

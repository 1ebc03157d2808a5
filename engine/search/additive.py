"""The search where the head is additive: probes are sums over a matrix, and no model is run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from ..types import Floats
from .gate import Ask, Mask
from .predicate import Predicate

Reals = NDArray[np.float64]
Confirm = Callable[[Mask], bool]
"""Whether the canonical run keeps one subset `[units]`; asked where rounding could decide."""

# Rows of one look ahead: enough to hide NumPy's cost per call, few enough to stay in the cache.
LONGEST_RUN = 64


def remove_units_additive(
    contributions: Floats, bias: Floats, predicate: Predicate, confirm: Confirm
) -> tuple[tuple[int, ...], int]:
    """Return what `removal.remove_units` returns, and the number of probes.

    The logits of a subset are z(S) = bias + the sum of its rows of `contributions`.
    contributions [n, C] and bias [C] are taken in float64; expects, as there, that the full set is kept
    and the empty set is not. Looks ahead by betting that the next units end as the last one did: all
    removed (cumulative sums) or all staying (single removals); 1, 2, 4, ... rows, 1 again when a bet is
    lost. The sum is fresh once per sweep.
    Cost: O(C) per probe; `confirm` is called once for each probe inside the rounding band.
    """
    sweep = _Sweep(contributions, bias, predicate, confirm)
    for bet in cycle((sweep.remove_run, sweep.pass_run)):
        length = 1
        while not sweep.done() and bet(length):
            length = min(2 * length, LONGEST_RUN)
        if sweep.done():
            break
    return tuple(sweep.kept), sweep.probes


@dataclass(frozen=True)
class Table:
    """What each unit adds to each logit: z(S) = `bias` [C] + the sum over S of `strengths` [n] times `effects` [n, C].

    The effects are those of the model, the strengths those of the picture, so that a picture costs no n x C products
    unless all rows are asked for.
    """

    strengths: Reals
    effects: Reals
    bias: Reals

    @property
    def units(self) -> int:
        """Number of units."""
        return len(self.strengths)

    def rows(self, units: NDArray[np.intp]) -> Reals:
        """Return what some units add, `[k, C]`."""
        return self.strengths[units, None] * self.effects[units]

    @cached_property
    def matrix(self) -> Reals:
        """All of it, `[n, C]`."""
        return self.strengths[:, None] * self.effects

    def logits(self, masks: Mask) -> Reals:
        """Return `[B, C]`. Cost: a matrix product with the rows of the units that any of the masks keeps."""
        used = np.flatnonzero(masks.any(axis=0))
        return np.asarray(self.bias + (masks[:, used] * self.strengths[used]) @ self.effects[used])


def additive_ask(table: Table, predicate: Predicate, confirm: Confirm) -> Ask:
    """Return the `Ask` of an additive head, for searches that go through a Gate.

    `confirm` is called once for each probe inside the rounding band. Cost: one matrix product a batch.
    """

    def ask(masks: Mask) -> Mask:
        return predicate.settled(table.logits(masks), lambda row: confirm(masks[row]))

    return ask


class _Sweep:
    """Where the sweep over the units stands: those kept, the next to try, and the logits of those kept."""

    def __init__(self, contributions: Floats, bias: Floats, predicate: Predicate, confirm: Confirm) -> None:
        self._contributions = np.asarray(contributions, dtype=np.float64)
        self._bias = np.asarray(bias, dtype=np.float64)
        self._predicate, self._confirm = predicate, confirm
        # A unit that adds exactly nothing (a channel dead on this picture) can go whatever else is kept, and
        # would be asked for in vain, or even confirmed, while the margin lies inside the rounding band.
        self.kept: list[int] = np.flatnonzero(contributions.any(axis=1)).tolist()
        self.probes = 0
        self._at = self._failed = 0
        self._logits = self._exact_logits()

    def done(self) -> bool:
        """Say whether one unit is left, or every unit that is left has failed against the same subset."""
        return len(self.kept) <= 1 or self._failed >= len(self.kept)

    def remove_run(self, length: int) -> bool:
        """Remove the next units as long as the rest is kept without all of them; False if one had to stay."""
        units = self.kept[self._at : self._at + min(length, len(self.kept) - 1)]
        rows = self._logits - self._contributions[units].cumsum(axis=0)
        gone = self._streak(rows, True, lambda row: units[: row + 1])
        if gone:
            self._remove(gone, rows[gone - 1])
        stayed = int(gone < len(units))
        self._pass(stayed)
        return not stayed

    def pass_run(self, length: int) -> bool:
        """Pass over the next units as long as no single removal is kept; False if one could go."""
        units = self.kept[self._at : self._at + min(length, len(self.kept) - self._failed)]
        rows = self._logits - self._contributions[units]
        stayed = self._streak(rows, False, lambda row: [units[row]])
        self._pass(stayed)
        if stayed == len(units):
            return True
        self._remove(1, rows[stayed])
        self._pass(0)
        return False

    def _streak(self, rows: Reals, bet: bool, without: Callable[[int], list[int]]) -> int:
        """Count the leading rows that are answered as the bet says."""
        self.probes += len(rows)
        kept, close = self._predicate.answers(rows)
        for row in np.flatnonzero(close | (kept != bet)):
            if bet != (self._confirmed(without(int(row))) if close[row] else kept[row]):
                return int(row)
        return len(rows)

    def _confirmed(self, removed: list[int]) -> bool:
        mask = np.zeros(len(self._contributions), dtype=np.bool_)
        mask[self.kept] = True
        mask[removed] = False
        return self._confirm(mask)

    def _remove(self, count: int, logits: Reals) -> None:
        del self.kept[self._at : self._at + count]
        self._failed, self._logits = 0, logits

    def _pass(self, count: int) -> None:
        self._at += count
        self._failed += count
        if self._at >= len(self.kept):
            # A fresh sum once per sweep, so that the rounding of the updates does not add up.
            self._at, self._logits = 0, self._exact_logits()

    def _exact_logits(self) -> Reals:
        return np.asarray(self._bias + self._contributions[self.kept].sum(axis=0))

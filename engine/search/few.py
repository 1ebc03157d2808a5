"""Every set of few units that could meet the rows of a program, by branching on the scarcest row."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .kinds import Reals
from .program import Box, Program, Relaxed

Units = NDArray[np.intp]
Pick = Callable[[list[int], Units], int | None]
"""Which of the units (an index into them) completes the chosen ones to a kept subset; None: none of them does."""


class GaveUp(Exception):  # noqa: N818 - not an error: the caller goes on with another way
    """More branches than were allowed, or no time left."""


class Few:
    """Looks for a kept subset of exactly `size` units, expecting that no smaller one is kept.

    A row that asks for r with m units to go needs one unit of at least r / m: the row that fewest units can serve so
    is branched on, and a unit that was tried is never tried again beside. Where some rivals may lead (`spare`),
    one more row than may fail is branched on together.
    Cost: a pass over [rows, n] per branch, at most `branches` of them; then GaveUp.
    """

    def __init__(self, program: Program, pick: Pick, branches: int, go_on: Callable[[], bool]) -> None:
        self._program, self._pick, self._go_on = program, pick, go_on
        self._left = branches

    def find(self, size: int, slack: float, box: Box, relaxed: Relaxed | None = None) -> tuple[int, ...] | None:
        """Return the first kept subset of `size` units in a box, or None where there is none; raises GaveUp."""
        self._slack, self._relaxed = slack, relaxed
        sure, units = np.flatnonzero(box.low), np.flatnonzero(box.free)
        if size <= len(sure):  # the last of them is left open, for a subset has to be completed to be asked about
            sure, units = sure[:-1], sure[-1:]
        found = self._extend(sure.tolist(), units, size - len(sure)) if size > len(sure) else None
        return None if found is None else tuple(sorted(found))

    def _extend(self, chosen: list[int], open_units: Units, size: int) -> list[int] | None:
        self._left -= 1
        if self._left < 0 or not self._go_on():
            raise GaveUp
        rows, need, optional = self._rows(chosen, open_units)
        if size == 1:
            units = open_units[self._fits(rows >= need[:, None], optional)]
            at = self._pick(chosen, units) if len(units) else None
            return None if at is None else [*chosen, int(units[at])]
        if len(open_units) < size or not self._fits(_most(rows, size) >= need, optional):
            return None
        for unit, rest in self._branches(rows, need / size, optional):
            found = self._extend([*chosen, int(open_units[unit])], open_units[rest], size - 1)
            if found:
                return found
        return None

    def _rows(self, chosen: list[int], open_units: Units) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        """Return the rows of the open units, what they still need, and which rows are about rivals that may lead."""
        program, relaxed = self._program, self._relaxed
        rows, need, optional = program.rows, program.need - self._slack, program.optional
        if relaxed is not None:
            rows, need = np.vstack([rows, relaxed.row]), np.append(need, relaxed.need - self._slack)
            optional = np.append(optional, False)
        return rows[:, open_units], need - rows[:, chosen].sum(axis=1), optional

    def _fits(self, met: NDArray[np.bool_], optional: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say whether all rows are met but as many optional ones as may fail; `met` is [m] or [m, n]."""
        failed = (~met[optional]).sum(axis=0)
        return np.asarray(met[~optional].all(axis=0) & (failed <= self._program.spare))

    def _branches(self, rows: Reals, share: Reals, optional: NDArray[np.bool_]) -> Iterator[tuple[int, Units]]:
        """Yield units of which one must be taken, each with the units that are open beside it."""
        serving = rows >= share[:, None]
        groups = [serving[~optional]]
        spare = self._program.spare
        if optional.sum() > spare:
            scarce = np.argsort(serving[optional].sum(axis=1), kind="stable")[: spare + 1]
            groups.append(np.asarray(serving[optional][scarce].any(axis=0))[None])
        choices = np.vstack(groups)
        if not len(choices):
            choices = np.ones((1, rows.shape[1]), dtype=np.bool_)
        must = choices[choices.sum(axis=1).argmin()]
        still_open = np.ones(rows.shape[1], dtype=np.bool_)
        for unit in np.flatnonzero(must):
            still_open[unit] = False
            yield int(unit), np.flatnonzero(still_open)


def _most(rows: Reals, size: int) -> Reals:
    """Return the largest sum of `size` entries of every row."""
    return np.asarray(np.partition(rows, rows.shape[1] - size, axis=1)[:, -size:].sum(axis=1))

"""The fewest units that keep the predicate on an additive head, and the proof that fewer do not."""

import time
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, OptionError
from .additive import Confirm, Table, additive_ask
from .cuts import cuts_at, require_cuts, spare_rivals
from .few import Few, GaveUp, Units
from .gate import Budget, Gate, Mask, OutOfBudget
from .kinds import Reals
from .masks import mask_of
from .ordered import ordered, shrink
from .predicate import BAND, Predicate
from .program import SAFE, Box, NoSolution, Program, Relaxed, relax, solve, whole

ROWS = 64
"""Subsets per matrix product."""
FEW = 2
"""Sizes that are tried one by one before any solver: most decisions hang on one, two or three units."""
BRANCHES = 4000
"""Branches of one such trial, so that large sizes are left to the solver."""
ROUNDS = 1000
"""Most rounds of cutting, so that the search ends without a time limit too."""
PROBES = 4000
"""Probes of one rounding: a tolerance can take a square of the units, and the next solution may round better."""
POOL = 200
"""Rows that the trials may add; each makes every branch dearer."""


@dataclass(frozen=True)
class Proof:
    """A 1-minimal subset, and a number of units below which none is kept: equal to its size, it is the minimum."""

    subset: tuple[int, ...]
    bound: int
    probes: int
    seconds: float

    @property
    def proven(self) -> bool:
        return self.gap == 0

    @property
    def gap(self) -> int:
        """How many units fewer are not excluded."""
        return len(self.subset) - self.bound


def minimum(
    table: Table,
    predicate: Predicate,
    confirm: Confirm,
    *,
    known: tuple[int, ...] | None = None,
    seconds: float = 10,
) -> Proof:
    """Find the fewest units of an additive head that keep the predicate.

    `table` says what each unit adds; `confirm` is the canonical run, which decides where rounding could. `known` is
    the 1-minimal subset of another search (found here where None, whatever time that takes): the answer is never
    larger. Expects, as every search, that the full set is kept and the empty set is not. After `seconds` the best
    subset and the best bound so far are returned; apart from that limit the answer is always the same one.

    Proof: the predicate is replaced by linear conditions that every kept subset meets, relaxed by the widest
    rounding band of subsets of such a size (`cuts`); they are added when a solution breaks them. First every
    set of one or two units is excluded or found, then the linear relaxation bounds the number of units while its
    solutions lead to better subsets, then sizes between the two are tried one by one, at last by HiGHS.
    Raises OptionError for a predicate that is not of this form. Cost: milliseconds to the time limit.
    """
    require_cuts(predicate)
    started = time.perf_counter()
    search = _Minimum(table, predicate, confirm)
    search.deadline = started + seconds
    search.start(known)
    for step in (search.try_fewest, search.tighten, search.try_sizes, search.solve):
        if len(search.best) > search.bound and search.time_left() > 0:
            step()
    return Proof(search.best, search.bound, search.gate.probes, time.perf_counter() - started)


class _Minimum:
    """The best subset so far, the number of units below which none is kept, and the program that says so."""

    def __init__(self, table: Table, predicate: Predicate, confirm: Confirm) -> None:
        matrix, bias = table.matrix, table.bias
        if not (np.isfinite(matrix).all() and np.isfinite(bias).all()):
            raise ModelError("the contributions must be finite to prove a minimum: check the model's input")
        # A unit that adds exactly nothing never helps: some minimum goes without it.
        self.units = np.flatnonzero(matrix.any(axis=1))
        self.predicate, self.bias, self.matrix = predicate, bias, np.ascontiguousarray(matrix[self.units])
        self.ask = additive_ask(table, predicate, confirm)
        self.gate = Gate(self.ask, table.units, ROWS)
        self.program = Program(self.matrix, bias, spare_rivals(predicate))
        self.relaxed: Relaxed | None = None
        self.box = Box.open(len(self.units))
        self.best: tuple[int, ...] = ()
        self.bound, self.deadline = 1, 0.0
        self._largest = -np.sort(-np.abs(self.matrix).max(axis=1, initial=0))

    def start(self, known: tuple[int, ...] | None) -> None:
        """Take the known subset, or find one: units that help where the full set is weakest come first."""
        if known is None:
            weakest = cuts_at(self.predicate, self.predicate.full, self.predicate.full).normals[0]
            self.best = ordered(self._along(self.matrix @ weakest, None))
        elif self.gate.keeps(self._mask(known)):
            self.best = tuple(sorted(known))
        else:
            raise OptionError(f"expected a known subset that keeps {self.predicate.text}, but {known} does not")

    def time_left(self) -> float:
        return self.deadline - time.perf_counter()

    def try_fewest(self) -> None:
        """Find or exclude every set of one and two units."""
        self._cut(self.bias, self.bias)
        self._try(FEW)

    def try_sizes(self) -> None:
        """Find or exclude sets of the sizes between the bound and the best subset, as long as that is cheap."""
        self._try(len(self.best) - 1)

    def tighten(self) -> None:
        """Bound by the relaxation, cut where its solution breaks the predicate, and round it to better subsets."""
        for _ in range(ROUNDS):
            relaxed = self._relax()
            if relaxed is None:
                return
            logits = self.bias + relaxed.x @ self.matrix
            self._round(relaxed.x - SAFE * relaxed.extra)
            if len(self.best) <= self.bound or self.time_left() <= 0:
                return
            if not self._cut(self._edge(logits), logits):
                return

    def _relax(self) -> Relaxed | None:
        """Relax, and leave units out of the box that no better answer has; None where the bound or the time is reached.

        The box holds every better answer, so that its bound says nothing beyond the size of the best one.
        """
        most = len(self.best)
        try:
            relaxed = relax(self.program, self.slack(), max(self.time_left(), SAFE), self.box)
        except NoSolution:
            self.bound = most
            return None
        if relaxed is None:
            return None
        self.bound = max(self.bound, min(whole(relaxed.bound), most))
        self.relaxed, self.box = relaxed, relaxed.closer(most - 1)
        return None if self.bound == most else relaxed

    def solve(self) -> None:
        """Solve the integer program, again and again while its answers are no kept subsets."""
        refused: list[tuple[int, ...]] = []
        for _ in range(ROUNDS):
            most, left = len(self.best) - 1, self.time_left()
            if most < self.bound or left <= 0 or self.relaxed is None:
                return
            solved = solve(self.program, self.relaxed, refused, most, self.slack(), left)
            self.bound = max(self.bound, solved.bound)
            if solved.units is None:
                return
            logits = self.bias + self.matrix[list(solved.units)].sum(axis=0)
            if self.gate.keeps(self._mask(self.units[list(solved.units)])):
                self._offer(shrink(self.gate, self.units[list(solved.units)]))
            elif not self._cut(self._edge(logits), logits):
                refused.append(solved.units)

    def slack(self) -> float:
        """Return the widest rounding band of a subset smaller than the best one, and what a solver may be off by."""
        largest = np.abs(self.bias).max() + self._largest[: len(self.best) - 1].sum()
        return float(BAND * (1 + largest)) + SAFE

    def _try(self, most: int) -> None:
        few = Few(self.program, self._pick, BRANCHES, lambda: self.time_left() > 0)
        for size in range(self.bound, min(most, len(self.best) - 1) + 1):
            try:
                found = few.find(size, self.slack(), self.box, self.relaxed)
            except GaveUp:
                return
            if found:
                self._offer(tuple(self.units[list(found)].tolist()))
                return
            self.bound = size + 1

    def _pick(self, chosen: list[int], units: Units) -> int | None:
        """Return which unit completes the chosen ones to a kept subset; what breaks the predicate becomes a cut."""
        before = self.bias + self.matrix[chosen].sum(axis=0)
        for start in range(0, len(units), ROWS):
            part = units[start : start + ROWS]
            logits = before + self.matrix[part]
            kept, close = self.predicate.answers(logits)
            for row in np.flatnonzero(kept | close):
                if self.gate.keeps(self._mask(self.units[[*chosen, part[row]]])):
                    return start + int(row)
            if len(self.program.need) < POOL:
                best = logits[self.predicate.margins(logits).argmax()]
                self._cut(best, best)
        return None

    def _cut(self, at: Reals, beyond: Reals) -> bool:
        return self.program.add(cuts_at(self.predicate, at, beyond), beyond, self.slack())

    def _edge(self, logits: Reals) -> Reals:
        """Return where the way from the best subset's logits to these leaves the predicate: cuts there are deepest."""
        inside = self.bias + self._of(self.best).sum(axis=0)
        for _ in range(2):
            way = inside + np.linspace(0, 1, 17)[1:, None] * (logits - inside)
            lost = int((self.predicate.margins(way) < 0).argmax())
            inside, logits = (way[lost - 1] if lost else inside), way[lost]
        return logits

    def _round(self, scores: Reals) -> None:
        """Offer a 1-minimal subset of the units of the highest scores."""
        budget = Budget(probes=PROBES, seconds=max(self.time_left(), SAFE))
        with suppress(OutOfBudget):
            self._offer(ordered(self._along(scores, budget)))

    def _along(self, scores: Reals, budget: Budget | None) -> Gate:
        """Return a gate whose order is that of the scores of the units that add anything."""
        dead = np.setdiff1d(np.arange(self.gate.units), self.units)
        order = np.concatenate([self.units[np.argsort(-scores, kind="stable")], dead])
        return Gate(self.ask, self.gate.units, ROWS, order=order, budget=budget)

    def _offer(self, subset: tuple[int, ...]) -> None:
        if len(subset) < len(self.best):
            self.best = tuple(sorted(subset))

    def _of(self, subset: tuple[int, ...]) -> Reals:
        return self.matrix[np.searchsorted(self.units, [u for u in subset if u in self.units])]

    def _mask(self, subset: tuple[int, ...] | NDArray[np.intp]) -> Mask:
        return mask_of(self.gate.units, list(subset))

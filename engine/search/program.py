"""The integer program of a minimum over an additive head: its rows, its relaxation, its exact solution."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from .cuts import MUST, Cuts
from .kinds import Reals

SAFE = 1e-6
"""What a solver may be off by, in logit units and in units: far below the rounding band and far below one unit."""

INFEASIBLE = 2
"""What scipy says of a program without a solution."""


class Program:
    """Fewest units x [n] in {0, 1} with `rows @ x + big * y >= need`, y in {0, 1} naming the rivals that may lead.

    A row is what each unit adds to one condition of `cuts`; only rows about rivals have a y, and only where some may
    lead (`spare`). Rows are added as they are broken; every row holds for every kept subset, so whatever
    is proven of the program is true of the predicate.
    """

    def __init__(self, matrix: Reals, bias: Reals, spare: int) -> None:
        self.matrix, self.bias, self.spare = matrix, bias, spare
        self.rows = np.zeros((0, len(matrix)))
        self.need = np.zeros(0)
        self.rivals: list[int] = []

    def add(self, cuts: Cuts, beyond: Reals, slack: float) -> bool:
        """Add those cuts that the logits `beyond` [C] break by more than `slack`; say whether there were any.

        A rival that is in the lead although the program knows it is one of those that may be.
        """
        # Clearly more than a solver may be off by, or it would be told again and again what it knows.
        broken = cuts.normals @ beyond + cuts.offsets < -slack - 10 * SAFE
        for at, rival in enumerate(cuts.rivals):
            broken[at] &= rival == MUST or rival not in self.rivals
        if not broken.any():
            return False
        normals = cuts.normals[broken]
        self.rows = np.vstack([self.rows, normals @ self.matrix.T])
        self.need = np.concatenate([self.need, -cuts.offsets[broken] - normals @ self.bias])
        self.rivals += [rival for rival, is_broken in zip(cuts.rivals, broken, strict=True) if is_broken]
        return True

    @property
    def optional(self) -> NDArray[np.bool_]:
        """Which rows are about a rival that may lead, [m]."""
        return np.array([self.spare > 0 and rival != MUST for rival in self.rivals], dtype=np.bool_)

    def system(self, slack: float) -> tuple[Reals, Reals]:
        """Return G and h of `G @ (x, y) >= h`, rows relaxed by `slack`; the last row counts the leading rivals."""
        optional = np.flatnonzero(self.optional)
        need = self.need - slack
        lead = np.zeros((len(need), len(optional)))
        # The least that a row can be, over all subsets: with y = 1 it asks for no more.
        lead[optional, np.arange(len(optional))] = np.maximum(0, need - np.minimum(self.rows, 0).sum(axis=1))[optional]
        system = np.hstack([self.rows, lead])
        if not len(optional):
            return system, need
        count = np.concatenate([np.zeros(len(self.matrix)), -np.ones(len(optional))])
        return np.vstack([system, count]), np.append(need, -float(self.spare))


class NoSolution(Exception):  # noqa: N818 - not an error: the best subset so far is the minimum
    """No better answer is left in the box."""


class Box(NamedTuple):
    """The least and the most that is left of each unit, both [n] of 0 and 1: what a better answer may have."""

    low: Reals
    high: Reals

    @classmethod
    def open(cls, units: int) -> "Box":
        return cls(np.zeros(units), np.ones(units))

    def beside(self, others: int) -> "Box":
        """Add columns of which nothing is known."""
        return Box(np.append(self.low, np.zeros(others)), np.append(self.high, np.ones(others)))

    @property
    def free(self) -> NDArray[np.bool_]:
        return np.asarray(self.low < self.high)


@dataclass(frozen=True)
class Relaxed:
    """The linear relaxation: x [n] in the box, a proven lower bound there, what taking a unit adds to it, and one row.

    Every solution of the program, also outside of the box, meets `row @ x >= need`, the rows weighed by the solver's
    dual prices.
    """

    x: Reals
    bound: float
    extra: Reals
    row: Reals
    need: float
    box: Box

    def closer(self, most: int) -> Box:
        """Return the box without what no solution of at most `most` units in it has, by the price of each unit."""
        room = most - self.bound + SAFE
        low, high = self.box
        return Box(np.where(-self.extra > room, high, low), np.where(self.extra > room, low, high))


def relax(program: Program, slack: float, seconds: float, box: Box) -> Relaxed | None:
    """Solve the relaxation in a box; None where the time is over, NoSolution where the box holds none.

    The bound is computed from the dual prices, which prove it whatever the solver's tolerances are: for
    prices p >= 0 no x costs less than `p h + min (cost - p G) x` over the box.
    """
    system, need = program.system(slack)
    units = len(program.matrix)
    cost = np.zeros(system.shape[1])
    cost[:units] = 1
    limits = box.beside(len(cost) - units)
    found = _solve_free(cost, system, need, limits, seconds)
    if found is None:
        return None
    x, prices = found
    extra = cost - prices @ system
    least = float(prices @ need)
    return Relaxed(
        x=x[:units],
        bound=least + float(np.where(extra < 0, extra * limits.high, extra * limits.low).sum()),
        extra=extra[:units],
        row=1 - extra[:units],
        need=least + float(np.minimum(extra[units:], 0).sum()),
        box=box,
    )


def _solve_free(cost: Reals, system: Reals, need: Reals, limits: Box, seconds: float) -> tuple[Reals, Reals] | None:
    """Return a solution and the prices of the rows, or None.

    The solver sees the free columns only: with 26 of 1242 left, a program of 70 rows took it 5 ms instead of 70.
    """
    x, free, left = limits.low.copy(), limits.free, need - system @ limits.low
    if not free.any():
        if (left > SAFE).any():
            raise NoSolution
        return x, np.zeros(len(need))
    found = linprog(
        cost[free],
        A_ub=-system[:, free],
        b_ub=-left,
        bounds=(0, 1),
        method="highs",
        options={"time_limit": seconds},
    )
    if found.status == INFEASIBLE:
        raise NoSolution
    if found.status != 0 or found.x is None:
        return None
    x[free] = found.x
    return x, np.maximum(0, -found.ineqlin.marginals)


@dataclass(frozen=True)
class Solved:
    """A solution of the program with at most `most` units, None where there is none or no time, and a lower bound."""

    units: tuple[int, ...] | None
    bound: int


def solve(
    program: Program, relaxed: Relaxed, refused: list[tuple[int, ...]], most: int, slack: float, seconds: float
) -> Solved:
    """Solve the integer program for at most `most` units, none of the sets `refused` among the answers.

    Units whose reduced cost proves that no such answer has them, or lacks them, are fixed beforehand.
    """
    system, need = program.system(slack)
    units = len(program.matrix)
    box = relaxed.closer(most).beside(system.shape[1] - units)
    cost = np.zeros(system.shape[1])
    cost[:units] = 1
    lines, least = [system, -cost[None]], [need, np.array([-float(most)])]
    for refusal in refused:
        line = cost.copy()
        line[list(refusal)] = -1
        lines.append(line[None])
        least.append(np.array([1.0 - len(refusal)]))
    found = milp(
        cost,
        integrality=np.ones(len(cost), dtype=np.int64),
        bounds=Bounds(*box),
        constraints=LinearConstraint(np.vstack(lines), np.concatenate(least), np.inf),
        options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )
    if found.status == INFEASIBLE:
        return Solved(None, most + 1)
    proven = getattr(found, "mip_dual_bound", None)
    bound = 0 if proven is None or not np.isfinite(proven) else whole(proven)
    answer = None if found.x is None else tuple(np.flatnonzero(found.x[:units] > 0.5).tolist())
    return Solved(answer, min(bound, most + 1))


def whole(bound: float) -> int:
    """Round a bound on a number of units up, a solver's error aside."""
    return int(np.ceil(bound - SAFE))

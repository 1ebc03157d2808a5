"""What probes of one picture cost in a graph: sums over a table of contributions, or runs of the masked head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..graph.build import Builder, Var
from ..graph.loops import column, inside, row, scattered

Run = Callable[[Builder, Var], Var]
"""Writes the head into a graph: masks `[B, n]` to logits `[B, C]`."""


class Scorer(Protocol):
    """Logits of subsets, which are given as units `[k]`; `ahead` of them cost little more than one."""

    @property
    def ahead(self) -> int:
        """How many units' removals are asked for at a time."""
        raise NotImplementedError

    def of(self, units: Var) -> Var:
        """Return the logits `[1, C]` of a subset."""
        raise NotImplementedError

    def without(self, units: Var, each: Var) -> Var:
        """Return the logits `[B, C]` of a subset without each of some of its units `[B]`."""
        raise NotImplementedError

    def among(self, units: Var) -> "Scorer":
        """Return the same for subsets of `units` `[m]` only, which are given by their places there."""
        raise NotImplementedError


@dataclass(frozen=True)
class Table:
    """Units add up: z(S) = `nothing` `[1, C]` + the sum over S of `strengths` `[n]` times `effects` `[n, C]`."""

    strengths: Var
    effects: Var
    nothing: Var
    ahead: int = 64

    def of(self, units: Var) -> Var:
        """Return the logits `[1, C]` of a subset."""
        strengths = units.op.Gather(inside(units.op, self.strengths), units)
        return row(strengths) @ self._rows(units) + inside(units.op, self.nothing)

    def without(self, units: Var, each: Var) -> Var:
        """Return the logits `[B, C]` of a subset without each of some of its units `[B]`."""
        strengths = each.op.Gather(inside(each.op, self.strengths), each)
        return self.of(units) - column(strengths) * self._rows(each)

    def among(self, units: Var) -> "Table":
        """Return a table of a few units, whose rows lie together."""
        strengths = units.op.Gather(inside(units.op, self.strengths), units)
        return Table(strengths, self._rows(units), self.nothing)

    def _rows(self, units: Var) -> Var:
        return units.op.Gather(inside(units.op, self.effects), units)


@dataclass(frozen=True)
class Runs:
    """Units interact: every probe is a run of the head, `ahead` of them at a time; `names` are units by place."""

    head: Run
    count: int
    ahead: int
    names: Var | None = None

    def of(self, units: Var) -> Var:
        """Return the logits `[1, C]` of a subset."""
        return self.head(units.op, self._mask(units))

    def without(self, units: Var, each: Var) -> Var:
        """Return the logits `[B, C]` of a subset without each of some of its units `[B]`."""
        op = each.op
        gone = op.Equal(op.constant(np.arange(self.count)[None]), column(self._named(each)))
        return self.head(op, gone.where(0.0, self._mask(units)))

    def among(self, units: Var) -> "Runs":
        """Return the same for units by their places."""
        return Runs(self.head, self.count, self.ahead, units)

    def _mask(self, units: Var) -> Var:
        return row(scattered(self.count, self._named(units), 1.0))

    def _named(self, units: Var) -> Var:
        return units if self.names is None else units.op.Gather(inside(units.op, self.names), units)

"""What probes of one picture cost in a graph: sums over a table of contributions, or runs of the masked head."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..graph.build import Builder, Var
from ..graph.loops import column, inside, row, scattered

Run = Callable[[Builder, Var], Var]
"""Writes the head into a graph: masks `[B, n]` to logits `[B, C]`."""


@dataclass(frozen=True)
class Table:
    """Units add up: z(S) = `nothing` `[1, C]` + the sum over S of `strengths` `[n]` times `effects` `[n, C]`."""

    strengths: Var
    effects: Var
    nothing: Var
    ahead: int = 64

    def of(self, units: Var) -> Var:
        """Return the logits `[1, C]` of a subset, given as its units `[k]`."""
        return row(inside(units.op, self.strengths).op.Gather(inside(units.op, self.strengths), units)) @ self.rows(
            units
        ) + inside(units.op, self.nothing)

    def without(self, units: Var, each: Var) -> Var:
        """Return the logits `[B, C]` of a subset without each of some of its units `[B]`."""
        op = each.op
        alone = column(op.Gather(inside(op, self.strengths), each)) * self.rows(each)
        return self.of(units) - alone

    def rows(self, units: Var) -> Var:
        return units.op.Gather(inside(units.op, self.effects), units)


@dataclass(frozen=True)
class Runs:
    """Units interact: every probe is a run of the head, `ahead` of them at a time."""

    head: Run
    units: int
    ahead: int

    def of(self, units: Var) -> Var:
        """Return the logits `[1, C]` of a subset, given as its units `[k]`."""
        return self.head(units.op, row(scattered(self.units, units, 1.0)))

    def without(self, units: Var, each: Var) -> Var:
        """Return the logits `[B, C]` of a subset without each of some of its units `[B]`."""
        op = each.op
        gone = op.Equal(op.constant(np.arange(self.units)[None]), column(each))
        return self.head(op, gone.where(0.0, row(scattered(self.units, units, 1.0))))

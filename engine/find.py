"""Find the units that a question asks for: on the contribution matrix where units add up, else by head runs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .answer import Bound, Certificate
from .errors import OptionError, PictureError
from .head import random_masks
from .problem import Problem
from .runtime.blas import one_blas_thread
from .search import SEARCHES, Ask, Budget, Gate, Outcome, Search, search_with
from .search.additive import Table, additive_ask, remove_units_additive
from .search.certificate import certify
from .search.contrast import certify_contrast, opposite
from .search.gate import TOGETHER
from .search.masks import mask_of
from .search.minimum import minimum
from .search.predicate import BAND
from .search.several import several, within

Mask = NDArray[np.bool_]
Subset = tuple[int, ...]
NAMES = ("auto", *SEARCHES, "minimum")
FOLLOWING = frozenset({"ordered", "quickxplain", "probdd", "sweep"})
"""Searches that follow the order of the units' use; the others go by index."""
ROWS = 64
"""Subsets per matrix product."""
PROOF_SECONDS = 10.0
"""What the proof of a minimum may take where nothing else is asked for."""


@dataclass(frozen=True)
class Found:
    """What a search gave: the subset, how it ended, what was run, how much was asked; further subsets, a bound."""

    subset: Subset
    outcome: Outcome
    search: str
    probes: int
    batches: int
    others: tuple[Subset, ...] = ()
    bound: Bound | None = None


def find(problem: Problem) -> Found:
    """Run the search that the problem's question asks for.

    Raises OptionError for a search that does not exist or that the head does not allow, PictureError where the
    whole model does not satisfy the predicate. Cost: the probes that the result counts.
    """
    with one_blas_thread():
        return find_through(problem, problem.keeps)


def find_through(problem: Problem, keeps: Ask) -> Found:
    """Do the same with `keeps` answering what the table of contributions does not."""
    if problem.question.search == "minimum":
        require_minimum(problem)
    return Finder(problem, problem.table, keeps).find()


def find_alone(problem: Problem) -> Found:
    """Do the same with every probe asked of the canonical run, one mask at a time; nothing is proven about size."""
    return Finder(problem, None, lambda masks: np.array([problem.keeps_alone(mask) for mask in masks])).find()


def certificate_for(problem: Problem, subset: tuple[int, ...], seek: str) -> Certificate:
    """Certify a subset that suffices, or one that is necessary. Cost: |S| + 2 canonical runs."""
    prove = certify if seek == "sufficient" else certify_contrast
    return prove(subset, problem.units, problem.score_each_alone, problem.predicate)


class Finder:
    """One search under way: what it asks, in which order, and how often it has."""

    def __init__(self, problem: Problem, table: Table | None, keeps: Ask) -> None:
        self.problem, self.table = problem, table
        question = problem.question
        if question.search not in NAMES:
            raise OptionError(f"expected a search {', '.join(NAMES[:-1])} or {NAMES[-1]}, got {question.search!r}")
        self.name = "ordered" if question.search in ("auto", "minimum") else question.search
        self.ask = keeps if table is None else additive_ask(table, problem.predicate, problem.keeps_alone)
        if question.seek == "necessary":
            self.ask = opposite(self.ask)
        self.order = problem.order if self.name in FOLLOWING else np.arange(problem.units)
        self.batch = problem.batch if table is None else ROWS
        self.probes, self.batches = problem.order_probes, 0

    def find(self) -> Found:
        question = self.problem.question
        gate = self.gate()
        subset, outcome = search_with(self.search(), gate)
        self.probes, self.batches = self.probes + gate.probes, self.batches + gate.batches
        if outcome is (Outcome.FULL_FAILS if question.seek == "sufficient" else Outcome.EMPTY_SUFFICES):
            raise nothing_to_preserve(self.problem)
        bound: Bound | None = None
        others: tuple[Subset, ...] = ()
        if question.search == "minimum" and outcome is Outcome.ONE_MINIMAL and self.table_holds(subset):
            subset, bound = self.minimum(subset)
        if question.count > 1 and outcome is Outcome.ONE_MINIMAL:
            others = self.others(subset)
        where = "head runs" if self.table is None else "the contribution matrix"
        name = question.search if question.search == "minimum" else self.name
        return Found(subset, outcome, f"{name} on {where}", self.probes, self.batches, others, bound)

    def gate(self) -> Gate:
        """Make the gate; what the canonical run says of everything and of nothing is known beforehand."""
        problem, question = self.problem, self.problem.question
        limited = question.probes is not None or question.seconds is not None
        budget = Budget(question.probes, question.seconds) if limited else None
        together = TOGETHER if self.table is not None else problem.model.probe.together
        gate = Gate(self.ask, problem.units, self.batch, order=self.order, budget=budget, together=together)
        full, empty = problem.predicate.keeps(np.array([problem.logits, problem.logits_without])).tolist()
        gate.remember(*((not empty, not full) if question.seek == "necessary" else (full, empty)))
        return gate

    def search(self) -> Search:
        """Return the search; the removal of single units has a way of its own on the contribution matrix."""
        problem, table, question = self.problem, self.table, self.problem.question
        plain = question.seek == "sufficient" and question.probes is None and question.seconds is None
        if table is None or self.name != "units" or not plain:
            return SEARCHES[self.name]

        def remove(_: Gate) -> Subset:
            subset, probes = remove_units_additive(table.matrix, table.bias, problem.predicate, problem.keeps_alone)
            self.probes += probes
            return subset

        return remove

    def table_holds(self, subset: Subset) -> bool:
        """Compare the table with the canonical run, on which the proof of a minimum rests: on S and random subsets."""
        if self.table is None:
            return False
        masks = np.concatenate(
            [mask_of(self.problem.units, list(subset))[None], random_masks(self.problem.units, 8) > 0]
        )
        expected = self.problem.score_each_alone(masks)
        allowed = BAND * (1 + np.abs(expected).max(axis=1))
        return bool((np.abs(self.table.logits(masks) - expected).max(axis=1) <= allowed).all())

    def minimum(self, known: Subset) -> tuple[Subset, Bound]:
        problem, limit = self.problem, self.problem.question.seconds
        assert self.table is not None
        proof = minimum(
            self.table,
            problem.predicate,
            problem.keeps_alone,
            known=known,
            seconds=PROOF_SECONDS if limit is None else limit,
        )
        self.probes += proof.probes
        return proof.subset, Bound(proof.bound, proof.seconds)

    def others(self, first: Subset) -> tuple[Subset, ...]:
        """Find further subsets that differ, disjoint ones first."""
        find_within = within(self.counted, self.batch, SEARCHES[self.name], self.order)

        def find(allowed: Mask) -> Subset | None:
            return first if allowed.all() else find_within(allowed)

        return several(find, self.problem.units, self.problem.question.count).subsets[1:]

    def counted(self, masks: Mask) -> Mask:
        self.probes, self.batches = self.probes + len(masks), self.batches + 1
        return self.ask(masks)


def require_minimum(problem: Problem) -> None:
    """Raise OptionError where no minimum can be proven."""
    if problem.question.seek == "necessary":
        raise OptionError("a minimum is proven for sufficient units only; use another search with --necessary")
    if problem.table is None:
        raise OptionError(
            "expected a head in which units add up for a minimum: its proof needs the contribution of each "
            f"unit, but {problem.model.head_class[1]}; use --search ordered"
        )


def nothing_to_preserve(problem: Problem) -> PictureError:
    return PictureError(
        f"the whole model does not satisfy {problem.preserve} for class {problem.target} on this picture "
        "(two classes tie?), so there is nothing to preserve; ask for --preserve topk:2"
    )

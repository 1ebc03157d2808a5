"""DD-CAM (Khadka et al., 2026): a 1-minimal set of units that suffices for the decision."""

import time

import numpy as np

from ..errors import OptionError, PictureError
from ..problem import Problem
from ..saliency import from_cells, from_channels, from_tokens
from ..search import SEARCHES, Gate, Outcome, search, search_with
from ..search.additive import additive_ask, remove_units_additive
from ..search.certificate import certify
from ..types import Attribution, Certificate, Cost, Floats

ROWS = 64
"""Subsets per matrix product."""


def dd_cam(problem: Problem) -> Attribution:
    """Find a subset S with P(S) and not P(S without u) for every u in S, and weigh its units by logit drop.

    w_u = max(0, z(S) - z(S without u)) of the target's logit z; the map is ReLU(sum_u w_u F_u), for tokens and
    cells w_u at their place. Where no logit drops (a rival rose instead), the drop of the predicate's margin,
    which is positive on a 1-minimal set, takes its place. The paper leaves the order of units, the weights'
    baseline and normalisation open; here units go in index order and weights are relative to S.

    `problem.search`: "units" removes single units to a fix-point (the paper's way for heads without interaction),
    "ddmin" tries combinations, "auto" takes what the head calls for.
    Cost: one backbone forward and the probes; n head forwards for the contributions of an additive head, or
    for ddmin at least log2(n) and at most n^2 + 3n; then |S| + 3 canonical runs.
    Source: arXiv 2602.19274; Zeller and Hildebrandt, TSE 2002.
    """
    started = time.perf_counter()
    subset, outcome, name, counts = find(problem)
    if outcome is Outcome.FULL_FAILS:
        raise PictureError(
            f"the whole model does not satisfy {problem.predicate.text} for class {problem.target} on this picture "
            "(two classes tie?), so there is nothing to preserve; ask for --preserve topk:2"
        )
    certificate = certify(subset, problem.units, problem.score_alone, problem.predicate)
    weights, weighting = unit_weights(certificate)
    scores = np.zeros(problem.units, np.float32)
    scores[list(subset)] = weights
    cost = Cost(counts[0], counts[1], problem.canonical_runs, time.perf_counter() - started)
    return Attribution(
        method="dd-cam",
        scores=scores,
        grid_map=grid_map(problem, scores),
        weighting=weighting,
        subset=subset,
        outcome=outcome.name.lower().replace("_", "-"),
        search=name,
        certificate=certificate,
        cost=cost,
    )


def find(problem: Problem) -> tuple[tuple[int, ...], Outcome, str, tuple[int, int]]:
    """Run the search; return subset, outcome, what was run, and the numbers of probes and batches."""
    asked, table = problem.search, problem.contributions
    if asked not in ("auto", *SEARCHES):
        raise OptionError(f"expected a search auto, {' or '.join(SEARCHES)}, got {asked!r}")
    name = asked if asked != "auto" else ("ddmin" if table is None else "units")
    if table is None:
        gate = Gate(problem.keeps, problem.units, problem.batch)
        subset, outcome = search(name, gate)
        return subset, outcome, f"{name} on head runs", (gate.probes, gate.batches)
    return find_in_table(problem, name, table)


def find_in_table(
    problem: Problem, name: str, table: tuple[Floats, Floats]
) -> tuple[tuple[int, ...], Outcome, str, tuple[int, int]]:
    """Search on the contributions alone; sums of single units need no gate, they look ahead by themselves."""
    gate = Gate(additive_ask(*table, problem.predicate, problem.keeps_alone), problem.units, ROWS)
    more = 0

    def remove(_: Gate) -> tuple[int, ...]:
        nonlocal more
        subset, more = remove_units_additive(*table, problem.predicate, problem.keeps_alone)
        return subset

    subset, outcome = search_with(remove if name == "units" else SEARCHES[name], gate)
    return subset, outcome, f"{name} on the contribution matrix", (gate.probes + more, gate.batches)


def unit_weights(certificate: Certificate) -> tuple[Floats, str]:
    """Return the weights of the subset's units and how they were made."""
    drops = np.maximum(0, certificate.logit - np.array(certificate.logit_without))
    if drops.any() or not len(drops):
        return drops, "logit drop"
    return certificate.margin - np.array(certificate.margin_without), "margin drop (no logit drops)"


def grid_map(problem: Problem, scores: Floats) -> Floats:
    match problem.split.units:
        case "channel":
            return from_channels(scores, problem.features)
        case "cell":
            return from_cells(scores, problem.split.grid)
        case _:
            return from_tokens(scores, problem.split.grid)

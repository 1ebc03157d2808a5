"""DD-CAM (Khadka et al., 2026): a 1-minimal set of units that suffices for the decision."""

import time
from collections.abc import Sequence

import numpy as np

from ..answer import Answer, Attribution, Certificate, Cost
from ..errors import DdcamError
from ..find import Found, certificate_for, find, find_alone
from ..problem import Problem
from ..saliency import from_cells, from_channels, from_tokens
from ..search import Outcome
from ..together import find_each
from ..types import Floats
from .registry import Facts, method


@method(
    "dd-cam",
    Facts("search", "the head", "the probes, at worst n^2 + 3n, and |S| + 2 canonical runs", "arXiv:2602.19274"),
)
def dd_cam(problem: Problem) -> Attribution:
    """Find a subset S with P(S) and not P(S without u) for every u in S, and weigh its units by logit drop.

    w_u = max(0, z(S) - z(S without u)) of the target's logit z; the map is ReLU(sum_u w_u F_u), for tokens and
    cells w_u at their place. Where no logit drops (a rival rose instead), the drop of the predicate's margin,
    which is positive on a 1-minimal set, takes its place; so it does for predicates that are also lost when the
    logit rises (a threshold from below, a tolerance, several labels). The paper leaves the order of units, the
    weights' baseline and normalisation open; here weights are relative to S.

    `problem.question.search`: "auto" and "ordered" try the units that seem most useful first and shrink what they
    find; "units" removes single units to a fix-point (the paper's way for heads without interaction), "ddmin" tries
    combinations (the paper's way for others); "minimum" proves the fewest. `seek="necessary"` asks for units
    without which the decision is lost instead.
    Cost: one backbone forward and the probes, at worst n^2 + 3n; then |S| + 2 canonical runs an answer.
    Source: arXiv 2602.19274; Zeller and Hildebrandt, TSE 2002.
    """
    started = time.perf_counter()
    found = find(problem)
    return from_found(problem, found, problem.folding_seconds + time.perf_counter() - started)


def dd_cam_each(problems: Sequence[Problem]) -> list[Attribution | DdcamError]:
    """Do as `dd_cam` for problems of one model, searched side by side; the answers are the same, or their own errors.

    The seconds of a search are an equal share of what all took. Raises OptionError for problems of several models.
    Cost: the probes of all, in shared runs of the head where `find_each` can share them.
    """
    started = time.perf_counter()
    found = find_each(problems)
    share = (time.perf_counter() - started) / max(1, len(problems))
    return [own_answer(*pair, share) for pair in zip(problems, found, strict=True)]


def own_answer(problem: Problem, found: Found | Exception, seconds: float) -> Attribution | DdcamError:
    """Make an attribution of what a search among others found; only errors that a user can cause are answers."""
    try:
        if isinstance(found, Exception):
            raise found
        return from_found(problem, found, problem.folding_seconds + seconds)
    except DdcamError as error:
        return error


def from_found(problem: Problem, found: Found, seconds: float) -> Attribution:
    """Certify what a search found within `seconds`, search again alone where that fails, and weigh the units."""
    started = time.perf_counter()
    answers = proven(problem, found)
    if found.outcome is Outcome.ONE_MINIMAL and not all(answer.certificate.holds for answer in answers):
        # Rounding beyond the band: ask every probe of the canonical run, which cannot contradict itself.
        found = find_alone(problem)
        answers = proven(problem, found)
    ended = time.perf_counter()
    first, *others = answers
    weights, weighting = unit_weights(first.certificate, weighed_by(problem))
    scores = np.zeros(problem.units, np.float32)
    scores[list(first.subset)] = weights
    return Attribution(
        method="dd-cam",
        scores=scores,
        grid_map=grid_map(problem, scores),
        weighting=weighting,
        subset=first.subset,
        outcome=found.outcome.name.lower().replace("_", "-"),
        search=found.search,
        certificate=first.certificate,
        cost=Cost(
            probes=found.probes,
            batches=found.batches,
            canonical_runs=problem.canonical_runs,
            seconds=seconds + ended - started,
            search_seconds=seconds,
            certificate_seconds=ended - started,
        ),
        seek=problem.question.seek,
        others=tuple(others),
        bound=found.bound,
    )


def proven(problem: Problem, found: Found) -> list[Answer]:
    """Certify every subset that was found, each on its own."""
    subsets = (found.subset, *found.others)
    return [Answer(subset, certificate_for(problem, subset, problem.question.seek)) for subset in subsets]


def weighed_by(problem: Problem) -> str:
    """Return whose drop weighs a unit; of necessary units, which make a logit rise, the margin's."""
    return problem.predicate.weighs if problem.question.seek == "sufficient" else "margin"


def unit_weights(certificate: Certificate, weighs: str) -> tuple[Floats, str]:
    """Return the weights of the subset's units and how they were made; `weighs` is the predicate's."""
    margins = certificate.margin - np.array(certificate.margin_without)
    if weighs == "margin":
        return margins, "drop of the margin"
    drops = np.maximum(0, certificate.logit - np.array(certificate.logit_without))
    if drops.any() or not len(drops):
        return drops, "logit drop"
    return margins, "margin drop (no logit drops)"


def grid_map(problem: Problem, scores: Floats) -> Floats:
    match problem.split.units:
        case "channel":
            return from_channels(scores, problem.features)
        case "cell" | "patch":
            return from_cells(scores, problem.split.grid)
        case _:
            return from_tokens(scores, problem.split.grid)

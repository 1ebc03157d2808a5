"""CRAFT (Fel et al., 2023): where in the picture the concepts of a class lie, weighted by what they mean to it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..answer import Attribution, Part
from ..errors import OptionError
from ..fitted.concepts import KIND, Concepts, open_concepts
from ..fitted.find_concepts import importances
from ..fitted.maps import logits_of_maps, require_maps
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method

SHOWN = 10
"""Concepts that are drawn one by one; all are in the map."""
OFTEN = ("class", "picture")


@method("craft", Facts("concept", "a concept file", "1 forward, 1 head forward", "arXiv:2211.10154"))
def craft(
    problem: Problem, *, concepts: str = "", importance: str = "class", samples: int = 32, seed: int = 0
) -> Attribution:
    """Lay the concepts of a class over the picture, by their importance: M = sum_k S_k U_k.

    U >= 0 brings U W closest to the features, place by place; W `[r, K]` are the concepts that `ddcam concepts` found
    on pictures of the class, of unit length; S_k is the total Sobol index of the class's logit for concept k, as a
    mean over those pictures, or with `importance=picture` in this one (`samples` points of a sequence with `seed`).
    The paper shows the concepts one by one, as `parts` do here; the sum is ours. S has no sign: a concept that speaks
    against the class counts too. The paper's gradient through the factorisation is not there. What U W leaves of the
    features is in the weighting's text, and a warning where U W alone makes the model decide otherwise.

    Cost: one forward and one head forward; with `importance=picture` 32 (r + 1) more of the head. Raises
    OptionError where no file is given or it is of another class, FittedFileError where it is of another model.
    Source: arXiv:2211.10154.
    """
    if not concepts or importance not in OFTEN:
        raise OptionError(REFUSAL if not concepts else f"expected importance=class or picture, got {importance!r}")
    require_maps(problem.model)
    known = open_concepts(Path(concepts), problem.model)
    if known.target != problem.target:
        raise OptionError(
            f"{concepts} holds concepts of {known.label} ({known.target}), and the class explained is "
            f"{problem.prediction(problem.target).label}; take --target {known.target}, or concepts of that class"
        )
    weights = known.importance
    if importance == "picture":
        weights = importances(known, problem.model, problem.raw, samples=samples, seed=seed).astype(np.float32)
    found = known.codes(problem.maps)
    error = left(known, problem, found)
    text = f"{len(weights)} concepts by their importance to the {importance}, which leave {error:.0%} of the features"
    attribution = from_map("craft", (found @ weights).reshape(problem.maps.shape[1:]), text)
    return replace(attribution, parts=parts(known, found, weights, problem), warnings=warnings(known, problem, found))


REFUSAL = (
    f"craft needs the concepts of a class: find them with ddcam {KIND.command}, "
    "and give that file as --method craft:concepts=FILE"
)


def left(concepts: Concepts, problem: Problem, found: Floats) -> float:
    """Return what the concepts leave of the features: |F - U W| / |F|, F less its offset."""
    maps = problem.maps.astype(np.float64)
    offset = concepts.offset[:, None, None]
    return float(np.linalg.norm(maps - concepts.maps(found, problem.split.grid)) / np.linalg.norm(maps - offset))


def warnings(concepts: Concepts, problem: Problem, found: Floats) -> tuple[str, ...]:
    made = concepts.maps(found, problem.split.grid)[None]
    logits = logits_of_maps(problem.model, problem.raw, made, lambda rows: rows)[0]
    own, decided = (int(np.argmax(values)) for values in (problem.logits, logits))
    if own == decided:
        return ()
    said = problem.prediction(decided).label
    return (f"the concepts are not the whole story: what they hold of the features alone is taken for {said}",)


def parts(concepts: Concepts, found: Floats, weights: Floats, problem: Problem) -> tuple[Part, ...]:
    order = np.argsort(-weights, kind="stable")[:SHOWN]
    maps = found.T.reshape(-1, *problem.split.grid).astype(np.float32)
    return tuple(
        Part(f"concept {k + 1}, importance {weights[k]:.2f}", maps[k], concepts.crops[k]) for k in map(int, order)
    )

"""Which explanation is good? Predicates x units x orders x weightings against linear-head maps: docs/study.md.

Every real ImageNet model of DDCAM_DATA, its pictures with boxes, every metric of `engine/metrics`.
Usage: DDCAM_DATA=... python benchmarks/study.py [--pictures N] > docs/study.md
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from study_table import Study, best_linear_table, gains_table, means_table

import ddcam
from ddcam.engine.find import find
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.methods.nested import at_levels, contributions, nested, over_grid
from ddcam.engine.metrics import Case, case_of
from ddcam.engine.metrics.adcc import harmonic
from ddcam.engine.metrics.average_drop import average_drop
from ddcam.engine.metrics.coherency import coherency
from ddcam.engine.metrics.complexity import complexity
from ddcam.engine.metrics.deletion import deletion
from ddcam.engine.metrics.energy import energy
from ddcam.engine.metrics.insertion import insertion
from ddcam.engine.metrics.pointing_game import pointing_game
from ddcam.engine.metrics.restoring_area import restoring_area
from ddcam.engine.model import Model
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.batching import batches
from ddcam.engine.saliency import saliency_map
from ddcam.engine.search.predicate import probabilities
from ddcam.engine.trials import Remembered, inside
from ddcam.engine.types import Floats, Placement, Question
from ddcam.engine.whole import as_type

PRESETS = {"torch": "imagenet", "raw_u8": "raw", "tf": "symmetric"}
RUNGS = 14
LARGEST_BOX = 0.6
"""A box that covers more of the input than this says little about where a map should be."""
TUNED = 90
"""Of the shuffled names, the first: constants of `nested` were chosen on their pictures, so the others come first."""
METRICS = {
    "insertion": 1,
    "deletion": -1,
    "average drop": -1,
    "energy in box": 1,
    "pointing": 1,
    "restoring area": -1,
    "coherency": 1,
    "complexity": -1,
    "ADCC": 1,
}
"""Name and whether more (1) or less (-1) is better."""


@dataclass(frozen=True)
class Row:
    """One way to explain: its units, and the map over the grid that it draws of a problem."""

    name: str
    units: str
    draw: Callable[[Problem], Floats]


# ----- the ways to explain -----


def adds(problem: Problem) -> Floats:
    """Return what each unit adds to every logit, `[n, classes]`, where all others are kept."""
    if problem.table is not None:
        return problem.table.matrix
    single = 1 - np.eye(problem.units, dtype=np.float32)
    return problem.logits - np.concatenate([problem.score(part) for part in batches(single, problem.batch)])


def linear(problem: Problem) -> Floats:
    return np.maximum(contributions(problem), 0).reshape(problem.split.grid)


def against_rivals(problem: Problem) -> Floats:
    share = probabilities(problem.logits[None], problem.activation)[0]
    share[problem.target] = 0
    rows = adds(problem)
    better = rows[:, problem.target] - rows @ (share / share.sum())
    return np.maximum(better, 0).reshape(problem.split.grid)


def smoothed(problem: Problem) -> Floats:
    return over_grid(problem, linear(problem).ravel()).reshape(problem.split.grid)


def subset_map(preserve: str, search: str, weighting: str = "logit drop") -> Callable[[Problem], Floats]:
    """Draw a 1-minimal subset, its units weighted by logit drop, equally, or in full over 0.3 of all contributions."""

    def draw(problem: Problem) -> Floats:
        posed = problem.under(preserve)
        posed.question = Question(search=search)
        if weighting == "logit drop":
            return dd_cam(posed).grid_map
        kept = np.zeros(posed.units)
        kept[list(find(posed).subset)] = 1
        if weighting == "full":
            linearly = linear(problem).ravel()
            relative = linearly / max(linearly.max(), 1e-12)
            kept = np.where(kept > 0, 0.4 + 0.6 * relative, 0.3 * relative)
        return kept.reshape(posed.split.grid)

    return draw


def shares(problem: Problem) -> Floats:
    total = np.zeros(problem.units)
    for level in at_levels(problem):
        total[list(find(level).subset)] += 1
    return total.reshape(problem.split.grid)


def root(problem: Problem) -> Floats:
    """Draw `nested` with the plain root in the place of the power that gives it the size of the linear-head map."""
    product = over_grid(problem, shares(problem).ravel()) * linear(problem).ravel()
    return np.sqrt(product).reshape(problem.split.grid)


LINEAR = [
    Row("linear-head map (Grad-CAM)", "cell", linear),
    Row("linear-head map against rivals", "cell", against_rivals),
    Row("linear-head map, smoothed", "cell", smoothed),
]
OURS = [
    Row("channels `top1`, index order", "channel", subset_map("top1", "ddmin")),
    Row("channels `top1`", "channel", subset_map("top1", "ordered")),
    Row("channels `confidence:0.9`", "channel", subset_map("confidence:0.9", "ordered")),
    Row("cells `top1`", "cell", subset_map("top1", "ordered")),
    Row("cells `confidence:0.9`, index order", "cell", subset_map("confidence:0.9", "ddmin")),
    Row("cells `confidence:0.9`", "cell", subset_map("confidence:0.9", "ordered")),
    Row("cells `confidence:0.9`, equal weights", "cell", subset_map("confidence:0.9", "ordered", "equal")),
    Row("cells `confidence:0.9` in full, rest at 0.3", "cell", subset_map("confidence:0.9", "ordered", "full")),
    Row("cells, share of levels", "cell", shares),
    Row("cells, `nested` with a plain root", "cell", root),
    Row("cells, `nested`", "cell", lambda problem: nested(problem).grid_map),
]
BEST, ROOT, GRAD_CAM = OURS[-1].name, OURS[-2].name, LINEAR[0].name


# ----- measuring -----


def measure(row: Row, models: dict[str, Model], case: Case) -> list[float]:
    """Return every metric of one way to explain one picture, in the order of METRICS."""
    shape = case.inputs.shape[2:] if case.layout == "NCHW" else case.inputs.shape[1:3]
    frame = Placement(*shape, 0, 0, *shape)

    def explain(inputs: Floats) -> Floats:
        model = models[row.units]
        given = as_type(inputs, np.dtype(model.opened.picture.dtype))
        problem = Problem(model, given, target=str(case.target), preserve="confidence:0.9")
        return saliency_map(row.draw(problem), frame)

    case = replace(case, explain=explain)
    found = explain(case.inputs)
    again, size, drop = coherency(found, case), complexity(found, case), average_drop(found, case)
    return [
        insertion(found, case, count=RUNGS),
        deletion(found, case, count=RUNGS),
        drop,
        energy(found, case),
        pointing_game(found, case),
        restoring_area(found, case, count=RUNGS),
        again,
        size,
        harmonic(again, size, drop),
    ]


def cases(data: Path, model: Model) -> Iterator[tuple[str, Case]]:
    """Yield the pictures that the model decides rightly and whose boxes leave most of the input free."""
    known = json.loads((data / "labels" / "imagenet_val160_boxes.json").read_text(encoding="utf-8"))
    names = [sorted(known)[i] for i in np.random.RandomState(0).permutation(len(known))]
    first = 1 if model.opened.logits.classes == 1001 else 0  # then class 0 is the background
    for name in [*names[TUNED:], *names[:TUNED]]:
        picture = ddcam.open_image(data / "images" / "imagenet-val160" / name)
        inputs, placement = prepare(picture, model.opened.preprocessing, model.opened.picture)
        box = inside(known[name]["boxes_xyxy"], placement, model.opened.preprocessing)
        if 0 < box.mean() <= LARGEST_BOX:
            problem = Problem(model, inputs)
            margin = problem.predicate.margins(problem.logits[None])[0]
            if problem.target - first == known[name]["label"] and margin > 0:
                case = case_of(problem, inputs, box=box)
                yield name, replace(case, score=Remembered(case.score))


def study(data: Path, entry: dict[str, Any], count: int) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of the pictures, and all values `[pictures, rows, metrics]` of one model."""
    file, preset = data / "models" / entry["name"], PRESETS.get(entry["pre"], entry["pre"])
    models = {units: ddcam.load(file, preprocessing=preset, units=units) for units in ("cell", "channel")}
    if models["cell"].whole.batch == 1 and "Dynamic" in models["cell"].whole.reason:
        count //= 4  # its forwards are the slowest by far
    names, values, started = [], [], time.perf_counter()
    for name, case in cases(data, models["cell"]):
        names.append(name)
        values.append([measure(row, models, case) for row in (*LINEAR, *OURS)])
        if len(names) == count:
            break
    seconds = time.perf_counter() - started
    print(f"{file.stem}: {len(names)} pictures in {seconds:.0f} s", file=sys.stderr, flush=True)
    return names, np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=24, help="pictures a model")
    parser.add_argument("--only", default="", help="models whose names contain this")
    parser.add_argument("--keep", type=Path, help="a folder for the values of every model, so that a run can go on")
    asked = parser.parse_args()
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    entries = json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8"))
    results = {}
    for entry in entries:
        if entry["ds"] == "in" and asked.only in entry["name"]:
            results[Path(entry["name"]).stem] = kept(asked.keep, data, entry, asked.pictures)
    print(document(results))


def kept(folder: Path | None, data: Path, entry: dict[str, Any], count: int) -> tuple[list[str], NDArray[np.float64]]:
    """Do as `study`, or read what an earlier run has written."""
    if folder is None:
        return study(data, entry, count)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{Path(entry['name']).stem}.npz"
    if not file.exists():
        names, values = study(data, entry, count)
        np.savez(file, names=names, values=values)
    with np.load(file) as saved:
        return saved["names"].tolist(), saved["values"]


def document(results: dict[str, tuple[list[str], NDArray[np.float64]]]) -> str:
    """Write docs/study.md."""
    found = Study(results, [row.name for row in (*LINEAR, *OURS)], METRICS)
    text = (Path(__file__).with_name("study_text.md")).read_text(encoding="utf-8")
    return text.format(
        version=ddcam.__version__,
        runtime=onnxruntime.__version__,
        rungs=RUNGS,
        tuned=TUNED,
        gains=gains_table(found, BEST, GRAD_CAM),
        root=gains_table(found, ROOT, GRAD_CAM),
        over_smoothed=gains_table(found, BEST, LINEAR[-1].name),
        best_linear=best_linear_table(found, BEST, [row.name for row in LINEAR]),
        means="\n\n".join(f"### {model}\n\n{means_table(found, model)}" for model in results),
    )


if __name__ == "__main__":
    main()

"""How often `--search minimum` proves the fewest units in two seconds, and what the other searches keep.

Usage, with DDCAM_DATA set: python benchmarks/minimum.py [--pictures N] [NAME ...] > benchmarks/results/minimum.md
"""

import argparse
import statistics
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from search import PROMISED, wanted
from subjects import Subject, machine, real_models

from ddcam.engine import Model
from ddcam.engine.answer import Attribution
from ddcam.engine.errors import PictureError
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.search import SEARCHES
from ddcam.engine.types import Question

SECONDS = 2.0
PRESERVE = ("top1", "confidence:0.5", "confidence:0.9")
HEADER = f"""# How often a minimum is proven

{{machine}}; made by `python benchmarks/minimum.py`. "Proven" counts the pictures for which the fewest units were found
and proven with `--search minimum --seconds {SECONDS:g}`, the search before the proof included in the time; "gap" is how
many units fewer were not excluded in the worst of the others. Then the mean number of units that each search keeps, and
for how many pictures any of them kept fewer than `minimum`. Pictures that need no unit at all are left out.

| model | preserve | pictures | proven | gap | median s | longest s | minimum | {" | ".join(SEARCHES)} | fewer |
|---|---|---|---|---|---|---|---|{"---|" * len(SEARCHES)}---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Count proven minima; prints Markdown.")
    parser.add_argument("names", nargs="*", default=PROMISED[:1], help="only models whose names contain one of these")
    parser.add_argument("--pictures", type=int, default=100, help="pictures a model")
    asked = parser.parse_args()
    print(HEADER.format(machine=machine("cpu")), flush=True)
    for subject in real_models(asked.pictures):
        if wanted(subject.name, asked.names):
            for cells in lines(subject):
                print(f"| {subject.name} | {' | '.join(cells)} |", flush=True)


def lines(subject: Subject) -> Iterator[list[str]]:
    """Yield one line of the table for each predicate; none where units do not add up."""
    model = subject.load()
    if model.head_class[0] != "additive":
        return
    features = [model.features(inputs) for inputs in subject.inputs(model)]
    answers(model, features[0], PRESERVE[0])  # what is computed once a model
    for preserve in PRESERVE:
        answered = [answers(model, picture, preserve) for picture in features]
        yield [preserve, *summary([found for found in answered if found and found["minimum"].subset])]


def answers(model: Model, features: Any, preserve: str) -> dict[str, Attribution]:
    """Explain one picture with `minimum` and with every other search; with none where two classes tie."""
    questions = {"minimum": Question(search="minimum", seconds=SECONDS)}
    questions |= {name: Question(search=name) for name in SEARCHES}
    asked = {
        name: Problem(model, None, preserve=preserve, question=q, features=features) for name, q in questions.items()
    }
    with suppress(PictureError):
        return {name: dd_cam(problem) for name, problem in asked.items()}
    return {}


def summary(answered: Sequence[dict[str, Attribution]]) -> list[str]:
    least = [found["minimum"] for found in answered]
    proven = sum(gap(one) == 0 and one.cost.search_seconds <= SECONDS for one in least)
    seconds = [one.cost.search_seconds for one in least]
    kept = {name: [len(found[name].subset or ()) for found in answered] for name in ("minimum", *SEARCHES)}
    fewer = sum(min(sizes) < sizes[0] for sizes in zip(*kept.values(), strict=True))
    return [
        str(len(least)),
        f"{proven} ({proven / len(least):.0%})",
        str(max(map(gap, least))),
        f"{statistics.median(seconds):.3f}",
        f"{max(seconds):.2f}",
        *(f"{statistics.mean(sizes):.2f}" for sizes in kept.values()),
        str(fewer),
    ]


def gap(answer: Attribution) -> int:
    """Return how many units fewer are not excluded; all of them where nothing was proven."""
    return len(answer.subset or ()) - (answer.bound.least if answer.bound else 0)


if __name__ == "__main__":
    main()

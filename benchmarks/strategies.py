"""Every search compared on one model: this is where the default is chosen from."""

import statistics
from collections.abc import Sequence

from measure import PRESERVE, timed
from subjects import Subject

from ddcam.engine import Model
from ddcam.engine.answer import Attribution
from ddcam.engine.errors import PictureError
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.search import SEARCHES
from ddcam.engine.types import Question


def strategy_header(pictures: int) -> str:
    return f"""
## Searches compared

Medians over {pictures} pictures that need any unit: probes, milliseconds of search, units kept (least of each in bold).

| model | preserve | {" | ".join(SEARCHES)} |
|---|---|{"---|" * len(SEARCHES)}"""


def strategies(subject: Subject, device: str) -> list[list[str]]:
    """Run every search on every picture under both predicates, in turn; return the table's lines."""
    model = subject.load(device=device)
    features = [model.features(inputs) for inputs in subject.inputs(model)]
    return [[subject.name, preserve, *compared(model, features, preserve)] for preserve in PRESERVE]


def compared(model: Model, features: Sequence[object], preserve: str) -> list[str]:
    found: dict[str, list[Attribution]] = {name: [] for name in SEARCHES}
    asked(model, features[0], preserve, next(iter(SEARCHES)))  # what is computed once a model
    for picture in features:
        answers = {name: asked(model, picture, preserve, name) for name in SEARCHES}
        for name, answer in answers.items():
            found[name] += [answer] if answer and answer.subset else []
    rows = {name: figures(answers) for name, answers in found.items() if answers}
    least = [min(column) for column in zip(*rows.values(), strict=True)]
    return [" / ".join(map(shown, rows[name], least)) if name in rows else "" for name in SEARCHES]


def asked(model: Model, features: object, preserve: str, search: str) -> Attribution | None:
    """Explain once; None where two classes tie, so that there is nothing to preserve."""
    problem = Problem(model, None, preserve=preserve, question=Question(search=search), features=features)
    try:
        return timed(lambda: dd_cam(problem))[1]
    except PictureError:
        return None


def figures(answers: Sequence[Attribution]) -> tuple[float, float, float]:
    costs = [answer.cost for answer in answers]
    return (
        statistics.median(cost.probes for cost in costs),
        statistics.median(1000 * cost.search_seconds for cost in costs),
        statistics.median(len(answer.subset) for answer in answers),
    )


def shown(value: float, least: float) -> str:
    text = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return f"**{text}**" if value == least else text

"""What will and will not work for a model, and why: everything is tried on it, nothing is guessed."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import get_args

import numpy as np

from .answer import Attribution, plural
from .errors import DdcamError, OptionError
from .explain import explain, save
from .explanation_file import open_explanation
from .export import Export, explained
from .export_search import SEARCH
from .graph.load import Graph, read_model
from .inspect import describe_opened, preprocessing_text
from .methods import METHODS, Method
from .model import Model, check_cut, prepare
from .preprocess.choice import is_assumed
from .problem import Problem
from .saliency import is_blank
from .subject import Result, Row, Subject, open_as_it_is
from .types import Question, UnitKind, UnitWish, Wishes
from .verify import verify

BUDGET = Question(probes=2000, seconds=20)
"""Of each search: what it proves must not wait for a slow model."""
QUICK = {"samples": 4, "cells": 3, "across": 3, "steps": 2, "channels": 2, "refined": 1}
"""Options that make methods cheap; whether they work does not depend on them."""
PARTIAL = frozenset(
    {
        *("cam", "epic"),  # heads that only pool and multiply
        "nested",  # probabilities
        *("guided-backpropagation", "deconvolution", "guided-grad-cam"),  # ReLU
        "lrp",  # no product of two things that depend on the picture
        *("attention-relevance", "attention-rollout"),  # attention between tokens
        "d-rise",  # boxes
    }
)
"""Methods that are defined for some models only: elsewhere they are refused by definition, which is no failure."""
FORMS = {"channel": "map", "cell": "map", "token": "tokens"}
KINDS: tuple[UnitKind, ...] = get_args(UnitKind)
Tell = Callable[[str], None]


def inspect_strictly(path: str | Path, wishes: Wishes | None = None, tell: Tell = lambda _: None) -> tuple[Row, ...]:
    """Try all that can be asked of a model on photographs: a row for each thing, or for methods that fare alike.

    `tell` hears what is tried next. Raises ModelError where the file cannot be read, OptionError for wishes that do not
    exist. Cost: five loads, a search for each kind of units, every method with its cheapest options, a verification.
    """
    rows = [reading(read_model(path))]
    subject, found = open_as_it_is(Path(path), wishes or Wishes())
    rows += found
    if subject is not None:
        rows += [*facts(subject), *by_units(subject, tell), *by_default(subject, tell)]
    return tuple(rows)


def verdict(rows: tuple[Row, ...]) -> Result:
    """Sum up: n/a where nothing can be explained, refused where something is, else works."""
    if not any(row.what.startswith("dd-cam") and row.result in ("works", "remark") for row in rows):
        return "n/a"
    return "refused" if any(row.result == "refused" for row in rows) else "works"


def in_words(rows: tuple[Row, ...]) -> list[dict[str, str]]:
    """Return rows of texts, for a table."""
    return [{"what": row.what, "result": row.result, "why": row.why} for row in rows]


def reading(graph: Graph) -> Row:
    said = f"opset {graph.opset}, {len(graph.proto.graph.node)} nodes"
    return Row("reading", "remark" if graph.notes else "works", "; ".join([said, *graph.notes]))


def facts(subject: Subject) -> list[Row]:
    """What was found in the file and what was assumed, and how many pictures go through it at once."""
    opened, told = subject.opened, describe_opened(subject.opened)
    assumed, named = is_assumed(opened.preprocessing), opened.labels.reason
    guessed = named.startswith(("assumed", "no name"))
    free = opened.measured.batch_two is not None
    return [
        Row("input", "works", f"{told['layout']}; {told['precision']}"),
        Row("preprocessing", "remark" if assumed else "works", preprocessing_text(asdict(opened.preprocessing))),
        Row("labels", "remark" if guessed else "works", named),
        Row("batch", "works" if free else "remark", "free" if free else "fixed to 1: rewritten where that is proved"),
    ]


# ----- searches -----


def by_units(subject: Subject, tell: Tell) -> Iterator[Row]:
    for kind in KINDS:
        form = FORMS.get(kind)
        if form and not any(candidate.form == form for candidate in subject.opened.candidates):
            what = "feature map" if form == "map" else "row of tokens"
            yield Row(f"dd-cam by {kind}", "n/a", f"no {what} of the model can be cut at")
            continue
        tell(f"dd-cam by {kind}")
        try:
            model = model_for(subject, kind)
            result, why, _ = searched(model)
            yield Row(f"dd-cam by {kind}", result, f"{why}; {place_of(model)}")
        except DdcamError as refusal:
            yield Row(f"dd-cam by {kind}", "refused", str(refusal))


def model_for(subject: Subject, kind: UnitWish | None) -> Model:
    """Cut, open and check the model for a kind of units; wishes that are for other kinds are left out."""
    wishes = replace(subject.wishes, units=kind)
    if kind == "patch":
        wishes = replace(wishes, split=None)
    elif kind is not None:
        wishes = replace(wishes, patch=None, baseline=None)
    model = prepare(subject.opened, wishes)
    check_cut(model)
    return model


def place_of(model: Model) -> str:
    many = f"{model.batch} probes at a time" if model.probe.batchable else f"one probe at a time: {model.probe.reason}"
    return f"cut at {model.split.tensor} ({model.split.reason}), {many}"


def searched(model: Model) -> tuple[Result, str, int]:
    """Search on one photograph after the other until units are needed; say what came out, and on which."""
    for number in range(samples_of(model)):
        problem = pose(model, number)
        found = METHODS["dd-cam"](problem)
        if found.outcome == "one-minimal":
            break
    return *judged(found, problem), number


def samples_of(model: Model) -> int:
    """Only the first photograph is known to hold a chosen box or region."""
    return 1 if model.opened.chosen else len(model.opened.samples)


def pose(model: Model, number: int) -> Problem:
    """Pose a photograph under nine tenths of the probability, or what fits the head instead."""
    inputs = model.opened.samples[number : number + 1]
    for preserve in ("confidence:0.9", None):
        try:
            return Problem(model, inputs, preserve=preserve, question=BUDGET)
        except OptionError:
            continue
    value = float(Problem(model, inputs, preserve="tolerance:1").logits[0])
    return Problem(model, inputs, preserve=f"tolerance:{abs(value) / 10 or 1:g}", question=BUDGET)


def judged(found: Attribution, problem: Problem) -> tuple[Result, str]:
    certificate, units = found.certificate, plural(problem.split.units)
    some = f"{len(found.subset or ())} of {problem.units} {units} suffice for {problem.preserve}"
    if found.outcome == "one-minimal" and certificate is not None:
        return ("works", f"{some}, certified 1-minimal") if certificate.holds else ("refused", f"{some}: not certified")
    if found.outcome == "out-of-budget":
        return "remark", f"{some}; the search was stopped after {BUDGET.probes} probes or {BUDGET.seconds:g} s"
    return "remark", f"no {problem.split.units} decides {problem.preserve} of a photograph ({found.outcome})"


# ----- everything else, on the units that are taken by default -----


def by_default(subject: Subject, tell: Tell) -> Iterator[Row]:
    asked, chosen = subject.wishes.units, subject.opened.chosen
    try:
        model = model_for(subject, asked or ("patch" if chosen else None))
        *_, number = searched(model)
    except DdcamError as refusal:
        yield Row("split", "refused", str(refusal))
        return
    said = f"{model.split.count} {plural(model.split.units)} unless others are asked for; {place_of(model)}"
    yield Row("split", "works" if model.probe.batchable else "remark", said)
    tell("verify")
    yield verified(subject, model, number)
    tell("export")
    yield exported(subject)
    # As `explain` does: of a box or region a search takes patches, other methods read a map where there is one.
    mapped = model_for(subject, "place") if chosen and not asked else model
    yield from by_method({"search": model}, mapped, number, tell)


def verified(subject: Subject, model: Model, number: int) -> Row:
    """Save an explanation and ask the model again from the files alone."""
    picture, wishes = subject.pictures[number], subject.wishes
    try:
        explanation = explain(model, picture, preserve=pose(model, number).preserve, question=BUDGET)
        with tempfile.TemporaryDirectory() as folder:
            save(explanation, Path(folder) / "why")
            saved = open_explanation(Path(folder) / "why")
            told = verify(saved, subject.path, picture, device=wishes.device, threads=wishes.threads)
    except DdcamError as refusal:
        return Row("certificate", "refused", str(refusal))
    return Row("certificate", "works" if told.agrees else "refused", str(told))


def exported(subject: Subject) -> Row:
    """Put the search into the model, in memory, and compare it with the engine."""
    if subject.opened.chosen:
        return Row("export", "n/a", "what is put into a model explains its decision about the whole picture")
    try:
        found = explained(subject.path, Export(SEARCH), subject.wishes).agreement
    except OptionError as refusal:
        return Row("export", "n/a", str(refusal))
    except DdcamError as refusal:
        return Row("export", "refused", str(refusal))
    return Row(
        "export", "works", f"dd-cam goes into the model: outputs within {found.outputs:.1g}, map {found.maps:.1g}"
    )


def by_method(own: Mapping[str, Model], model: Model, number: int, tell: Tell) -> Iterator[Row]:
    """A row for the methods of a family that fare alike, on a model of the family's own or on the one for all."""
    families = dict.fromkeys(method.facts.family for method in METHODS.values())
    for family in families:
        members = [method for method in METHODS.values() if method.facts.family == family and method.name != "dd-cam"]
        alike: dict[tuple[Result, str], list[str]] = {}
        for method in members:
            tell(method.name)
            alike.setdefault(tried(method, own.get(family, model), number), []).append(method.name)
        for (result, why), names in alike.items():
            listed = f"all {len(members)}" if len(names) == len(members) else ", ".join(names)
            yield Row(f"{family} methods", result, f"{listed}: {why}" if why else listed, tuple(names))


def tried(method: Method, model: Model, number: int) -> tuple[Result, str]:
    """Run a method with its cheapest options; a map that is blank or not finite is told."""
    half = max(1, min(model.opened.preprocessing.height, model.opened.preprocessing.width) // 2)
    cheap = QUICK | ({"window": half, "stride": half} if method.name == "occlusion" else {})
    quick = {name: value for name, value in cheap.items() if name in method.options}
    try:
        found = method(pose(model, number), **quick)
    except DdcamError as refusal:
        elsewhere = method.name in PARTIAL or method.facts.needs.endswith("file")
        return "n/a" if elsewhere else "refused", str(refusal)
    if not (np.isfinite(found.grid_map).all() and np.isfinite(found.scores).all()):
        return "refused", "the map is not finite"
    return (
        ("remark", "a blank map of a photograph, with the cheapest options")
        if is_blank(found.grid_map)
        else ("works", "")
    )

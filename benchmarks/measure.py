"""One model measured: a plain prediction, the explanation and the straightforward way, in turn on every picture."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from reference import index_ddmin, masked_model, run_index_ddmin
from subjects import Subject

from ddcam.engine import Model
from ddcam.engine.answer import Attribution
from ddcam.engine.errors import PictureError
from ddcam.engine.find import find
from ddcam.engine.graph.cut import MASK
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.device import providers

T = TypeVar("T")
PRESERVE = ("top1", "confidence:0.9")
ROUNDS, TIMED = 3, 3
"""How often an explanation and a plain prediction, and a probe of the straightforward way, are timed a picture."""
PAUSE = 0.01
"""Seconds before a measurement, in which the threads of the session measured before stop waiting for work: ONNX
Runtime's spin for that long, and would take a core from a search that runs on all of them."""
LONGEST = 20.0
"""Seconds that the straightforward way may take to be run in full."""


@dataclass(frozen=True)
class Record:
    """One picture under one predicate; times in milliseconds."""

    plain: float
    fold: float
    search: float
    certificate: float
    kept: int
    probes: int
    close: int
    runs: int
    paper_kept: int
    paper_probes: int
    whole: float
    head: float
    same: tuple[bool, bool] | None

    @property
    def found(self) -> float:
        """Milliseconds from the features, and the decision about them, to the subset."""
        return self.fold + self.search

    @property
    def certified(self) -> float:
        return self.found + self.certificate


@dataclass(frozen=True)
class Row:
    """One model under one predicate; `full` is what the straightforward way took, over its estimate, and its subset."""

    model: str
    head: str
    way: str
    units: str
    preserve: str
    asked: int
    records: list[Record]
    full: tuple[float, bool] | None

    def middle(self, value: Callable[[Record], float]) -> float:
        """Return the median of a value over the pictures."""
        return statistics.median(map(value, self.records))


class Bench:
    """A model with everything open that it is compared with."""

    def __init__(self, subject: Subject, device: str) -> None:
        self.model = subject.load(device=device)
        self.inputs = subject.inputs(self.model)
        self.twin = subject.load(device="cpu") if device != "cpu" else None
        self.plain = onnxruntime.InferenceSession(subject.file, providers=providers(self.model.device))
        self.whole = masked_model(self.model)

    def problem(self, inputs: NDArray[Any], features: NDArray[Any], preserve: str) -> Problem:
        return Problem(self.model, inputs, preserve=preserve, features=features)


def measure(subject: Subject, device: str) -> list[Row]:
    """Measure a model under both predicates."""
    bench = Bench(subject, device)
    return [measure_predicate(subject.name, bench, preserve) for preserve in PRESERVE]


def measure_predicate(name: str, bench: Bench, preserve: str) -> Row:
    model, found = bench.model, []
    full = full_reference(bench, preserve)  # which computes what a model computes once, too
    for inputs in bench.inputs:
        try:
            record = measure_picture(bench, inputs, preserve)
        except PictureError:  # two classes tie, so that there is nothing to preserve
            continue
        found += [record] if record.kept else []
    units = f"{model.split.count} {model.split.units}s"
    return Row(name, model.head_class[0], model.probe.kind, units, preserve, len(bench.inputs), found, full)


def measure_picture(bench: Bench, inputs: NDArray[Any], preserve: str) -> Record:
    model = bench.model
    features = model.features(inputs)
    plain, ours = [], []
    for _ in range(ROUNDS):
        plain.append(timed(partial(bench.plain.run, None, {model.opened.picture.name: inputs}))[0])
        ours.append(explained(bench, inputs, features, preserve))
    folding, answers = zip(*ours, strict=True)
    answer, costs = answers[0], [a.cost for a in answers]
    problem = bench.problem(inputs, features, preserve)
    close, _ = close_calls(problem)
    paper, probes = index_ddmin(problem)
    whole, head = straightforward(bench, inputs, features)
    return Record(
        plain=statistics.median(plain),
        fold=1000 * statistics.median(folding),
        search=1000
        * statistics.median(cost.search_seconds - folds for cost, folds in zip(costs, folding, strict=True)),
        certificate=1000 * statistics.median(cost.certificate_seconds for cost in costs),
        kept=len(answer.subset),
        probes=costs[0].probes,
        close=close,
        runs=costs[0].canonical_runs,
        paper_kept=len(paper),
        paper_probes=probes,
        whole=whole,
        head=head,
        same=None if bench.twin is None else same_subsets(bench.twin, inputs, answer, features, preserve),
    )


def explained(bench: Bench, inputs: NDArray[Any], features: NDArray[Any], preserve: str) -> tuple[float, Attribution]:
    """Return the seconds of folding, which the answer counts as part of the search, and the answer."""
    time.sleep(PAUSE)
    bench.model.features(inputs)  # what runs just before in an explanation, and leaves the caches as it does
    problem = bench.problem(inputs, features, preserve)
    return problem.folding_seconds, dd_cam(problem)


def close_calls(problem: Problem) -> tuple[int, int]:
    """Return how many probes of the search the unfolded head decided, and how many there were."""
    problem.keeps_alone(np.zeros(problem.units, np.bool_))  # every search knows that beforehand
    before = problem.canonical_runs
    found = find(problem)
    return problem.canonical_runs - before, found.probes


def straightforward(bench: Bench, inputs: NDArray[Any], features: NDArray[Any]) -> tuple[float, float]:
    """Return the median milliseconds of a probe that runs the whole model, and of one that runs the unfolded head."""
    name, count = bench.model.opened.picture.name, bench.model.split.count
    masks = np.random.default_rng(0).integers(0, 2, (TIMED + 1, 1, count)).astype(np.float32)
    head = bench.model.bind_alone(features)
    both = [
        (timed(partial(bench.whole.run, {name: inputs, MASK: m}))[0], timed(partial(head.score, m))[0]) for m in masks
    ]
    whole, alone = zip(*both[1:], strict=True)
    return statistics.median(whole), statistics.median(alone)


def full_reference(bench: Bench, preserve: str) -> tuple[float, bool] | None:
    """Run the straightforward way in full on the first picture, where that does not take too long."""
    inputs = bench.inputs[0]
    features = bench.model.features(inputs)
    problem = bench.problem(inputs, features, preserve)
    explained(bench, inputs, features, preserve)
    expected, probes = index_ddmin(problem)
    estimate = probes * straightforward(bench, inputs, features)[0]
    if estimate > 1000 * LONGEST or not expected:
        return None
    took, (subset, _) = timed(partial(run_index_ddmin, problem, bench.whole))
    return estimate / took, subset == expected


def same_subsets(
    twin: Model, inputs: NDArray[Any], answer: Attribution, features: NDArray[Any], preserve: str
) -> tuple[bool, bool]:
    """Compare with the CPU: with its own features, and with the features that the other device gave."""
    both = (Problem(twin, inputs, preserve=preserve, features=f) for f in (twin.features(inputs), features))
    own, given = (dd_cam(problem).subset == answer.subset for problem in both)
    return own, given


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return milliseconds and the result."""
    time.sleep(PAUSE)
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


def peak_memory(subject: Subject, device: str) -> tuple[int, int]:
    """Explain every picture of a subject; return the most bytes of this process, and of the trial run it started."""
    model = subject.load(device=device)
    for inputs in subject.inputs(model):
        for preserve in PRESERVE:
            dd_cam(Problem(model, inputs, preserve=preserve))
    unit = 1 if sys.platform == "darwin" else 1024
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    own, child = (resource.getrusage(w).ru_maxrss * unit for w in who)
    return own, child

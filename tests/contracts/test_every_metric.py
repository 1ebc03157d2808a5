"""What every metric must do, whatever it is: one list of metrics, one list of checks."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine.answer import Attribution, Certificate, Cost
from ddcam.engine.errors import OptionError
from ddcam.engine.methods import METHODS
from ddcam.engine.metrics import METRICS, Attempt, Case, Mosaic, case, case_of
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.saliency import saliency_map
from ddcam.engine.types import Placement
from ddcam.models import demo_path, demo_pictures

SIDE = 24
OBJECT = np.zeros((SIDE, SIDE), bool)
OBJECT[8:15, 10:17] = True
SIGNS = np.random.default_rng(7).choice([-1.0, 1.0], (SIDE, SIDE))
"""The picture: a pattern that a blur wipes out. The model looks for it."""


def score(inputs: np.ndarray) -> np.ndarray:
    """Class 1 gains 0.5 with the pattern on the object and loses 0.2 with the pattern around it, from 0.3."""
    seen = inputs[:, 0] * SIGNS
    target = np.clip(0.3 + 0.5 * seen[:, OBJECT].mean(axis=1) - 0.2 * seen[:, ~OBJECT].mean(axis=1), 0, 1)
    return np.stack([0.6 * (1 - target), target, 0.4 * (1 - target)], axis=1)


def attempt(signed: np.ndarray, proven: bool) -> Attempt:
    """Return what a method gave: a proven subset of 4 of 16 units in few probes, or 9 that prove nothing in many."""
    size, effort = (4, 10) if proven else (9, 100)
    none = (0.0,) * size
    certificate = Certificate(proven, proven, False, 1.0, none, 0.0, 1.0, 1.0, none, size + 3)
    found = Attribution("made up", np.zeros(16, np.float32), np.zeros((4, 4), np.float32), "", tuple(range(size)),
                        certificate=certificate, cost=Cost(effort, 1, 1, effort, effort, 0))  # fmt: skip
    return Attempt(found, signed, seconds=effort, memory=effort * 2**20)


def perfect() -> tuple[np.ndarray, Case]:
    """Return the map of the object, and the case of a method that always finds the object of its class."""
    found = OBJECT.astype(float)
    random = np.random.default_rng(3).random(OBJECT.shape)
    return found, posed(
        explain=lambda _: found,
        explain_class=lambda _: 1 - found,
        explain_randomised=lambda: random,
        mosaic=Mosaic(lambda: found, OBJECT),
        attempt=attempt(found, proven=True),
    )


def at_random() -> tuple[np.ndarray, Case]:
    """Return a map of noise, and the case of a method that gives other noise for every input and sees no class."""
    found = np.random.default_rng(5).random(OBJECT.shape)

    def again(inputs: np.ndarray) -> np.ndarray:
        return np.random.default_rng(int(1e6 * abs(inputs.sum()))).random(OBJECT.shape)

    return found, posed(
        explain=again,
        explain_class=lambda _: found,
        explain_randomised=lambda: found,
        mosaic=Mosaic(lambda: found, OBJECT),
        attempt=attempt(found, proven=False),
    )


def posed(**fields: Any) -> Case:
    nothing = np.zeros((1, 1, SIDE, SIDE))
    return Case(SIGNS[None, None], "NCHW", 1, score, nothing, nothing, box=OBJECT, **fields)


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, Case]:
    """Return the map of DD-CAM on a small real model, and its case."""
    model = load(demo_path("digits_cnn_additive"))
    inputs, _ = prepare(open_image(demo_pictures()[2]), model.opened.preprocessing, model.opened.picture)
    height, width = model.opened.preprocessing.height, model.opened.preprocessing.width
    first = Problem(model, inputs)

    def attribution(picture: np.ndarray, target: int = first.target, method: str = "dd-cam") -> Attribution:
        posed = Problem(model, picture.astype(np.float32), target=str(target), preserve="confidence:0.9")
        return METHODS[method](posed)

    def drawn(found: Attribution) -> np.ndarray:
        return saliency_map(found.grid_map, Placement(height, width, 0, 0, height, width))

    found = attribution(inputs)
    box = np.zeros((height, width), bool)
    box[4:-4, 8:-8] = True
    return drawn(found), case_of(
        first,
        inputs,
        box=box,
        explain=lambda picture: drawn(attribution(picture)),
        explain_class=lambda target: drawn(attribution(inputs, target, "grad-cam")),
        explain_randomised=lambda: drawn(attribution(inputs[..., ::-1].copy(), method="eigen-cam")),
        mosaic=Mosaic(lambda: drawn(found), box),
        attempt=Attempt(found, drawn(found), seconds=0.1, memory=2**20),
    )


EVERY = pytest.mark.parametrize("name", METRICS)


@EVERY
def test_the_perfect_method_is_better_than_a_random_one(name: str) -> None:
    good, bad = (METRICS[name](*posed) for posed in (perfect(), at_random()))

    assert type(good) is type(bad) is float
    assert good > bad if METRICS[name].facts.better == "higher" else good < bad


@EVERY
def test_a_real_model_gives_a_finite_number(real: tuple[np.ndarray, Case], name: str) -> None:
    value = METRICS[name](*real)

    assert type(value) is float
    assert np.isfinite(value)


@EVERY
def test_the_same_question_gets_the_same_answer(real: tuple[np.ndarray, Case], name: str) -> None:
    assert METRICS[name](*real) == METRICS[name](*real)
    assert METRICS[name](*at_random()) == METRICS[name](*at_random())


@EVERY
def test_the_batch_changes_nothing(monkeypatch: pytest.MonkeyPatch, real: tuple[np.ndarray, Case], name: str) -> None:
    several = [METRICS[name](*posed) for posed in (real, at_random())]
    monkeypatch.setattr(case, "BATCH", 1)
    single = [METRICS[name](*posed) for posed in (real, at_random())]

    assert single[0] == pytest.approx(several[0], abs=1e-5)  # the runtime sums in another order
    assert single[1] == pytest.approx(several[1], abs=1e-12)


@EVERY
def test_no_more_than_a_batch_is_made_at_a_time(name: str) -> None:
    found, posed = at_random()
    sizes = []

    def watched(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return score(inputs)

    METRICS[name](found, replace(posed, score=watched))

    assert max(sizes, default=0) <= case.BATCH


@EVERY
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_a_map_without_an_opinion_gets_a_number_or_a_reason(name: str, level: float) -> None:
    flat = np.full(OBJECT.shape, level)
    value = METRICS[name](flat, replace(at_random()[1], attempt=attempt(flat, proven=False)))

    assert type(value) is float
    assert np.isfinite(value) or "NaN" in METRICS[name].doc


@EVERY
def test_a_method_without_a_subset_gets_a_number_or_a_reason(name: str) -> None:
    found, posed = perfect()
    plain = Attribution("plain", np.zeros(16, np.float32), np.zeros((4, 4), np.float32), "")
    value = METRICS[name](found, replace(posed, attempt=Attempt(plain, found, seconds=0.1, memory=None)))

    assert np.isfinite(value) or "NaN" in METRICS[name].doc


@EVERY
def test_what_a_metric_needs_is_asked_for_in_one_line(name: str) -> None:
    found, whole = perfect()
    for need in METRICS[name].facts.needs:
        with pytest.raises(OptionError, match=r"^expected a case with [^\n]+, got none$"):
            METRICS[name](found, replace(whole, **{need: None}))

    others = {need: None for need in ("box", "explain", "explain_class", "explain_randomised", "mosaic", "attempt")}
    bare = replace(whole, **{need: None for need in others if need not in METRICS[name].facts.needs})
    assert np.isfinite(METRICS[name](found, bare))


@pytest.mark.parametrize(
    ("name", "option"), [(n, o) for n, m in METRICS.items() for o, v in m.options.items() if isinstance(v, str)]
)
def test_a_word_that_an_option_does_not_know_is_refused_with_those_it_knows(name: str, option: str) -> None:
    with pytest.raises(OptionError, match=rf"^expected {option}[^\n]+, got 'sideways'$"):
        METRICS[name].with_options({option: "sideways"})(*perfect())


@pytest.mark.parametrize(
    ("name", "option"),
    [(n, o) for n, m in METRICS.items() for o in m.options if o in ("count", "samples", "radius")],
)
def test_an_amount_of_nothing_is_refused(name: str, option: str) -> None:
    with pytest.raises(OptionError, match=rf"^expected {option} above 0, got 0"):
        METRICS[name].with_options({option: "0"})(*perfect())


@pytest.mark.parametrize("name", ["infidelity", "road", "max-sensitivity"])
def test_another_seed_is_another_draw(name: str) -> None:
    draws = {METRICS[name].with_options({"seed": seed})(*at_random()) for seed in ("0", "1", "2")}

    assert len(draws) > 1


@EVERY
def test_the_docstring_says_what_is_returned_its_cost_and_its_source(name: str) -> None:
    text = METRICS[name].doc

    assert text.startswith("Return ")
    assert "Cost:" in text
    assert "Source:" in text
    assert name == name.lower().replace("_", "-")


@EVERY
def test_an_unknown_option_is_refused_with_what_there_is(name: str) -> None:
    with pytest.raises(OptionError, match="has no option 'colour'"):
        METRICS[name].with_options({"colour": "red"})


def test_the_cases_of_this_file_are_what_they_say() -> None:
    found, posed = perfect()
    run: Callable[[np.ndarray], np.ndarray] = posed.confidence

    assert run(posed.inputs)[0] == pytest.approx(0.6)
    assert run(posed.show(found[None]))[0] == pytest.approx(0.8)
    assert run(posed.mean)[0] == pytest.approx(0.3)

"""What every method must do, whatever it is: one list of methods, one list of checks."""

from collections.abc import Callable

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.answer import Attribution
from ddcam.engine.errors import GradientError, OptionError
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import DEMOS, demo_path, demo_pictures

CONVOLUTIONAL = ("guided-backpropagation", "deconvolution", "guided-grad-cam", "lrp")
ATTENTIVE = [name for name, method in METHODS.items() if method.facts.needs == "attention"]
POOLED_ONLY = [(method, demo) for method in ("cam", "epic") for demo in ("digits_cnn_interacting", "digits_vit")]
BOXES_ONLY = [("d-rise", demo) for demo in DEMOS]
"""Methods for a chosen box, tested in tests/engine/test_targets.py."""
REFUSED = [(method, demo) for demo in DEMOS for method in (CONVOLUTIONAL if "vit" in demo else ATTENTIVE)]
CASES = [
    (method, demo)
    for method in METHODS
    for demo in DEMOS
    if (method, demo) not in [*REFUSED, *POOLED_ONLY, *BOXES_ONLY]
]
Ask = Callable[[str, Problem], Attribution]
"""See conftest.py."""


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load(demo_path(name)) for name in DEMOS}


def pose(model: Model) -> Problem:
    inputs, _ = prepare(open_image(demo_pictures()[2]), model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs, preserve="confidence:0.9")


@pytest.mark.parametrize(("method", "demo"), CASES)
def test_the_map_is_finite_and_between_the_grid_and_the_input_in_size(
    models: dict[str, Model], attribute: Ask, method: str, demo: str
) -> None:
    found, shown = attribute(method, pose(models[demo])), models[demo].opened.preprocessing

    assert found.method == method
    sizes = zip(models[demo].split.grid, found.grid_map.shape, (shown.height, shown.width), strict=True)
    assert all(least <= size <= most for least, size, most in sizes)
    assert found.scores.shape in ((models[demo].split.count,), found.grid_map.shape)
    assert found.grid_map.min() >= 0
    assert np.isfinite(found.grid_map).all()
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(("method", "demo"), CASES)
def test_the_same_question_gets_the_same_answer(
    models: dict[str, Model], attribute: Ask, method: str, demo: str
) -> None:
    first, second = (attribute(method, pose(models[demo])) for _ in range(2))

    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.grid_map, second.grid_map)


@pytest.mark.parametrize(("method", "demo"), REFUSED)
def test_a_method_that_does_not_suit_a_model_says_so(models: dict[str, Model], method: str, demo: str) -> None:
    with pytest.raises(GradientError, match=r"; (take|explain with) "):
        METHODS[method](pose(models[demo]))


@pytest.mark.parametrize(("method", "demo"), [*POOLED_ONLY, *BOXES_ONLY])
def test_a_method_for_some_models_refuses_others_in_one_line(models: dict[str, Model], method: str, demo: str) -> None:
    with pytest.raises(OptionError, match=r"; take \S+ \([^\n]*\)$"):
        METHODS[method](pose(models[demo]))


@pytest.mark.parametrize("method", METHODS)
def test_the_docstring_gives_cost_and_source(method: str) -> None:
    text = METHODS[method].doc

    assert "Cost:" in text
    assert "Source:" in text
    assert method == method.lower().replace("_", "-")

"""What every method must do, whatever it is: one list of methods, one list of checks."""

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import DEMOS, demo_path, demo_pictures

CASES = [(method, demo) for method in METHODS for demo in DEMOS]


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load(demo_path(name)) for name in DEMOS}


def pose(model: Model) -> Problem:
    inputs, _ = prepare(open_image(demo_pictures()[2]), model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs, preserve="confidence:0.9")


@pytest.mark.parametrize(("method", "demo"), CASES)
def test_the_map_is_finite_and_has_the_shape_of_the_grid(models: dict[str, Model], method: str, demo: str) -> None:
    found = METHODS[method](pose(models[demo]))

    assert found.method == method
    assert found.grid_map.shape == models[demo].split.grid
    assert found.scores.shape == (models[demo].split.count,)
    assert np.isfinite(found.grid_map).all()
    assert np.isfinite(found.scores).all()


@pytest.mark.parametrize(("method", "demo"), CASES)
def test_the_same_question_gets_the_same_answer(models: dict[str, Model], method: str, demo: str) -> None:
    first, second = (METHODS[method](pose(models[demo])) for _ in range(2))

    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.grid_map, second.grid_map)


@pytest.mark.parametrize("method", METHODS)
def test_the_docstring_gives_cost_and_source(method: str) -> None:
    text = METHODS[method].__doc__ or ""

    assert "Cost:" in text
    assert "Source:" in text
    assert method == method.lower().replace("_", "-")

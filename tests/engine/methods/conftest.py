"""Problems on the demo models, and what a method sees of them, for the tests of methods."""

from collections.abc import Callable

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine import Model
from ddcam.engine.methods.arrays import features_and_gradients
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import DEMOS, demo_path, demo_pictures

Pose = Callable[..., Problem]


@pytest.fixture(scope="session")
def demos() -> dict[str, Model]:
    return {name: load(demo_path(name)) for name in DEMOS}


@pytest.fixture
def pose(demos: dict[str, Model]) -> Pose:
    """Pose a demo model's decision (by its short name) about a demo picture."""

    def posed(name: str, picture: int = 0, target: str | None = None) -> Problem:
        model = demos[f"digits_{name}"]
        inputs, _ = prepare(open_image(demo_pictures()[picture]), model.opened.preprocessing, model.opened.picture)
        return Problem(model, inputs, preserve="confidence:0.9", target=target)

    return posed


@pytest.fixture
def layer_of() -> Callable[[Problem], tuple[np.ndarray, np.ndarray]]:
    """Return features and gradient `[K, h, w]` of a problem, in float64."""

    def seen(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
        features, gradients = features_and_gradients(problem, "both")
        return features[0].astype(np.float64), gradients[0].astype(np.float64)

    return seen

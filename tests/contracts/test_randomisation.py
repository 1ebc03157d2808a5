"""Does a map depend on the model and on the class? Adebayo et al. (2018), for every method of the catalogue."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from scipy.stats import spearmanr

from ddcam import load, open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.answer import Attribution
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.models import demo_path, demo_pictures

DEMOS = ("digits_cnn_interacting", "digits_vit")
PICTURES = 3
Ask = Callable[[str, Problem], Attribution]
"""See conftest.py."""
ALIKE = 0.99
"""Rank correlation above which maps of two classes count as the same; tests/real has ImageNet's classes."""
ELSEWHERE = ("attention-relevance", "cam", "d-rise", "epic")
"""Methods for other models than this one, tested in tests/engine/methods."""


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {demo: load(demo_path(demo)) for demo in DEMOS}


@pytest.fixture(scope="module")
def shuffled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    return {demo: load(shuffle(demo, tmp_path_factory.mktemp("shuffled"))) for demo in DEMOS}


def demo_for(method: str) -> str:
    """Return the small model that a method is tried on: the second where it follows attention."""
    return DEMOS[METHODS[method].facts.needs == "attention"]


def shuffle(demo: str, folder: Path) -> Path:
    """Write a model with the weights of its layers behind the split shuffled, each within its tensor."""
    proto, random = onnx.load(demo_path(demo)), np.random.default_rng(0)
    split = load(demo_path(demo)).split.tensor
    made = next(i for i, node in enumerate(proto.graph.node) if split in node.output)
    behind = {name for node in proto.graph.node[made + 1 :] for name in node.input}
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in behind and array.dtype == np.float32 and array.ndim > 1:
            tensor.CopyFrom(numpy_helper.from_array(random.permuted(array.ravel()).reshape(array.shape), tensor.name))
    path = folder / Path(demo_path(demo)).name
    onnx.save(proto, path)
    return path


def maps_of(attribute: Ask, model: Model, method: str, target: int) -> list[np.ndarray]:
    found = []
    for picture in demo_pictures()[:PICTURES]:
        inputs, _ = prepare(open_image(picture), model.opened.preprocessing, model.opened.picture)
        problem = Problem(model, inputs, target=str(target), preserve="confidence:0.5")
        found.append(attribute(method, problem).scores.ravel())
    return found


def likeness(some: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Return the mean rank correlation of maps; two constant maps are alike, a constant one and another are not."""
    pairs = zip(some, others, strict=True)
    return float(np.mean([float(np.ptp(a) == np.ptp(b)) if 0 in (np.ptp(a), np.ptp(b)) else spearmanr(a, b).statistic
                          for a, b in pairs]))  # fmt: skip


SEEING = [name for name, method in METHODS.items() if method.facts.sees_class == "yes" and name not in ELSEWHERE]


@pytest.mark.parametrize("method", SEEING)
def test_a_map_that_sees_the_class_changes_with_it(models: dict[str, Model], attribute: Ask, method: str) -> None:
    model = models[demo_for(method)]

    assert likeness(*(maps_of(attribute, model, method, target) for target in (5, 3))) < ALIKE


@pytest.mark.parametrize("method", SEEING)
def test_a_map_that_sees_the_class_changes_with_the_weights(
    models: dict[str, Model], shuffled: dict[str, Model], attribute: Ask, method: str
) -> None:
    asked = (each[demo_for(method)] for each in (models, shuffled))

    assert likeness(*(maps_of(attribute, model, method, 5) for model in asked)) < ALIKE

"""Adebayo's checks on a real model: the catalogue's word on whether a map sees the class is what was measured."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from ddcam import load, open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem

pytestmark = pytest.mark.data
PICTURES = ("pgc_both.png", "pgc_dog_cat.jfif")
CLASSES = ("243", "281")
"""Bull mastiff and tabby cat, which are both in the pictures."""
BOUNDS = {"yes": (-1.0, 0.9), "weakly": (0.9, 0.99), "no": (0.99, 1.001)}
"""Rank correlations between the maps of the two classes, as a mean over the pictures."""
FEW = {"samples": 8, "steps": 8}
NOT_HERE = ("attention-relevance", "attention-rollout")
MEASURED = [name for name, m in METHODS.items() if "backward" in m.facts.cost and name not in NOT_HERE]
"""The others take too many forwards to be measured at every run."""


@pytest.fixture(scope="module")
def model(data: Path) -> Model:
    file = data / "models/imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx"
    return load(file, device="cpu", preprocessing="imagenet")


def map_of(model: Model, picture: Path, method: str, target: str) -> np.ndarray:
    inputs = prepare(open_image(picture), model.opened.preprocessing, model.opened.picture)[0]
    problem = Problem(model, inputs, target=target, preserve="topk:999")
    options = {name: value for name, value in FEW.items() if name in METHODS[method].options}
    return METHODS[method](problem, **options).scores.ravel()


@pytest.mark.parametrize("method", MEASURED)
def test_the_catalogue_says_how_far_a_map_sees_the_class(model: Model, data: Path, method: str) -> None:
    found = []
    for name in PICTURES:
        maps = [map_of(model, data / "images/misc" / name, method, target) for target in CLASSES]
        found.append(spearmanr(*maps).statistic)
    low, high = BOUNDS[METHODS[method].facts.sees_class]

    assert low <= np.mean(found) < high, f"rank correlation {np.mean(found):.3f}"

"""The kin of Grad-CAM on real models: they run, agree where they must, and quantised models refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddcam import load, open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.errors import GradientError
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem

pytestmark = pytest.mark.data
ONE_OF_A_KIND = ("grad-cam", "layer-cam-fused", "shapley-cam", "finer-cam", "smooth-grad-cam++", "cf-cam")
QUANTISED = ("qdq", "int8", "mobilevit")


def pose(model: Model, picture: Any) -> Problem:
    inputs, _ = prepare(picture, model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs)


def test_every_float_model_is_explained_and_every_quantised_one_refuses(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        if entry["name"].startswith("detectors"):
            continue
        problem = pose(load(entry["file"], preprocessing=entry["preset"]), entry["pictures"][0])
        for name in ONE_OF_A_KIND:
            if any(part in entry["name"] for part in QUANTISED):
                with pytest.raises(GradientError, match="quantised"):
                    METHODS[name](problem)
                continue
            found = METHODS[name](problem).grid_map

            assert np.isfinite(found).all(), (entry["name"], name)
            assert found.max() > 0, (entry["name"], name)


def test_on_mobilenetv2_the_linear_maps_are_the_same(data: Path, photographs: list[Path]) -> None:
    model = load(data / "models/imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx", preprocessing="imagenet")
    for photograph in photographs[:3]:
        problem = pose(model, open_image(photograph))
        expected = METHODS["grad-cam"](problem).grid_map
        for name in ("hirescam", "xgrad-cam"):
            np.testing.assert_allclose(METHODS[name](problem).grid_map, expected, atol=1e-5 * expected.max())

"""Gradients of the real models: they are taken where they exist, and refused in one line where rounding ends them."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddcam import load
from ddcam.engine import METHODS
from ddcam.engine.errors import GradientError
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem

pytestmark = pytest.mark.data
QUANTISED = (
    "mobilenetv2-12-qdq_zoo",
    "mobilenetv2_b07_dynquant_int8_opset18",
    "derived_squeezenet1.1_qoperator_int8_opset13",
    "mobilenet_v1_0.25_128_nhwc_qdq_uint8io_opset13",
    "flowers_mobilevit_xxs_nhwc_opset13",
)


def problem_of(entry: dict[str, Any], **wishes: Any) -> Problem:
    model = load(entry["file"], device="cpu", preprocessing=entry["preset"], **wishes)
    return Problem(model, prepare(entry["pictures"][0], model.opened.preprocessing, model.opened.picture)[0])


def test_quantised_models_refuse_gradients_and_are_searched(entries: list[dict[str, Any]]) -> None:
    chosen = [e for e in entries if e["file"].stem in QUANTISED]
    assert len(chosen) == len(QUANTISED)
    for entry in chosen:
        problem = problem_of(entry)
        for method in ("grad-cam", "saliency"):
            with pytest.raises(GradientError, match="the model is quantised") as refused:
                METHODS[method](problem)
            assert "\n" not in str(refused.value)
        assert METHODS["dd-cam"](problem).certificate is not None


def test_the_others_have_gradients_of_head_and_picture(entries: list[dict[str, Any]]) -> None:
    chosen = [e for e in entries if e["file"].stem not in QUANTISED and "detectors" not in str(e["file"])]
    assert len(chosen) >= 11
    for entry in chosen:
        problem = problem_of(entry)
        for method in ("hirescam", "input-x-gradient"):
            scores = METHODS[method](problem).scores
            assert np.isfinite(scores).all()
            assert np.ptp(scores) > 0, f"{method} on {entry['name']}"


def test_straight_through_gives_a_map_near_that_of_the_float_model(entries: list[dict[str, Any]]) -> None:
    by_name = {entry["file"].stem: entry for entry in entries}
    rounded = problem_of(by_name["mobilenetv2-12-qdq_zoo"], rounding="straight-through")
    plain = problem_of(by_name["mobilenetv2_torch_nchw_f32_logits_opset13"])
    maps = [METHODS["grad-cam"](problem).grid_map.ravel() for problem in (rounded, plain)]

    assert rounded.target == plain.target
    assert np.corrcoef(*maps)[0, 1] > 0.9


def test_a_refusal_is_one_line_and_exit_code_2(data: Path, tmp_path: Path) -> None:
    model = data / "models/imagenet/mobilenetv2-12-qdq_zoo.onnx"
    picture = next((data / "images/imagenet-val160").iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "ddcam.cli", "explain", model, picture, "--method", "saliency", "-o", tmp_path / "x"],
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("ddcam: the model is quantised: ")
    assert not (tmp_path / "x").exists()

"""On a CUDA device: the same subsets as on the CPU, nothing on the CPU by accident, features uploaded once."""

import itertools
from typing import Any

import numpy as np
import pytest

import ddcam
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.device import CUDA, missing_for_cuda, providers, runtime
from ddcam.models import DEMOS, demo_path, demo_pictures

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda() -> None:
    missing = missing_for_cuda()
    if missing:
        pytest.skip(f"no CUDA here: {missing}")


@pytest.mark.parametrize(("name", "preserve"), list(itertools.product(DEMOS, ("top1", "confidence:0.9"))))
def test_subsets_are_those_of_the_cpu(name: str, preserve: str) -> None:
    models = [ddcam.load(demo_path(name), device=device) for device in ("cpu", "cuda")]
    for picture in demo_pictures():
        found = [ddcam.explain(model, picture, preserve=preserve) for model in models]

        assert found[1].device == "cuda"
        assert found[0].attribution.subset == found[1].attribution.subset


@pytest.mark.parametrize("name", DEMOS)
def test_no_node_of_the_head_falls_back_to_the_cpu(name: str) -> None:
    model = ddcam.load(demo_path(name), device="cuda")
    options = runtime().SessionOptions()
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = runtime().InferenceSession(model.head.graph, options, providers=providers("cuda")[:1])

    assert session.get_providers()[0] == CUDA


def test_features_are_uploaded_once_and_stay_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ddcam.load(demo_path("digits_cnn_interacting"), device="cuda")
    inputs, _ = prepare(ddcam.open_image(demo_pictures()[0]), model.opened.preprocessing, model.opened.picture)
    problem = Problem(model, inputs)
    uploads: list[Any] = []
    monkeypatch.setattr(runtime().OrtValue, "ortvalue_from_numpy", lambda *given: uploads.append(given))
    for _ in range(3):
        problem.score(np.ones((5, problem.units), np.float32))

    assert not uploads
    assert {value.device_name() for value in problem._many.dense.uploaded.values()} == {"cuda"}


def test_tf32_is_off() -> None:
    model = ddcam.load(demo_path("digits_cnn_additive"), device="cuda")

    assert model.probe.session.handle.get_provider_options()[CUDA]["use_tf32"] == "0"

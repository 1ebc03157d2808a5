"""Our methods are called as Quantus and Captum call theirs, and give the maps that `explain` gives."""

from typing import Any

import numpy as np
import pytest

import ddcam
from ddcam.adapters.captum import Attribution
from ddcam.adapters.quantus import explain_func
from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.preprocess import from_pixels, prepare
from ddcam.models import demo_path, demo_pictures


@pytest.fixture(scope="module")
def model() -> ddcam.Model:
    return ddcam.load(demo_path("digits_cnn_additive"))


@pytest.fixture(scope="module")
def inputs(model: ddcam.Model) -> np.ndarray:
    ready = [prepare(ddcam.open_image(path), model.opened.preprocessing, model.opened.picture)[0]
             for path in demo_pictures()[:3]]  # fmt: skip
    return np.concatenate(ready)


@pytest.mark.parametrize("method", ["dd-cam", "grad-cam", "saliency"])
def test_the_maps_are_those_of_explain(model: ddcam.Model, inputs: np.ndarray, method: str) -> None:
    pixels = np.rint(inputs[1, 0] * 255).astype(np.uint8)
    exact, _ = prepare(from_pixels(pixels), model.opened.preprocessing, model.opened.picture)
    explained = ddcam.explain(model, from_pixels(pixels), method=method, preserve="confidence:0.9")
    [[found]] = Attribution(model, method, "confidence:0.9").attribute(exact)

    np.testing.assert_allclose(found, explained.saliency, atol=1e-6)


def test_targets_are_those_asked_for(model: ddcam.Model, inputs: np.ndarray) -> None:
    same = Attribution(model, "grad-cam").attribute(inputs, 3)
    each = Attribution(model, "grad-cam").attribute(inputs, [3, 3, 3])
    other = explain_func(model, "grad-cam")(None, inputs, np.array([3, 3, 5]), device="cpu")

    assert same.shape == (3, 1, 32, 32)
    np.testing.assert_array_equal(same, each)
    np.testing.assert_array_equal(same[:2], other[:2])
    assert np.abs(same[2] - other[2]).max() > 0


def test_what_does_not_fit_is_refused(model: ddcam.Model, inputs: np.ndarray) -> None:
    with pytest.raises(OptionError, match="expected a target for each of 3 inputs, got 2"):
        Attribution(model).attribute(inputs, [1, 2])
    with pytest.raises(PictureError, match=r"expected model inputs \[N, 1, 32, 32\], got \[3, 1, 32, 31\]"):
        Attribution(model).attribute(inputs[..., 1:], None)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore")
def test_quantus_measures_our_maps(model: ddcam.Model, inputs: np.ndarray) -> None:
    torch = pytest.importorskip("torch")
    from torchvision_operators import require_torchvision  # noqa: PLC0415  (which needs torch)

    require_torchvision()
    quantus: Any = pytest.importorskip("quantus", exc_type=ImportError)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1024, 10)).eval()
    quiet = {"disable_warnings": True, "display_progressbar": False}
    scores = quantus.Sparseness(normalise=True, abs=True, **quiet)(
        model=network, x_batch=inputs, y_batch=np.array([0, 1, 2]), explain_func=explain_func(model, "grad-cam"),
        device="cpu",
    )  # fmt: skip

    assert len(scores) == 3
    assert all(0 < score < 1 for score in scores)

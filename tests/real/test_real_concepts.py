"""Concepts of daisies on real models: found twice alike, in a picture of a daisy, and important to that class."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import explain, load, open_image
from ddcam.engine import find_concepts
from ddcam.engine.types import Sample

pytestmark = pytest.mark.data
MODELS = {
    "mobilenetv2": "mobilenetv2_torch_nchw_f32_logits_opset13",
    "squeezenet": "squeezenet1.1_nchw_f32_opset7",
    "mobilenetv3": "mobilenetv3small_keras_nhwc_f32_softmax_opset15",
}


@pytest.mark.parametrize("name", MODELS)
def test_concepts_of_daisies_lie_in_the_middle_of_a_daisy(data: Path, tmp_path: Path, name: str) -> None:
    model = load(data / "models/imagenet" / f"{MODELS[name]}.onnx", device="cpu")
    pictures = sorted((data / "images/flowers-50/daisy").iterdir())
    samples = [Sample(path.name, partial(open_image, path)) for path in pictures[:4]]
    said, skipped = find_concepts(model, samples, tmp_path / "c.npz", target="985", rank=4)
    found = explain(model, pictures[0], target="985", method=f"craft:concepts={tmp_path / 'c.npz'}")
    middle = found.saliency[80:-80, 80:-80]

    assert "4 concepts of daisy (985) in 64 crops of 4 pictures" in said
    assert skipped == []
    assert np.isfinite(found.saliency).all()
    assert middle.mean() > found.saliency.mean()
    assert len(found.attribution.parts) == 4

"""Concepts, prototypes and responsibilities on real models and pictures."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import explain, load, open_image
from ddcam.engine import find_concepts, find_prototypes
from ddcam.engine.dataset import Sample

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


def test_prototypes_keep_the_logits_of_mobilenetv2(data: Path, tmp_path: Path) -> None:
    model = load(data / "models/imagenet" / f"{MODELS['mobilenetv2']}.onnx", device="cpu")
    pictures = sorted((data / "images/flowers-50/daisy").iterdir())
    samples = [Sample(path.name, partial(open_image, path)) for path in pictures[:6]]
    find_prototypes(model, samples, tmp_path / "p.npz")
    found = explain(model, pictures[0], method=f"epic:prototypes={tmp_path / 'p.npz'}")

    assert len(found.attribution.parts) == 4
    assert found.attribution.grid_map.max() > 0


def test_the_responsible_part_of_a_picture_with_two_animals_is_the_one_decided_for(data: Path) -> None:
    model = load(data / "models/imagenet" / f"{MODELS['mobilenetv2']}.onnx", device="cpu")
    found = explain(model, data / "images/misc/pgc_dog_cat.jfif", target="207", method="rex:samples=4:refined=6")
    left = found.saliency[:, : found.saliency.shape[1] // 2]  # the dog; the cat sits at the right

    assert found.target.label == "golden retriever"
    assert left.sum() > 0.7 * found.saliency.sum()

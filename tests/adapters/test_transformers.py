"""A folder of a Hugging Face or timm export is loaded with what its JSON files say."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import ddcam
from ddcam.adapters.transformers import load
from ddcam.engine.errors import DdcamError, ModelError
from ddcam.models import demo_path, demo_pictures

NAMES = [f"the digit {i}" for i in range(10)]
PROCESSOR = {
    "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": 32, "width": 32},
    "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": [0.25], "image_std": [0.5],
}  # fmt: skip
TIMM = {"pretrained_cfg": {"input_size": [1, 32, 32], "mean": [0.25], "std": [0.5], "interpolation": "bilinear"}}


def exported(folder: Path, place: str = "model.onnx", **files: Any) -> Path:
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    proto = onnx.load(demo_path("digits_cnn_additive"))
    kept = {item.key: item.value for item in proto.metadata_props if item.key != "preprocessing"}
    onnx.helper.set_model_props(proto, kept)  # what the file itself says goes before what lies beside it
    onnx.save(proto, folder / place)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx", "digits.onnx"])
def test_model_processor_and_names_are_found(tmp_path: Path, place: str) -> None:
    labels = {"id2label": {str(i): name for i, name in enumerate(NAMES)}}
    model = load(exported(tmp_path, place, preprocessor_config=PROCESSOR, config={"model_type": "vit", **labels}))

    assert model.opened.labels.names == tuple(NAMES)
    assert (model.opened.preprocessing.mean, model.opened.preprocessing.std) == ((0.25,), (0.5,))
    assert model.opened.preprocessing.fit == "stretch"
    by_hand = ddcam.load(tmp_path / place, labels=tmp_path / "config.json")
    ours, theirs = (ddcam.explain(m, demo_pictures()[0], preserve="confidence:0.9") for m in (model, by_hand))
    assert ours.attribution.subset == theirs.attribution.subset
    np.testing.assert_array_equal(ours.saliency, theirs.saliency)


def test_a_folder_of_timm_says_both_in_one_file(tmp_path: Path) -> None:
    model = load(exported(tmp_path, config={**TIMM, "label_names": NAMES}))

    assert model.opened.labels.names == tuple(NAMES)
    assert model.opened.preprocessing.mean == (0.25,)


def test_names_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    model = load(exported(tmp_path, config={"id2label": {str(i): f"LABEL_{i}" for i in range(10)}}))

    assert model.opened.labels.names[0] == "zero"  # of the file's own metadata


def test_among_several_files_model_onnx_is_taken(tmp_path: Path) -> None:
    exported(tmp_path, "onnx/model_quantized.onnx")
    exported(tmp_path, "onnx/model.onnx")

    assert load(tmp_path).opened.graph.path == tmp_path / "onnx" / "model.onnx"


def test_without_a_single_file_the_folder_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"found no \.onnx file"):
        load(tmp_path)
    exported(tmp_path, "onnx/a.onnx")
    exported(tmp_path, "b.onnx")
    with pytest.raises(ModelError, match=r"got b\.onnx, onnx/a\.onnx; give"):
        load(tmp_path)
    with pytest.raises(ModelError, match="found none at"):
        load(tmp_path / "missing")


@pytest.mark.parametrize("content", ["[", "[" * 100_000, "x" * 2_000_000])
def test_a_damaged_config_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    exported(tmp_path)
    (tmp_path / "config.json").write_text(content)

    with pytest.raises(DdcamError, match=r"config\.json") as found:
        load(tmp_path)
    assert "\n" not in str(found.value)

"""The demo models are small, sound and right, and there is something to explain in each."""

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from ddcam.engine.errors import OptionError
from ddcam.models import DEMOS, demo_path, demo_pictures
from ddcam.models.digits import LABELS, SIZE, held_out_digits, training_digits, upscale
from ddcam.models.digits_graphs import GRAPHS

RECORD = json.loads((demo_path("digits_vit").parent / "digits.json").read_text())

every_demo = pytest.mark.parametrize("name", DEMOS)
every_picture = pytest.mark.parametrize("picture", demo_pictures(), ids=lambda path: path.stem)


def run(source: Path | bytes, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, inputs)[0]


@cache
def held_out_scores(name: str) -> np.ndarray:
    return run(demo_path(name), {"input": held_out_digits().inputs})


@cache
def held_out_features(name: str, count: int) -> np.ndarray:
    return run(part(name, "input", "features"), {"input": held_out_digits().inputs[:count]})


@cache
def part(name: str, start: str, end: str) -> bytes:
    """Cut a demo model out between two of its tensors."""
    return onnx.utils.Extractor(onnx.load(demo_path(name))).extract_model([start], [end]).SerializeToString()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        small = picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return np.asarray(small, np.float32)[None, None] / np.float32(255)


def without_units(features: np.ndarray) -> np.ndarray:
    """Set the channels of a map to zero, or the tokens but the class token."""
    empty = np.zeros_like(features)
    if features.ndim == 3:
        empty[:, 0] = features[:, 0]
    return empty


@every_demo
def test_file_is_the_recorded_one_and_small(name):
    content = demo_path(name).read_bytes()
    assert len(content) < 1_000_000
    assert hashlib.sha256(content).hexdigest() == RECORD["models"][name]["sha256"]


@every_demo
def test_model_is_valid_and_of_the_promised_form(name):
    model = onnx.load(demo_path(name))
    onnx.checker.check_model(model, full_check=True)
    (given,), (wanted,) = model.graph.input, model.graph.output
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == ["N", 1, SIZE, SIZE]
    assert [d.dim_param or d.dim_value for d in wanted.type.tensor_type.shape.dim] == ["N", len(LABELS)]
    assert wanted.name == ("probabilities" if name == "digits_cnn_interacting" else "logits")


@every_demo
def test_model_says_how_it_wants_its_pictures_and_what_its_classes_are(name):
    metadata = {entry.key: entry.value for entry in onnx.load(demo_path(name)).metadata_props}
    assert json.loads(metadata["preprocessing"]) == {"name": "unit"}
    assert json.loads(metadata["labels"]) == list(LABELS)
    assert metadata["licence"] == "Apache-2.0"
    assert metadata["author"]


@every_demo
def test_graph_is_the_one_that_the_script_writes(name):
    drafted = [(node.op_type, *node.input, *node.output) for node in GRAPHS[name](0).nodes]
    stored = [(node.op_type, *node.input, *node.output) for node in onnx.load(demo_path(name)).graph.node]
    assert stored == drafted


@every_demo
def test_held_out_digits_are_read_rightly(name):
    right = (held_out_scores(name).argmax(1) == held_out_digits().classes).mean()
    assert right > 0.95
    assert right == pytest.approx(RECORD["models"][name]["held_out_accuracy"], abs=0.005)


@every_demo
def test_batch_of_five_equals_five_batches_of_one(name):
    inputs = held_out_digits().inputs[:5]
    singly = np.concatenate([run(demo_path(name), {"input": inputs[i : i + 1]}) for i in range(5)])
    np.testing.assert_allclose(run(demo_path(name), {"input": inputs}), singly, rtol=1e-5, atol=1e-5)


def test_softmax_inside_gives_probabilities():
    probabilities = held_out_scores("digits_cnn_interacting")
    assert probabilities.min() >= 0
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)


@every_demo
def test_features_have_the_recorded_shape_and_many_live_units(name):
    features = held_out_features(name, 20)
    assert list(features.shape[1:]) == RECORD["models"][name]["features"]
    units = features[:, 1:].any(2) if features.ndim == 3 else (features > 0).any((2, 3))
    assert (units.sum(1) >= 16).all()


@every_demo
def test_additive_head_is_additive_and_the_others_are_not(name):
    features = held_out_features(name, 20)
    half = features.copy()
    half[:, 1::2] = 0
    other = features - half
    if features.ndim == 3:
        other[:, 0] = features[:, 0]
    head = part(name, "features", "logits")
    whole, one, two, none = (run(head, {"features": each}) for each in (features, half, other, without_units(features)))
    assert np.allclose(whole - none, one + two - 2 * none, atol=1e-4) == (name == "digits_cnn_additive")


@every_picture
@every_demo
def test_picture_is_read_rightly(name, picture):
    assert LABELS[run(demo_path(name), {"input": pixels(picture)}).argmax()] == picture.stem.split("_")[0]


@every_picture
@every_demo
def test_decision_on_a_picture_needs_some_units(name, picture):
    features = run(part(name, "input", "features"), {"input": pixels(picture)})
    nothing = run(part(name, "features", "logits"), {"features": without_units(features)})
    assert LABELS[nothing.argmax()] != picture.stem.split("_")[0]


def test_pictures_are_square_grey_and_held_out():
    held_out = held_out_digits()
    classes = dict(zip(held_out.rows.tolist(), held_out.classes.tolist(), strict=True))
    assert len(demo_pictures()) == 6
    for path in demo_pictures():
        with Image.open(path) as picture:
            assert (picture.mode, picture.size) == ("L", (256, 256))
        recorded = RECORD["pictures"][path.name]
        assert LABELS[classes[recorded["row"]]] == recorded["label"] == path.stem.split("_")[0]


def test_no_digit_is_both_trained_on_and_held_out():
    training, held_out = set(training_digits().rows.tolist()), set(held_out_digits().rows.tolist())
    assert not training & held_out
    assert training | held_out == set(range(1797))


def test_upscaling_is_bilinear_and_repeats_the_edges():
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4)
    expected = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    np.testing.assert_allclose(upscale(ramp, 8)[0], np.tile(expected, (8, 1)))


def test_unknown_demo_is_refused_with_the_names_of_all():
    with pytest.raises(OptionError, match=r"'resnet'.*digits_cnn_additive, .*digits_vit"):
        demo_path("resnet")

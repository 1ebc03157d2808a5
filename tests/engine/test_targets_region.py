"""A chosen region as the target: a segmenter of colours, whose right answers are known, in every form of its output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import ddcam
from ddcam.engine.choose import Choice, loader
from ddcam.engine.errors import ExplanationError, ModelError, OptionError
from ddcam.engine.explain import explain, save
from ddcam.engine.graph.chosen import REGION
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.region import choose_region, coverage
from ddcam.engine.types import Picture, Placement, Wishes

SIDE, STEP = 64, 4
GRID = SIDE // STEP
HEIGHT, WIDTH = 96, 128
FORMS = ("logits", "softmax", "NHWC", "argmax", "sigmoid", "resized")
WISHES = Wishes(preprocessing="unit", device="cpu", threads=1, patch=16, baseline="zero")
RED_HALF, GREEN_HALF = (0, 0, 64, 96), (64, 0, 128, 96)


def halves() -> Picture:
    """Red on the left, green on the right, each brightest in a square of its own."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :64, 0], pixels[:, 64:, 1] = 60, 60
    pixels[24:48, 32:64, 0], pixels[48:72, 96:128, 1] = 255, 255
    return from_pixels(pixels, "halves")


def segmenter(form: str) -> onnx.ModelProto:
    """Scores of a place are 10 times how red, green and blue it is."""
    weights = 10 * np.eye(3, dtype=np.float32)[:, :, None, None]
    nodes = [
        helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[STEP, STEP], strides=[STEP, STEP]),
        helper.make_node("Conv", ["pooled", "weights"], ["logits"]),
    ]
    ends: dict[str, tuple[list[Any], list[Any]]] = {
        "logits": ([], [1, 3, GRID, GRID]),
        "softmax": ([helper.make_node("Softmax", ["logits"], ["y"], axis=1)], [1, 3, GRID, GRID]),
        "sigmoid": ([helper.make_node("Sigmoid", ["logits"], ["y"])], [1, 3, GRID, GRID]),
        "NHWC": ([helper.make_node("Transpose", ["logits"], ["y"], perm=[0, 2, 3, 1])], [1, GRID, GRID, 3]),
        "argmax": ([helper.make_node("ArgMax", ["logits"], ["y"], axis=1, keepdims=0)], [1, GRID, GRID]),
        "resized": (
            [helper.make_node("Resize", ["logits", "", "", "full"], ["y"], mode="linear")],
            [1, 3, SIDE, SIDE],
        ),
    }
    more, shape = ends[form]
    kind = TensorProto.INT64 if form == "argmax" else TensorProto.FLOAT
    graph = helper.make_graph(
        [*nodes, *more],
        "colours",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y" if more else "logits", kind, shape)],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1, 3, SIDE, SIDE]), "full")],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Any) -> Callable[[str], Path]:
    monkeypatch.setattr("ddcam.engine.open_model.trial", zoo.trial)

    def write(form: str) -> Path:
        onnx.save(segmenter(form), tmp_path / "segmenter.onnx")
        return tmp_path / "segmenter.onnx"

    return write


@pytest.mark.parametrize("form", FORMS)
def test_the_class_of_a_region_is_that_of_its_places(file, form: str) -> None:
    path, picture = file(form), halves()
    for region, decided in ((RED_HALF, 0), (GREEN_HALF, 1)):
        model = loader(path, WISHES, Choice(region=region)).load(picture)
        explanation = explain(model, picture, preserve="confidence:0.9")

        assert explanation.target.index == decided
        assert model.opened.logits.classes == 3
        assert f"in the region {','.join(map(str, region))}" in str(explanation)


@pytest.mark.parametrize("form", FORMS)
def test_the_patches_that_suffice_lie_in_the_region(file, tmp_path: Path, form: str) -> None:
    """The brightest squares are patches 5 and 11 of 4 x 4; each decides for its own half alone."""
    path, picture = file(form), halves()
    for region, patch in ((RED_HALF, 5), (GREEN_HALF, 11)):
        explanation = explain(loader(path, WISHES, Choice(region=region)).load(picture), picture)
        assert explanation.attribution.subset == (patch,)
        assert " in the chosen region, ahead of " in explanation.text
    save(explanation, tmp_path / "why", keep_arrays=True)
    saved = ddcam.open_explanation(tmp_path / "why")

    assert ddcam.verify(saved, path, picture).agrees
    assert ddcam.verify(saved, path).agrees
    (tmp_path / "why" / "region.npy").unlink()
    with pytest.raises(ExplanationError, match="chosen box or region is damaged"):
        ddcam.verify(saved, path, picture)


def test_scores_are_averaged_with_the_share_of_each_place(file, zoo) -> None:
    path, picture = file("logits"), halves()
    region = (10.0, 20.0, 75.0, 81.0)
    model = loader(path, WISHES, Choice(region=region)).load(picture)
    x = np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)
    maps = zoo.run(segmenter("logits"), {"x": x})[0][0]
    scale = WIDTH / GRID, HEIGHT / GRID
    shares = [
        [max(0, min(stop, (i + 1) * s) - max(start, i * s)) for i in range(GRID)]
        for start, stop, s in ((region[0], region[2], scale[0]), (region[1], region[3], scale[1]))
    ]
    weights = np.outer(shares[1], shares[0])

    [found] = zoo.run(model.opened.graph.proto, {"x": x}, [REGION])

    np.testing.assert_allclose(found[0], (maps * weights).sum(axis=(1, 2)) / weights.sum(), rtol=1e-4)


def test_a_mask_is_a_region(file) -> None:
    path, picture = file("logits"), halves()
    bright = np.zeros((HEIGHT, WIDTH), np.uint8)
    bright[20:50, 70:120] = 255
    by_mask = choose_region(path, picture, from_pixels(bright, "mask.png"), WISHES)
    by_box = choose_region(path, picture, (70, 20, 120, 50), WISHES)

    np.testing.assert_allclose(by_mask.weights, by_box.weights, atol=1e-6)
    assert str(by_mask) == "the region mask.png"
    with pytest.raises(OptionError, match=r"expected a mask of 128x96 pixels like the picture, small has 5x4"):
        choose_region(path, picture, from_pixels(bright[:4, :5], "small"), WISHES)


def test_a_region_outside_is_refused(file) -> None:
    with pytest.raises(OptionError, match="expected a region that the model sees"):
        choose_region(file("logits"), halves(), (200, 10, 300, 50), WISHES)


def test_a_classifier_has_no_places(load_here, zoo, tmp_path: Path) -> None:
    proto, _ = zoo.build("cnn") if "cnn" in zoo.FAMILIES else zoo.build(next(iter(zoo.FAMILIES)))
    onnx.save(proto, tmp_path / "classifier.onnx")

    with pytest.raises(ModelError, match=r"a region can be chosen of segmenters only"):
        choose_region(tmp_path / "classifier.onnx", halves(), (0, 0, 5, 5))


def test_what_of_a_region_the_input_does_not_show_does_not_count() -> None:
    """A mask over the whole picture covers all cells of a cropped input alike, and nothing beyond a padded one."""
    mask = np.ones((10, 20), np.float32)
    cropped = coverage(mask, Placement(10, 20, 0, 5, 10, 15), (2, 2))
    padded = coverage(mask, Placement(10, 20, -5, 0, 15, 20), (4, 2))

    np.testing.assert_allclose(cropped, 25)
    np.testing.assert_allclose(padded, [[0, 0], [50, 50], [50, 50], [0, 0]])

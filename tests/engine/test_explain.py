"""The straight line: explain, save, open, verify."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ddcam
from ddcam.engine import Model
from ddcam.engine.errors import ExplanationError, OptionError, OutputError
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.render.overlay import overlay
from ddcam.models import demo_path, demo_pictures


@pytest.fixture(scope="module")
def model() -> Model:
    return ddcam.load(demo_path("digits_cnn_additive"))


@pytest.fixture
def saved(model: Model, tmp_path: Path) -> Path:
    explanation = ddcam.explain(model, demo_pictures()[0], preserve="confidence:0.9")
    ddcam.save(explanation, tmp_path / "why", keep_arrays=True)
    return tmp_path / "why"


def test_the_sentence_says_class_units_predicate_and_certainty(model: Model) -> None:
    explanation = ddcam.explain(model, demo_pictures()[0], preserve="confidence:0.9")
    count = len(explanation.attribution.subset or ())

    assert str(explanation).startswith("five (5), probability 0.99")
    assert f"{count} of 64 channels suffice for confidence:0.9 (certified 1-minimal" in str(explanation)


def test_the_folder_holds_manifest_arrays_and_pictures(saved: Path) -> None:
    names = {path.name for path in saved.iterdir()}
    manifest = json.loads((saved / "manifest.json").read_text(encoding="utf-8"))

    assert names == {"manifest.json", "overlay.png", "panel.png", *(f"{n}.npy" for n in ARRAYS)}
    assert set(manifest["files"]) == names - {"manifest.json"}
    assert manifest["units"] == {"kind": "channel", "count": 64}
    assert manifest["subset"] == sorted(manifest["subset"])
    assert manifest["certificate"]["sufficient"]
    assert manifest["certificate"]["minimal"]
    assert len(manifest["certificate"]["margin_without"]) == len(manifest["subset"])


ARRAYS = ("features", "grid", "input", "saliency", "scores")


def test_a_folder_of_an_earlier_version_without_words_and_rivals_is_verified(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text(encoding="utf-8"))
    for known, names in ((manifest, ("text", "rivals")), (manifest["certificate"], ("decided", "decided_without"))):
        for name in names:
            del known[name]
    (saved / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    assert ddcam.verify(ddcam.open_explanation(saved), demo_path("digits_cnn_additive")).agrees


def test_overlay_and_saliency_have_the_pictures_own_size(model: Model, tmp_path: Path) -> None:
    pixels = np.asarray(Image.open(demo_pictures()[0]).convert("RGB").resize((300, 200)))
    explanation = ddcam.explain(model, from_pixels(pixels), preserve="confidence:0.9")
    ddcam.save(explanation, tmp_path / "wide")

    with Image.open(tmp_path / "wide" / "overlay.png") as overlay:
        assert overlay.size == (300, 200)
    assert np.load(tmp_path / "wide" / "saliency.npy").shape == (200, 300)
    assert not explanation.saliency[:, :49].any()  # outside the centre square, which is all that the model saw
    assert explanation.saliency.max() == pytest.approx(1, abs=0.2)


def test_saving_twice_is_refused_unless_asked_for(model: Model, saved: Path) -> None:
    explanation = ddcam.explain(model, demo_pictures()[1])

    with pytest.raises(OutputError, match="--force"):
        ddcam.save(explanation, saved)
    ddcam.save(explanation, saved, replace=True)
    assert "four" in json.loads((saved / "manifest.json").read_text(encoding="utf-8"))["sentence"]
    assert not (saved / "features.npy").exists()
    assert [path.name for path in saved.parent.iterdir()] == ["why"]


@pytest.mark.parametrize("name", ["digits_cnn_additive", "digits_cnn_interacting", "digits_vit"])
@pytest.mark.parametrize("keep", ["input", "features"])
def test_what_was_saved_verifies_from_kept_arrays_and_from_the_picture(name: str, keep: str, tmp_path: Path) -> None:
    picture = demo_pictures()[3]
    ddcam.save(ddcam.explain(ddcam.load(demo_path(name)), picture), tmp_path / "why", keep_arrays=True)
    (tmp_path / "why" / f"{'features' if keep == 'input' else 'input'}.npy").unlink()
    saved = ddcam.open_explanation(tmp_path / "why")
    from_arrays = ddcam.verify(saved, demo_path(name))
    from_picture = ddcam.verify(saved, demo_path(name), ddcam.open_image(picture))

    assert from_arrays.agrees
    assert from_picture.agrees
    assert keep in from_arrays.source
    assert from_arrays.certificate == from_picture.certificate


@pytest.mark.parametrize("change", ["drop", "add"])
def test_a_changed_subset_does_not_verify(saved: Path, change: str) -> None:
    path = saved / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    subset = manifest["subset"]
    manifest["subset"] = subset[1:] if change == "drop" else sorted({*subset, *range(64)})
    path.write_text(json.dumps(manifest), encoding="utf-8")
    verdict = ddcam.verify(ddcam.open_explanation(saved), demo_path("digits_cnn_additive"))

    assert not verdict.agrees
    said = {"drop": "the subset does NOT keep the decision", "add": "some unit of it can be dropped"}[change]
    assert said in str(verdict)


def test_another_model_or_picture_is_not_accepted(saved: Path) -> None:
    opened = ddcam.open_explanation(saved)

    with pytest.raises(ExplanationError, match=r"picture four_0\.png is not the one"):
        ddcam.verify(opened, demo_path("digits_cnn_additive"), ddcam.open_image(demo_pictures()[1]))
    with pytest.raises(ValueError, match=r"is not the one|cannot split|no output"):
        ddcam.verify(opened, demo_path("digits_cnn_interacting"))


def test_a_target_that_is_not_on_top_needs_a_fitting_predicate(model: Model) -> None:
    with pytest.raises(OptionError, match="topk:K"):
        ddcam.explain(model, demo_pictures()[0], target="nine")
    explanation = ddcam.explain(model, demo_pictures()[0], target="nine", preserve="confidence:0.9")

    assert explanation.target.label == "nine"
    assert explanation.top[0].label == "five"


def test_a_blank_picture_is_explained_or_warned_about(model: Model) -> None:
    """Without any evidence the bias decides; that is said, not drawn over."""
    explanation = ddcam.explain(model, from_pixels(np.zeros((32, 32), np.uint8)))

    assert explanation.attribution.outcome == "one-minimal" or explanation.warnings


def test_a_map_of_pixels_is_drawn_brighter_than_it_is_saved(model: Model, tmp_path: Path) -> None:
    explanation = ddcam.explain(model, demo_pictures()[0], method="saliency")
    ddcam.save(explanation, tmp_path / "why")
    plain = overlay(explanation.picture.pixels, explanation.saliency)

    assert explanation.attribution.grid_map.shape == (32, 32)
    with Image.open(tmp_path / "why" / "overlay.png") as drawn:
        changed = np.abs(np.asarray(drawn.convert("RGB")).astype(int) - explanation.picture.pixels).sum()
    assert changed > np.abs(plain.astype(int) - explanation.picture.pixels).sum()
    saved = np.load(tmp_path / "why" / "saliency.npy")
    np.testing.assert_allclose(saved, explanation.saliency, atol=1e-3)


def test_a_map_of_pixels_stays_one_where_units_are_patches() -> None:
    model = ddcam.load(demo_path("digits_cnn_additive"), units="patch", patch=7)
    squares, pixels = (ddcam.explain(model, demo_pictures()[0], method=m).saliency for m in ("dd-cam", "saliency"))

    assert len(np.unique(squares)) <= 17
    assert len(np.unique(pixels)) > 100


def test_what_a_method_warns_of_is_told(model: Model) -> None:
    explanation = ddcam.explain(model, demo_pictures()[0], method="integrated-gradients:steps=1")

    assert any("take more with steps=" in warning for warning in explanation.warnings)

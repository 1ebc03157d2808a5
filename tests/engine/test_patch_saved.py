"""Patches from the command's side: the manifest, verify, split and inspect."""

import json
from pathlib import Path

import numpy as np
import pytest

import ddcam
from ddcam.engine.errors import SplitError
from ddcam.engine.explain import empty_warning
from ddcam.engine.explanation_file import Saved
from ddcam.engine.inspect import as_text, inspect
from ddcam.engine.types import Wishes
from ddcam.models import demo_path, demo_pictures


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patches") / "why"
    model = ddcam.load(demo_path("digits_cnn_interacting"), units="patch", patch=5, baseline="blur")
    explanation = ddcam.explain(model, demo_pictures()[0], preserve="confidence:0.9")
    ddcam.save(explanation, folder, keep_arrays=True)
    return folder


def test_the_sentence_and_the_manifest_say_patches(saved):
    manifest = json.loads((saved / "manifest.json").read_text(encoding="utf-8"))

    assert len(manifest["subset"]) > 1
    assert " of 49 patches suffice for confidence:0.9 (certified 1-minimal" in manifest["sentence"]
    assert manifest["units"] == {"kind": "patch", "count": 49}
    assert (manifest["split"]["patch"], manifest["split"]["baseline"]) == (5, "blur")
    assert set(np.unique(np.load(saved / "saliency.npy"))) == levels_of(np.load(saved / "grid.npy")), "no smooth edges"
    assert (np.load(saved / "grid.npy").shape, np.load(saved / "saliency.npy").shape) == ((7, 7), (256, 256))


def levels_of(grid: np.ndarray) -> set[np.float16]:
    return set((grid / grid.max()).astype(np.float16).ravel())


@pytest.mark.parametrize("evidence", ["input", "features", "picture"])
def test_patches_are_verified_from_the_manifest(saved, evidence, tmp_path):
    keep = [path for path in saved.iterdir() if path.stem not in {"input", "features"} - {evidence}]
    for path in keep:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    picture = ddcam.open_image(demo_pictures()[0]) if evidence == "picture" else None
    verdict = ddcam.verify(ddcam.open_explanation(tmp_path), demo_path("digits_cnn_interacting"), picture)

    assert verdict.agrees, str(verdict)
    assert evidence in verdict.source


def changed(saved: Path, folder: Path, **values: object) -> Saved:
    for path in saved.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["split"] |= values
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return ddcam.open_explanation(folder)


def test_on_another_baseline_the_certificate_is_another_one(saved, tmp_path):
    model = demo_path("digits_cnn_interacting")
    true = ddcam.verify(ddcam.open_explanation(saved), model).certificate

    assert ddcam.verify(changed(saved, tmp_path, baseline="zero"), model).certificate.margin != true.margin


def test_a_manifest_written_before_there_were_patches_verifies(tmp_path):
    model = ddcam.load(demo_path("digits_cnn_additive"))
    ddcam.save(ddcam.explain(model, demo_pictures()[0]), tmp_path / "why", keep_arrays=True)
    manifest = json.loads((tmp_path / "why" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["split"].pop("patch") is manifest["split"].pop("baseline") is None
    (tmp_path / "why" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    assert ddcam.verify(ddcam.open_explanation(tmp_path / "why"), demo_path("digits_cnn_additive")).agrees


def test_there_is_nothing_to_cut_for_patches(tmp_path):
    with pytest.raises(SplitError, match="nothing to cut: patches are squares of the model's input"):
        ddcam.engine.split_files(demo_path("digits_vit"), tmp_path / "parts", Wishes(units="patch"))
    assert not (tmp_path / "parts").exists()


def test_inspect_says_what_patches_are():
    text = as_text(inspect(demo_path("digits_vit"), Wishes(units="patch", patch=8)))

    assert "16 patches" in text
    assert "4 x 4 squares of 8 pixels, a removed one is the baseline 'mean'" in text
    assert "with every patch kept it equals the model" in text


def test_the_warning_of_an_empty_subset_names_the_baseline(zoo, load_here):
    text = empty_warning(load_here(zoo.build("plain")[0], units="patch"))

    assert "the baseline 'mean' alone" in text
    assert "another --baseline" in text

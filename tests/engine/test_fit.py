"""From pictures to a file and from there to an explanation with its parts drawn."""

from functools import partial
from pathlib import Path

import pytest

from ddcam import explain, load, open_image, save
from ddcam.engine import find_concepts, find_prototypes
from ddcam.engine.dataset import Sample
from ddcam.engine.errors import OutputError
from ddcam.engine.fit import sheet_of
from ddcam.models import demo_path, demo_pictures

SAMPLES = [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()]


@pytest.fixture(scope="module")
def model():
    return load(demo_path("digits_cnn_additive"))


@pytest.mark.parametrize(
    ("fit", "asked", "method"),
    [(find_concepts, {"target": "five", "rank": 3}, "craft:concepts"), (find_prototypes, {}, "epic:prototypes")],
)
def test_what_was_fitted_explains_a_picture(model, tmp_path, fit, asked, method):
    said, skipped = fit(model, SAMPLES, tmp_path / "f.npz", **asked)
    explanation = explain(model, demo_pictures()[0], target="5", method=f"{method}={tmp_path / 'f.npz'}")
    save(explanation, tmp_path / "out")

    assert skipped == []
    assert "written to" in said
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/parts.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out/manifest.json").is_file()


def test_a_map_without_parts_has_no_picture_of_them(model, tmp_path):
    save(explain(model, demo_pictures()[0], method="grad-cam"), tmp_path / "out")

    assert not (tmp_path / "out/parts.png").exists()


def test_earlier_files_stay_unless_they_may_be_replaced(model, tmp_path):
    out = tmp_path / "f.npz"
    find_prototypes(model, SAMPLES, out)
    with pytest.raises(OutputError, match="exists already"):
        find_prototypes(model, SAMPLES, out)
    find_prototypes(model, SAMPLES, out, replace=True)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "f.png"]


def test_turning_says_whether_it_holds_on_other_pictures(model, tmp_path):
    said, _ = find_prototypes(model, SAMPLES * 2, tmp_path / "f.npz", steps=3)

    assert "on the pictures held out" in said
    assert "purer" in said


def test_the_sheet_lies_beside_the_file():
    assert sheet_of(Path("a/b.npz")) == Path("a/b.png")
    assert sheet_of(Path("a/b.c")) == Path("a/b.c.png")

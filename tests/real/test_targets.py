"""A real face detector: boxes chosen in photographs are explained, verified, and looked for in the right place."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddcam import detect, explain, load_for, open_explanation, open_image, save, verify
from ddcam.engine.types import Picture

pytestmark = pytest.mark.data
FACES = {"000000006954.jpg": 5, "000000008690.jpg": 2}
"""Photographs of COCO, and how many faces are plain to see in each."""


@pytest.fixture(scope="module")
def file(entries: list[dict[str, Any]]) -> Path:
    return next(Path(e["file"]) for e in entries if e["name"].startswith("detectors"))


def photograph(data: Path, name: str) -> Picture:
    return open_image(data / "images" / "coco-30" / "images" / name)


@pytest.mark.parametrize("name", FACES)
def test_the_faces_are_found(file: Path, data: Path, name: str) -> None:
    found = detect(file, photograph(data, name), preprocessing="symmetric")

    assert len(found) == FACES[name]
    assert all(one.index == 1 and one.score > 0.99 for one in found)


@pytest.mark.parametrize("units", [None, "cell", "channel"])
def test_a_face_is_explained_certified_and_verified(file: Path, data: Path, tmp_path: Path, units: str | None) -> None:
    picture = photograph(data, "000000006954.jpg")
    model = load_for(file, picture, box=2, preprocessing="symmetric", units=units)
    explanation = explain(model, picture, preserve="confidence:0.9")
    save(explanation, tmp_path / "why")

    assert explanation.attribution.certificate is not None
    assert explanation.attribution.certificate.holds
    assert explanation.attribution.outcome == "one-minimal"
    verdict = verify(open_explanation(tmp_path / "why"), file, picture)
    assert verdict.agrees, str(verdict)
    if units != "channel":  # channels look for faces anywhere
        assert share_within(explanation, 0.5) > 0.9


def test_d_rise_is_highest_on_the_chosen_face(file: Path, data: Path) -> None:
    """With 300 masks the map is noisy elsewhere; its highest place and its mean are the chosen face's all the same."""
    picture, number = photograph(data, "000000008690.jpg"), 2
    model = load_for(file, picture, box=number, preprocessing="symmetric", units="cell")
    explanation = explain(model, picture, method="d-rise:samples=300:cells=12")
    others = [one.box for one in detect(file, picture, preprocessing="symmetric")]
    means = [mean_within(explanation.saliency, box) for box in others]
    row, column = np.unravel_index(explanation.saliency.argmax(), explanation.saliency.shape)
    left, top, right, bottom = others[number - 1]

    assert np.argmax(means) == number - 1
    assert means[number - 1] > 2 * explanation.saliency.mean()
    assert left - 20 < column < right + 20
    assert top - 20 < row < bottom + 20


@pytest.mark.parametrize("method", ["grad-cam", "saliency", "occlusion"])
def test_other_methods_run_on_a_box(file: Path, data: Path, method: str) -> None:
    picture = photograph(data, "000000008690.jpg")
    model = load_for(file, picture, box=1, preprocessing="symmetric", units="cell")
    explanation = explain(model, picture, method=method)

    assert not any("blank" in warning for warning in explanation.warnings)
    if method != "grad-cam":  # which weighs channels, and these look for faces anywhere
        assert mean_within(explanation.saliency, explanation.chosen.found.box) > 5 * explanation.saliency.mean()


def share_within(explanation: Any, margin: float) -> float:
    """Return how much of the map lies in the chosen box, made larger by a share of its sides all around."""
    left, top, right, bottom = explanation.chosen.found.box
    across, down = margin * (right - left), margin * (bottom - top)
    rows = slice(max(0, int(top - down)), int(bottom + down) + 1)
    columns = slice(max(0, int(left - across)), int(right + across) + 1)
    return float(explanation.saliency[rows, columns].sum() / explanation.saliency.sum())


def mean_within(values: np.ndarray, box: tuple[float, ...]) -> float:
    left, top, right, bottom = (int(max(0, edge)) for edge in box)
    return float(values[top:bottom, left:right].mean())

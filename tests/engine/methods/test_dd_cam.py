"""DD-CAM on real small models: its answers against brute force, its weights against their closed form."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from ddcam import load, open_image
from ddcam.engine import Model, split_files
from ddcam.engine.errors import OptionError
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.search import Gate
from ddcam.engine.search.ddmin import ddmin
from ddcam.engine.search.removal import remove_units
from ddcam.engine.types import Question
from ddcam.models import DEMOS, demo_path, demo_pictures

PREDICATES = ("top1", "confidence:0.9", "confidence:0.5", "topk:2")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load(demo_path(name)) for name in DEMOS}


def pose(model: Model, picture: Path, preserve: str = "top1", **question: Any) -> Problem:
    inputs, _ = prepare(open_image(picture), model.opened.preprocessing, model.opened.picture)
    return Problem(model, inputs, preserve=preserve, question=Question(**question))


@pytest.mark.parametrize("preserve", PREDICATES)
def test_the_contribution_matrix_and_the_head_give_the_same_subset(models: dict[str, Model], preserve: str) -> None:
    for picture in demo_pictures():
        problem = pose(models["digits_cnn_additive"], picture, preserve, search="units")
        through_head = remove_units(Gate(problem.keeps, problem.units, 16))

        assert dd_cam(problem).subset == through_head


@pytest.mark.parametrize("preserve", PREDICATES)
def test_ddmin_gives_the_same_subset_on_matrix_and_head(models: dict[str, Model], preserve: str) -> None:
    for picture in demo_pictures():
        problem = pose(models["digits_cnn_additive"], picture, preserve, search="ddmin")
        through_head = ddmin(Gate(problem.keeps, problem.units, 16))

        assert dd_cam(problem).subset == through_head


@pytest.mark.parametrize("name", DEMOS)
def test_the_subset_is_sufficient_and_minimal_by_brute_force(
    models: dict[str, Model], name: str, tmp_path: Path
) -> None:
    """Masking in NumPy and running the head file plainly finds no unit that could be dropped."""
    model = models[name]
    split_files(demo_path(name), tmp_path / "split")
    backbone, head = (ort.InferenceSession(tmp_path / "split" / f"{part}.onnx") for part in ("backbone", "head"))
    shape = [1] * len(model.split.shape)
    for picture in demo_pictures():
        problem = pose(model, picture)
        features = backbone.run(None, {backbone.get_inputs()[0].name: problem.input})[0]
        subset = dd_cam(problem).subset
        assert subset is not None

        def decides(kept: tuple[int, ...], features: np.ndarray = features, problem: Problem = problem) -> bool:
            mask = np.zeros(model.split.count, np.float32)
            mask[list(kept)] = 1
            full = np.insert(mask, 0, 1) if model.split.fixed else mask  # the class token stays
            shape[1] = len(full)
            logits = head.run(None, {model.split.tensor: features * full.reshape(shape)})[0][0]
            return bool((logits[problem.target] > np.delete(logits, problem.target)).all())

        assert decides(subset)
        assert not any(decides(tuple(u for u in subset if u != dropped)) for dropped in subset)


def test_weights_on_an_additive_head_are_the_contributions(models: dict[str, Model]) -> None:
    """The logit drop is then independent of the subset: the class's weight times the channel's mean."""
    for picture in demo_pictures():
        problem = pose(models["digits_cnn_additive"], picture, "confidence:0.9")
        found = dd_cam(problem)
        table = problem.table
        assert table is not None
        kept = list(found.subset or ())
        expected = np.maximum(0, table.matrix[kept, problem.target])
        cam = np.maximum(0, np.tensordot(expected, problem.features[kept], 1))

        np.testing.assert_allclose(found.scores[kept], expected, atol=1e-3)
        np.testing.assert_allclose(found.grid_map, cam, atol=1e-2 * cam.max())
        assert found.weighting == "logit drop"


@pytest.mark.parametrize(("name", "units"), [("digits_cnn_additive", "cell"), ("digits_cnn_interacting", "cell")])
def test_cells_are_explained_too(name: str, units: str) -> None:
    model = load(demo_path(name), units=units)  # type: ignore[arg-type]
    found = dd_cam(pose(model, demo_pictures()[0], "confidence:0.9"))

    assert found.certificate is not None
    assert found.certificate.holds
    assert found.grid_map.shape == model.split.grid
    assert set(np.flatnonzero(found.grid_map.ravel())) <= set(found.subset or ())


def test_the_cost_is_counted(models: dict[str, Model]) -> None:
    for model in models.values():
        found = dd_cam(pose(model, demo_pictures()[0], "confidence:0.9"))

        assert found.cost is not None
        assert found.certificate is not None
        subset = found.subset or ()
        # Everything, the subset, and it without each unit; the empty set may be known from an earlier picture.
        assert found.cost.canonical_runs >= len(subset) + 2 - (len(subset) == 1 and not model.split.fixed)
        assert found.cost.probes >= 2
        assert found.cost.seconds == pytest.approx(found.cost.search_seconds + found.cost.certificate_seconds)
        assert min(found.cost.search_seconds, found.cost.certificate_seconds) > 0


def test_an_unknown_search_is_refused(models: dict[str, Model]) -> None:
    with pytest.raises(OptionError, match=r"expected a search auto, ddmin, units, .* got 'bisect'"):
        dd_cam(pose(models["digits_vit"], demo_pictures()[0], search="bisect"))

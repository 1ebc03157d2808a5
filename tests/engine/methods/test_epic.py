"""EPIC's map: the channels that add most to the class, by a matrix that is the model's own or refused."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import open_image
from ddcam.engine.dataset import Sample
from ddcam.engine.errors import FittedFileError, OptionError
from ddcam.engine.fitted.find_prototypes import fit_prototypes
from ddcam.engine.fitted.prototypes import open_prototypes, write_prototypes
from ddcam.engine.methods.cam import cam
from ddcam.engine.methods.epic import epic
from ddcam.models import demo_pictures

SAMPLES = [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()] * 2


@pytest.fixture(scope="module", params=[0, 4])
def file(request, demos, tmp_path_factory):
    model, path = demos["digits_cnn_additive"], tmp_path_factory.mktemp("prototypes") / "p.npz"
    write_prototypes(fit_prototypes(model, SAMPLES, steps=request.param)[0], model, path)
    return path


def test_the_map_is_that_of_the_channels_that_add_most(pose, file):
    problem = pose("cnn_additive")
    known = open_prototypes(file, problem.model)
    turned = known.channels(problem.maps)
    added = known.head.weights[problem.target] * np.maximum(turned.mean(axis=(1, 2)), 0)
    best = np.argsort(-added)[:4]
    found = epic(problem, prototypes=str(file))
    expected = sum(known.head.weights[problem.target, c] * np.maximum(turned[c], 0) for c in best)

    np.testing.assert_allclose(found.scores, expected, rtol=1e-4, atol=1e-5)
    assert len(found.parts) == 4
    assert found.parts[0].caption.startswith(f"channel {best[0]} adds {added[best[0]]:.2f}")
    assert found.parts[0].examples.shape[0] == 5


def test_all_channels_as_they_are_give_the_positive_part_of_cam(pose, demos, tmp_path):
    model = demos["digits_cnn_additive"]
    write_prototypes(fit_prototypes(model, SAMPLES)[0], model, tmp_path / "p.npz")
    problem = pose("cnn_additive")
    found = epic(problem, prototypes=str(tmp_path / "p.npz"), channels=10**6)
    weights = open_prototypes(tmp_path / "p.npz", model).weights[problem.target]
    negative = np.tensordot(np.minimum(weights, 0), problem.maps, axes=1)

    np.testing.assert_allclose(found.scores + negative, cam(problem).scores, rtol=1e-3, atol=1e-3)


def test_another_class_has_other_channels(pose, file):
    maps = [epic(pose("cnn_additive", target=t), prototypes=str(file)).scores for t in ("5", "3")]

    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] < 0.99


def test_a_matrix_that_does_not_give_the_logits_is_refused(pose, file, tmp_path):
    problem = pose("cnn_additive")
    known = open_prototypes(file, problem.model)
    write_prototypes(replace(known, weights=known.weights * 1.01), problem.model, tmp_path / "p.npz")

    with pytest.raises(FittedFileError, match="does not give the model's logits"):
        epic(problem, prototypes=str(tmp_path / "p.npz"))


def test_what_is_missing_or_does_not_fit_is_said(pose, file):
    with pytest.raises(OptionError, match="ddcam prototypes MODEL IMAGE"):
        epic(pose("cnn_additive"))
    with pytest.raises(OptionError, match="channels of 1 or more"):
        epic(pose("cnn_additive"), prototypes=str(file), channels=0)
    with pytest.raises(OptionError, match="take craft"):
        epic(pose("cnn_interacting"), prototypes=str(file))

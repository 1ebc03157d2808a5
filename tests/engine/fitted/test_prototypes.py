"""Prototypes: heads that are one matrix, logits that a turn does not change, files of this model only."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import Picture, load, open_image
from ddcam.engine.dataset import Sample
from ddcam.engine.errors import FittedFileError, OptionError, PictureError
from ddcam.engine.fitted.find_prototypes import fit_prototypes
from ddcam.engine.fitted.maps import logits_of, maps_of
from ddcam.engine.fitted.pooled import pooled_head
from ddcam.engine.fitted.prototypes import KIND, open_prototypes, write_prototypes
from ddcam.models import demo_path, demo_pictures

SAMPLES = [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()]


@pytest.fixture(scope="module")
def model():
    return load(demo_path("digits_cnn_additive"))


@pytest.fixture(scope="module")
def fitted(model):
    return fit_prototypes(model, SAMPLES * 2, steps=4)[0]


@pytest.mark.parametrize("family", ["plain", "residual", "concatenated"])
@pytest.mark.parametrize("units", [None, "cell"])
def test_the_matrix_of_a_pooled_head_gives_its_logits(zoo, load_here, family, units):
    model = load_here(zoo.build(family)[0], units=units)
    raw = model.features(zoo.pictures(1))

    np.testing.assert_allclose(pooled_head(model).logits(maps_of(model, raw)), logits_of(model, raw), atol=1e-4)


@pytest.mark.parametrize("family", ["hidden", "squeeze_excite", "convolutional", "convnext", "vit"])
def test_other_heads_are_refused(zoo, load_here, family):
    with pytest.raises(OptionError, match=r"one matrix, and this one does more; take craft \("):
        pooled_head(load_here(zoo.build(family)[0]))


def test_a_turn_keeps_the_logits_and_is_orthogonal(model, fitted):
    turn = fitted.turn.astype(np.float64)

    assert fitted.facts["exact"] < 1e-4
    assert np.abs(turn - np.eye(len(turn))).max() > 0.1
    np.testing.assert_allclose(turn @ turn.T, np.eye(len(turn)), atol=1e-5)
    for i in range(3):
        raw = model.features(model.opened.samples[i : i + 1])
        logits = fitted.head.logits(fitted.channels(maps_of(model, raw)))
        np.testing.assert_allclose(logits, logits_of(model, raw), atol=1e-4 * (1 + np.abs(logits).max()))


def test_turning_makes_the_pictures_purer_and_says_what_it_does_to_others(fitted):
    facts = fitted.facts

    assert facts["purity"] > facts["purity_before"]
    assert 0 < facts["held"] <= 1
    assert 0 < facts["held_before"] <= 1


def test_without_steps_channels_stay_as_they_are(model):
    found = fit_prototypes(model, SAMPLES)[0]

    np.testing.assert_array_equal(found.turn, np.eye(len(found.turn)))
    assert found.pictures.shape == (len(found.turn), 5)
    assert found.facts["steps"] == 0


def test_examples_are_cut_around_the_place(model):
    found = fit_prototypes(model, SAMPLES)[0]
    whole = found.bank.shape[1]
    corners = replace(found, cells=np.zeros_like(found.cells))
    side = round(0.4 * whole)

    np.testing.assert_array_equal(corners.examples(0, (4, 4)), found.bank[found.pictures[0], :side, :side])
    assert found.examples(3, (4, 4)).shape == (5, side, side, 3)


def test_what_cannot_be_fitted_on_is_said(model):
    def broken() -> Picture:
        raise PictureError("no picture")

    with pytest.raises(PictureError, match="at least 10 pictures"):
        fit_prototypes(model, SAMPLES, steps=3)
    with pytest.raises(PictureError, match="none could be read"):
        fit_prototypes(model, [Sample("x.png", broken)])
    assert fit_prototypes(model, [*SAMPLES, Sample("x.png", broken)])[1] == ["x.png: no picture"]


def test_what_is_written_is_read_again_by_this_model_only(model, fitted, tmp_path):
    file = tmp_path / "p.npz"
    write_prototypes(fitted, model, file)
    found = open_prototypes(file, model)

    for name in KIND.arrays:
        np.testing.assert_array_equal(getattr(found, name), getattr(fitted, name))
    assert found.facts == fitted.facts
    with pytest.raises(FittedFileError, match="another model"):
        open_prototypes(file, load(demo_path("digits_cnn_interacting")))


@pytest.mark.parametrize(
    "change",
    [{"cells": 99}, {"pictures": 99}, {"cells": -1}],
)
def test_places_outside_are_refused(model, fitted, tmp_path, change):
    [(name, value)] = change.items()
    wrong = getattr(fitted, name).copy()
    wrong[0, 0] = value
    write_prototypes(replace(fitted, **{name: wrong}), model, tmp_path / "p.npz")

    with pytest.raises(FittedFileError, match="do not fit"):
        open_prototypes(tmp_path / "p.npz", model)

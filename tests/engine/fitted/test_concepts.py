"""Concepts: importances that are known, fits that say what they left out, files that are of this model or refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ddcam import Picture, load, open_image
from ddcam.engine.dataset import Sample
from ddcam.engine.errors import FittedFileError, OptionError, PictureError
from ddcam.engine.fitted.concepts import KIND, Concepts, open_concepts, write_concepts
from ddcam.engine.fitted.find_concepts import fit_concepts, importances
from ddcam.engine.fitted.maps import channels_of, logits_of, logits_of_maps, maps_of
from ddcam.models import DEMOS, demo_path, demo_pictures

SAMPLES = [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()]


@pytest.fixture(scope="module")
def models():
    return {name: load(demo_path(name)) for name in DEMOS}


@pytest.fixture(scope="module")
def fitted(models):
    return fit_concepts(models["digits_cnn_interacting"], SAMPLES, 5, rank=3)


def planted(directions: np.ndarray, offset: np.ndarray | None = None) -> Concepts:
    rank, channels = directions.shape
    offset = np.zeros(channels, np.float32) if offset is None else offset
    return Concepts(2, "c", directions, offset, np.zeros(rank, np.float32), np.zeros((rank, 2, 4, 4, 3), np.uint8), {})


@pytest.mark.parametrize("units", [None, "place"])
def test_the_features_in_their_own_place_give_the_models_logits(zoo, load_here, family, units):
    model = load_here(zoo.build(family)[0], units=units)
    raw = model.features(zoo.pictures(1))
    maps = maps_of(model, raw)

    assert maps.shape == (channels_of(model.split), *model.split.grid)
    expected = model.bind_alone(raw).score(np.ones((1, model.split.count), np.float32))[0]
    np.testing.assert_allclose(logits_of(model, raw), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        logits_of_maps(model, raw, maps[None], lambda rows: rows)[0], expected, rtol=1e-4, atol=1e-5
    )


def test_importances_of_an_additive_head_are_the_shares_of_what_concepts_add(zoo, load_here):
    """A linear f = sum_k m_k a_k of uniform m_k has the total indices a_k^2 / sum a^2."""
    model = load_here(zoo.build("plain")[0])
    raw = model.features(zoo.pictures(1))
    concepts = planted(np.eye(channels_of(model.split), dtype=np.float32))
    alone = np.eye(channels_of(model.split), dtype=np.float32)[:, :, None, None] * maps_of(model, raw)
    nothing = np.zeros_like(alone[:1])
    logits = logits_of_maps(model, raw, np.concatenate([alone, nothing]), lambda rows: rows)[:, 2]
    added = logits[:-1] - logits[-1]

    found = importances(concepts, model, raw, samples=1024)
    np.testing.assert_allclose(found, added**2 / (added**2).sum(), atol=0.03)


def test_codes_and_maps_are_each_others_inverse_where_concepts_suffice(zoo, load_here):
    model = load_here(zoo.build("convnext")[0])  # its features are negative in places
    maps = maps_of(model, model.features(zoo.pictures(1)))
    concepts = planted(np.eye(len(maps), dtype=np.float32), maps.min(axis=(1, 2)))

    np.testing.assert_allclose(concepts.maps(concepts.codes(maps), model.split.grid), maps, atol=1e-5)


@pytest.mark.parametrize("demo", DEMOS)
def test_a_fit_is_ordered_repeatable_and_measured(models, demo):
    found, skipped = fit_concepts(models[demo], SAMPLES, 5, rank=3)
    again = fit_concepts(models[demo], SAMPLES, 5, rank=3)[0]

    assert skipped == []
    assert (np.diff(found.importance) <= 0).all()
    assert found.importance[0] > 0
    assert found.crops.shape == (3, 6, 80, 80, 3)
    assert found.facts["pictures"] == 6
    assert found.facts["crops"] == 96
    assert 0 < found.facts["error"] < 1
    for name in KIND.arrays:
        np.testing.assert_array_equal(getattr(found, name), getattr(again, name))


def test_more_concepts_leave_less(models):
    errors = [fit_concepts(models["digits_cnn_interacting"], SAMPLES, 5, rank=r)[0].facts["error"] for r in (1, 4, 12)]

    assert errors[0] > errors[1] > errors[2]


def test_the_class_is_by_default_the_one_decided_for(models):
    fives = [sample for sample in SAMPLES if sample.name == "five_0.png"] * 2
    found, _ = fit_concepts(models["digits_cnn_interacting"], fives, rank=2)

    assert (found.target, found.facts["decided"]) == (5, 2)


def test_pictures_that_cannot_be_read_are_named_and_left_out(models):
    def broken() -> Picture:
        raise PictureError("no picture")

    found, skipped = fit_concepts(models["digits_cnn_interacting"], [Sample("x.png", broken), *SAMPLES], 5, rank=2)

    assert skipped == ["x.png: no picture"]
    assert found.facts["pictures"] == 6
    with pytest.raises(PictureError, match="none could be read"):
        fit_concepts(models["digits_cnn_interacting"], [Sample("x.png", broken)], 5)


@pytest.mark.parametrize("rank", [0, 33])
def test_ranks_beyond_crops_and_channels_are_refused(models, rank):
    with pytest.raises(OptionError, match="rank from 1 to 32"):
        fit_concepts(models["digits_cnn_interacting"], SAMPLES, 5, rank=rank)


def test_patches_have_no_concepts():
    with pytest.raises(OptionError, match="leave out --units"):
        fit_concepts(load(demo_path("digits_cnn_additive"), units="patch"), SAMPLES, 5)


def test_what_is_written_is_read_again(models, fitted, tmp_path):
    model, file = models["digits_cnn_interacting"], tmp_path / "c.npz"
    write_concepts(fitted[0], model, file)
    found = open_concepts(file, model)

    for name in KIND.arrays:
        np.testing.assert_array_equal(getattr(found, name), getattr(fitted[0], name))
    assert (found.target, found.label, found.facts) == (5, "five", fitted[0].facts)


def test_another_model_or_split_is_refused(models, fitted, tmp_path):
    file = tmp_path / "c.npz"
    write_concepts(fitted[0], models["digits_cnn_interacting"], file)

    with pytest.raises(FittedFileError, match="on another model"):
        open_concepts(file, models["digits_cnn_additive"])
    candidates = models["digits_cnn_interacting"].opened.candidates
    other = next(c.tensor.name for c in candidates if c.tensor.name != models["digits_cnn_interacting"].split.tensor)
    with pytest.raises(FittedFileError, match="at another split"):
        open_concepts(file, load(demo_path("digits_cnn_interacting"), split=other))
    with pytest.raises(FittedFileError, match="under other preprocessing"):
        open_concepts(file, load(demo_path("digits_cnn_interacting"), mean=(0.3,)))

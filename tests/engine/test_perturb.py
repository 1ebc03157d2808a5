"""Perturbed pictures are what their masks say, whatever the layout and the batch, and never more than a batch."""

from dataclasses import replace

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.perturb import grid_labels, perturbed, pieces, score_features, smooth
from ddcam.engine.problem import Problem
from ddcam.engine.saliency import enlarge
from ddcam.engine.search.predicate import probabilities


def masks(count: int) -> np.ndarray:
    return np.random.default_rng(3).random((count, 16, 16), np.float32)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("baseline", ["zero", "black", "blur"])
def test_a_mask_mixes_picture_and_baseline(zoo, load_here, layout, baseline):
    problem = Problem(load_here(zoo.build("plain", layout=layout)[0]), zoo.pictures(1, layout))
    view = perturbed(problem, baseline=baseline, score="logit")
    hidden, shown = problem.baseline(baseline), masks(3)
    visible = shown[:, None] if layout == "NCHW" else shown[..., None]
    expected = problem.score_images(visible * problem.picture + (1 - visible) * hidden)[:, problem.target]

    assert view.size == (16, 16)
    np.testing.assert_allclose(view.scores(shown, lambda rows: rows), expected, rtol=1e-4, atol=1e-5)


def test_the_batch_changes_no_score_and_bounds_the_pictures(zoo, load_here):
    model = load_here(zoo.build("hidden")[0])
    problem, found, sizes = Problem(model, zoo.pictures(1)), [], []
    for batch in (1, 3, 7):
        model.__dict__["whole"] = replace(model.whole, batch=batch)
        sizes.append({len(scores) for _, scores in perturbed(problem).each(masks(7), lambda rows: rows)})
        found.append(perturbed(problem).scores(masks(7), lambda rows: rows))

    assert [max(size) for size in sizes] == [1, 3, 7]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_scores_are_probabilities_or_logits_of_the_target(zoo, load_here):
    problem = Problem(
        load_here(zoo.build("plain", ending="Softmax")[0]), zoo.pictures(1), target="3", preserve="confidence:0.5"
    )
    everything = np.ones((1, 16, 16), np.float32)

    logit, share = (
        perturbed(problem, score=name).scores(everything, lambda rows: rows)[0] for name in ("logit", "prob")
    )

    assert logit == pytest.approx(problem.logits[3], rel=1e-4)
    assert share == pytest.approx(probabilities(problem.logits[None], "softmax")[0, 3], rel=1e-4)


def test_other_scores_and_baselines_are_refused(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))

    with pytest.raises(OptionError, match="score=prob or score=logit"):
        perturbed(problem, score="loss")
    with pytest.raises(OptionError, match="baseline"):
        perturbed(problem, baseline="noise")


def test_features_alone_cannot_be_perturbed(zoo, load_here):
    model = load_here(zoo.build("plain")[0])
    problem = Problem(model, None, features=model.features(zoo.pictures(1)))

    with pytest.raises(PictureError):
        perturbed(problem)


def test_a_grid_has_pieces_of_nearly_equal_size():
    labels = grid_labels((17, 30), 4)

    assert labels.shape == (17, 30)
    assert sorted(np.unique(labels)) == list(range(16))
    assert set(np.unique(labels, return_counts=True)[1]) <= {4 * 7, 4 * 8, 5 * 7, 5 * 8}
    np.testing.assert_array_equal(pieces(labels)(np.eye(16)[:1])[0], labels == 0)


def test_enlarged_maps_go_through_the_centres_of_the_cells():
    coarse = np.random.default_rng(0).normal(size=(2, 3, 5))
    large = smooth((9, 25))(coarse)

    np.testing.assert_allclose(large[:, 1::3, 2::5], coarse, rtol=1e-6)
    np.testing.assert_allclose(large[:, 0], large[:, 1])  # beyond the outermost centres the border cells go on
    np.testing.assert_allclose(enlarge(np.full((1, 2, 2), 7.0), (5, 5)), 7, rtol=1e-6)


# ----- features -----


@pytest.mark.parametrize("batch", ["N", 1])
def test_features_under_masks_of_units_score_as_the_search_scores_them(zoo, load_here, family, batch):
    problem = Problem(load_here(zoo.build(family, batch=batch)[0]), zoo.pictures(1))
    known, random = zoo.FAMILIES[family], np.random.default_rng(1)
    bits = random.integers(0, 2, (5, known.count)).astype(np.float32)
    as_maps = bits.reshape((5, 1, *problem.split.grid) if known.units == "token" else (5, known.count, 1, 1))

    np.testing.assert_allclose(score_features(problem, as_maps), problem.score(bits), rtol=1e-3, atol=1e-4)
    assert problem.model.rest.batch > 1, problem.model.rest.reason


def test_shares_of_cells_are_those_of_the_grid_in_either_layout(zoo, load_here):
    for layout in ("NCHW", "NHWC"):
        cells = Problem(load_here(zoo.build("plain", layout=layout)[0], units="cell"), zoo.pictures(1, layout))
        bits = np.random.default_rng(2).integers(0, 2, (4, cells.units)).astype(np.float32)

        found = score_features(cells, bits.reshape(4, 1, *cells.split.grid))

        np.testing.assert_allclose(found, cells.score(bits), rtol=1e-3, atol=1e-4)


def test_maps_lie_on_the_grid_whatever_the_units(zoo, load_here):
    for family, units in (("plain", "channel"), ("plain", "cell"), ("vit", "token"), ("mixer", "token")):
        problem = Problem(load_here(zoo.build(family)[0], units=units), zoo.pictures(1))

        assert problem.maps.shape[1:] == problem.split.grid
    np.testing.assert_array_equal(problem.maps[2, 1, 3], problem.features[7, 2])


def test_patches_have_no_maps(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0], units="patch"), zoo.pictures(1))

    with pytest.raises(OptionError, match="patch units have none"):
        _ = problem.maps

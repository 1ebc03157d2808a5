"""Confidence, flipping, imputation and infidelity, worked out by hand for models of a line or two."""

import numpy as np
import pytest

from ddcam.engine.answer import Attribution
from ddcam.engine.errors import OptionError
from ddcam.engine.metrics import METRICS, Attempt, Case
from ddcam.engine.metrics.imputation import dissection, impute
from ddcam.engine.metrics.infidelity import draw_squares, inside, misfit
from ddcam.engine.metrics.ladder import ranks
from ddcam.engine.metrics.road import removed, shares_of

SIDE = 4
LEFT = np.zeros((SIDE, SIDE), bool)
LEFT[:, :2] = True


def left_less_right(inputs: np.ndarray) -> np.ndarray:
    """Class 1 has 0.5 + 0.4 * mean of the left half - 0.3 * mean of the right half."""
    share = 0.5 + 0.4 * inputs[:, 0, :, :2].mean(axis=(1, 2)) - 0.3 * inputs[:, 0, :, 2:].mean(axis=(1, 2))
    return np.stack([1 - share, share], axis=1)


def pose(**fields: object) -> Case:
    """Pose a white picture; black and its mean colour are 0."""
    nothing = np.zeros((1, 1, SIDE, SIDE))
    given = {"inputs": 1 + nothing, "layout": "NCHW", "target": 1, "score": left_less_right}
    return Case(**{**given, "mean": nothing, "black": nothing, **fields})


# ----- confidence: p = 0.6, of the left half alone 0.9, of the right half alone 0.2 -----


def test_increase_counts_pictures_that_are_worth_more_without_the_rest():
    assert METRICS["average-increase"](LEFT.astype(float), pose()) == 1
    assert METRICS["average-increase"](1.0 - LEFT, pose()) == 0


def test_a_tie_is_no_increase():
    always = pose(score=lambda inputs: np.full((len(inputs), 2), 0.5))

    assert METRICS["average-increase"](LEFT.astype(float), always) == 0


def test_gain_is_a_share_of_what_was_missing():
    assert METRICS["average-gain"](LEFT.astype(float), pose()) == pytest.approx(0.3 / 0.4)
    assert METRICS["average-gain"](1.0 - LEFT, pose()) == 0


def test_nothing_is_gained_where_nothing_is_missing():
    sure = pose(score=lambda inputs: np.tile([0.0, 1.0], (len(inputs), 1)))

    assert METRICS["average-gain"](LEFT.astype(float), sure) == 0


def test_the_drop_in_deletion_is_that_of_the_other_half():
    assert METRICS["average-drop-in-deletion"](LEFT.astype(float), pose()) == pytest.approx(0.4 / 0.6)
    assert METRICS["average-drop-in-deletion"](1.0 - LEFT, pose()) == pytest.approx(-0.3 / 0.6)


def test_a_drop_from_nothing_is_none():
    never = pose(score=lambda inputs: np.tile([1.0, 0.0], (len(inputs), 1)))

    assert METRICS["average-drop-in-deletion"](LEFT.astype(float), never) == 0


# ----- pixel flipping -----


def test_flipping_in_two_steps_ends_where_it_should():
    # Left half gone: 0.2; all gone: 0.5. Right half first: 0.9, then 0.5.
    assert METRICS["pixel-flipping"](LEFT.astype(float), pose(), pixels=8) == pytest.approx((0.2 + 0.5) / 2)
    assert METRICS["pixel-flipping"](1.0 - LEFT, pose(), pixels=8) == pytest.approx((0.9 + 0.5) / 2)


def test_the_last_step_may_be_shorter():
    # 6 of 8 left pixels gone: 0.6 - 0.3 = 0.3; 4 right ones more: 0.5 - 0.3 / 2 = 0.35; nothing: 0.5
    expected = (0.3 / 2 + 0.35 + 0.5 / 2) / 2

    assert METRICS["pixel-flipping"](LEFT.astype(float), pose(), pixels=6) == pytest.approx(expected)


def test_one_step_is_one_point_and_every_pixel_is_a_step_of_a_small_map():
    assert METRICS["pixel-flipping"](LEFT.astype(float), pose(), pixels=99) == pytest.approx(0.5)
    every = METRICS["pixel-flipping"](LEFT.astype(float), pose(), pixels=1)
    assert METRICS["pixel-flipping"](LEFT.astype(float), pose()) == every


# ----- ROAD -----


def test_road_is_the_half_difference_of_worst_and_best_removed():
    # Half of a white picture with a black right half: what is removed becomes what its neighbours are.
    inputs = LEFT[None, None].astype(float)
    last = {"percentiles": "50", "noise": 0.0}
    case, best = pose(inputs=inputs), LEFT.astype(float)

    assert METRICS["road"](best, case, order="morf", **last) == pytest.approx(0.5)  # all is black
    assert METRICS["road"](best, case, order="lerf", **last) == pytest.approx(0.6)  # all is white
    assert METRICS["road"](best, case, **last) == pytest.approx(0.05)
    assert METRICS["road"](1.0 - LEFT, case, **last) == pytest.approx(-0.05)


def test_road_is_the_mean_over_percentiles():
    case, best = pose(inputs=np.random.default_rng(0).random((1, 1, SIDE, SIDE))), LEFT + np.tri(SIDE)
    single = [METRICS["road"](best, case, percentiles=share, noise=0.0) for share in ("25", "75")]

    assert METRICS["road"](best, case, percentiles="25/75", noise=0.0) == pytest.approx(np.mean(single))


def test_the_best_and_the_worst_are_removed_in_ties_too():
    masks = removed(ranks(np.zeros((SIDE, SIDE))), [0.25, 0.5], ("lerf", "morf"))

    assert [mask.any(axis=1).tolist() for mask in masks] == [
        [False, False, False, True],
        [True, False, False, False],
        [False, False, True, True],
        [True, True, False, False],
    ]


@pytest.mark.parametrize("text", ["0", "100", "20/120", "", "20,40", "nan"])
def test_percentiles_that_leave_nothing_to_do_are_refused(text: str):
    with pytest.raises(OptionError, match="expected percentiles between 0 and 100"):
        shares_of(text)


def fill(picture: np.ndarray, mask: np.ndarray, noise: float = 0.0) -> np.ndarray:
    filled = impute(picture[None, None], "NCHW", mask, noise, np.random.default_rng(0))
    return np.asarray(filled[0, 0])


def test_a_pixel_alone_becomes_the_weighted_mean_of_its_eight_neighbours():
    picture = np.array([[12.0, 6, 0], [0, 99, 0], [0, 0, 24]])
    mask = np.zeros((3, 3), bool)
    mask[1, 1] = True

    assert fill(picture, mask)[1, 1] == pytest.approx(6 / 6 + (12 + 24) / 12)


def test_a_corner_has_three_neighbours_and_their_weights_sum_to_one():
    picture = np.array([[99.0, 1, 0], [2, 6, 0], [0, 0, 0]])
    mask = np.zeros((3, 3), bool)
    mask[0, 0] = True

    assert fill(picture, mask)[0, 0] == pytest.approx((1 / 6 + 2 / 6 + 6 / 12) / (5 / 12))


def test_between_two_edges_a_ramp_is_filled_in():
    ramp = np.tile(np.arange(5.0), (6, 1))
    mask = np.zeros((6, 5), bool)
    mask[:, 1:4] = True

    np.testing.assert_allclose(fill(np.where(mask, 99, ramp), mask), ramp, atol=1e-12)


def test_every_channel_and_layout_is_filled_alike():
    picture = np.random.default_rng(0).random((1, 3, 9, 7))
    mask = np.random.default_rng(1).random((9, 7)) < 0.8
    first = impute(picture, "NCHW", mask, 0.0, np.random.default_rng(0))
    last = impute(np.moveaxis(picture, 1, 3), "NHWC", mask, 0.0, np.random.default_rng(0))

    np.testing.assert_allclose(np.moveaxis(last, 3, 1), first)
    np.testing.assert_allclose(first[0, 2], fill(picture[0, 2], mask))
    np.testing.assert_array_equal(first[:, :, ~mask], picture[:, :, ~mask])


def test_noise_lies_on_what_was_imputed_only():
    mask = np.random.default_rng(1).random((40, 40)) < 0.5
    noise = fill(np.ones((40, 40)), mask, 0.1) - 1

    assert not noise[~mask].any()
    assert noise[mask].std() == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 5), (40, 33)])
def test_a_dissection_is_every_pixel_once(size: tuple[int, int]):
    assert sorted(dissection(*size)) == list(range(size[0] * size[1]))


# ----- infidelity -----


def tried(signed: np.ndarray, **fields: object) -> Case:
    return pose(attempt=Attempt(Attribution("x", signed, signed, ""), signed, 0.0, None), **fields)


TRUE = np.where(LEFT, 0.4, -0.3) / 8
"""What each pixel adds to the probability."""


@pytest.mark.parametrize("options", [{}, {"scale": "none"}, {"scores": "gradient"}, {"samples": 3, "seed": 9}])
def test_a_map_of_what_each_pixel_adds_is_faithful(options: dict[str, object]):
    # The picture is 1 and the mean colour 0, so that slopes and contributions are the same.
    assert METRICS["infidelity"](LEFT, tried(TRUE), **options) == pytest.approx(0, abs=1e-15)


def test_the_best_factor_makes_up_for_another_unit_and_not_for_another_sign():
    lost = METRICS["infidelity"](LEFT, tried(0 * TRUE))

    assert METRICS["infidelity"](LEFT, tried(7 * TRUE)) == pytest.approx(0, abs=1e-15)
    assert METRICS["infidelity"](LEFT, tried(-TRUE)) == pytest.approx(lost) != 0
    assert METRICS["infidelity"](LEFT, tried(3 * TRUE), scale="none") == pytest.approx(4 * lost)


def test_slopes_are_weighed_by_what_was_taken_away():
    half = tried(TRUE, inputs=np.full((1, 1, SIDE, SIDE), 0.5))

    assert METRICS["infidelity"](LEFT, half, scores="gradient", scale="none") == pytest.approx(0, abs=1e-15)
    assert METRICS["infidelity"](LEFT, half, scale="none") > 1e-6


def test_noise_on_the_squares_is_seen_by_slopes():
    noisy = {"scores": "gradient", "scale": "none", "noise": 0.3}

    assert METRICS["infidelity"](LEFT, tried(TRUE), **noisy) == pytest.approx(0, abs=1e-12)


def test_misfit_by_hand():
    told, drops = np.array([1.0, 2.0]), np.array([2.0, 2.0])

    assert misfit(told, drops, "none") == pytest.approx(0.5)
    assert misfit(told, drops, "best") == pytest.approx(((1.2 - 2) ** 2 + (2.4 - 2) ** 2) / 2)  # b = 6 / 5


def test_squares_lie_in_the_picture_and_have_sides_of_an_eighth_to_a_half():
    squares = draw_squares(np.random.default_rng(0), 500, (48, 32))
    areas = inside(squares, (48, 32)).sum(axis=(1, 2))

    assert set(squares[:, 2]) == set(range(4, 17))
    np.testing.assert_array_equal(areas, squares[:, 2] ** 2)
    assert (squares[:, 0] + squares[:, 2]).max() == 48
    assert squares[:, :2].min() == 0

"""Noise, shuffled weights and other classes, worked out by hand."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.metrics import METRICS, Case
from ddcam.engine.metrics.likeness import likeness, ranked

SIDE = 8
ROWS, COLUMNS = (axis.astype(float) for axis in np.mgrid[:SIDE, :SIDE])


def pose(**fields: object) -> Case:
    """Pose a picture of values from -1 to 3, of four classes."""
    inputs = np.zeros((1, 1, SIDE, SIDE), np.float32)
    inputs[0, 0, 0, :2] = -1, 3

    def score(given: np.ndarray) -> np.ndarray:
        return np.tile([0.1, 0.2, 0.5, 0.2], (len(given), 1))

    return Case(**{"inputs": inputs, "layout": "NCHW", "target": 2, "score": score, "mean": 0 * inputs,
                   "black": 0 * inputs, **fields})  # fmt: skip


def refuses(*_: object) -> np.ndarray:
    raise PictureError("decided otherwise")


# ----- max-sensitivity -----


def test_sensitivity_is_the_largest_relative_change():
    maps = iter([ROWS, 1.5 * ROWS, 3 * ROWS, 0.5 * ROWS, ROWS])

    assert METRICS["max-sensitivity"](ROWS, pose(explain=lambda _: next(maps))) == pytest.approx(2)


def test_noise_is_as_large_as_it_is_said_to_be():
    seen = []
    case = pose(explain=lambda inputs: seen.append(inputs) or ROWS)

    assert METRICS["max-sensitivity"](ROWS, case, samples=30, radius=0.05) == 0
    noise = np.array(seen) - case.inputs
    assert len(seen) == 30
    assert 0.19 < np.abs(noise).max() <= 0.2 + 1e-6  # 0.05 of a range of 4
    assert {each.dtype for each in seen} == {case.inputs.dtype}
    assert len(np.unique(noise)) > noise.size / 2


def test_a_noisy_picture_that_the_method_gives_up_on_is_left_out():
    answers = iter([refuses, lambda: 2 * ROWS, refuses])

    assert METRICS["max-sensitivity"](ROWS, pose(explain=lambda _: next(answers)()), samples=3) == pytest.approx(1)


def test_sensitivity_is_not_defined_where_no_map_is():
    assert np.isnan(METRICS["max-sensitivity"](ROWS, pose(explain=refuses)))
    assert np.isnan(METRICS["max-sensitivity"](0 * ROWS, pose(explain=lambda _: ROWS)))


# ----- likeness -----


@pytest.mark.parametrize("by", ["rank", "ssim"])
def test_a_map_is_like_itself_in_other_units(by: str):
    assert likeness(ROWS, 3 * ROWS + 5, by) == pytest.approx(1)


def test_rank_correlation_sees_the_order_only():
    assert likeness(ROWS, np.exp(ROWS), "rank") == pytest.approx(1)
    assert likeness(ROWS, -ROWS, "rank") == pytest.approx(-1)
    assert likeness(ROWS, COLUMNS, "rank") == pytest.approx(0)


def test_equal_values_share_their_ranks():
    assert ranked(np.array([5.0, 1.0, 5.0, 7.0])).tolist() == [2.5, 1.0, 2.5, 4.0]


def test_rank_correlation_by_hand():
    # Ranks 1 2 3 4 and 2 1 4 3: rho = 1 - 6 * 4 / (4 * 15)
    first, second = np.array([[1.0, 2], [3, 4]]), np.array([[20.0, 10], [40, 30]])

    assert likeness(first, second, "rank") == pytest.approx(0.6)


@pytest.mark.parametrize("by", ["rank", "ssim"])
def test_a_constant_map_is_not_compared(by: str):
    assert np.isnan(likeness(0 * ROWS, 0 * ROWS + 3, by))
    assert np.isnan(likeness(0 * ROWS, ROWS, by))
    assert np.isnan(likeness(ROWS, 0 * ROWS, by))


def test_maps_that_cannot_be_compared_are_refused():
    with pytest.raises(OptionError, match="expected maps of one size"):
        likeness(ROWS, ROWS[1:], "rank")
    with pytest.raises(OptionError, match="at least 7 x 7"):
        likeness(ROWS[:6], COLUMNS[:6], "ssim")


# ----- randomisation -----


def test_model_randomisation_is_the_likeness_to_the_map_of_the_shuffled_model():
    case = pose(explain_randomised=lambda: -ROWS)

    assert METRICS["model-randomisation"](ROWS, case) == pytest.approx(-1)
    assert METRICS["model-randomisation"](ROWS, case, likeness="ssim") == likeness(ROWS, -ROWS, "ssim")


def test_label_randomisation_asks_for_the_second_class():
    asked = []
    case = pose(explain_class=lambda label: asked.append(label) or COLUMNS)

    assert METRICS["label-randomisation"](ROWS, case) == pytest.approx(0)
    assert asked == [1]  # the first of two equally probable ones


def test_label_randomisation_draws_any_class_but_the_target():
    asked = []
    case = pose(explain_class=lambda label: asked.append(label) or COLUMNS)
    for seed in range(30):
        METRICS["label-randomisation"](ROWS, case, other="random", seed=seed)

    assert set(asked) == {0, 1, 3}


def test_a_model_of_one_score_has_no_other_class():
    case = pose(explain_class=lambda _: ROWS, target=0, score=lambda given: np.full((len(given), 1), 0.7))

    assert np.isnan(METRICS["label-randomisation"](ROWS, case))


def test_a_method_that_gives_up_is_not_judged():
    assert np.isnan(METRICS["label-randomisation"](ROWS, pose(explain_class=refuses)))
    assert np.isnan(METRICS["model-randomisation"](ROWS, pose(explain_randomised=refuses)))

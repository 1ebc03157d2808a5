"""Each metric against a model whose answer can be worked out by hand: probability = share of bright pixels shown."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.metrics import Case, unit_range
from ddcam.engine.metrics.adcc import adcc, harmonic
from ddcam.engine.metrics.average_drop import average_drop, masked
from ddcam.engine.metrics.coherency import coherency
from ddcam.engine.metrics.complexity import complexity
from ddcam.engine.metrics.deletion import deletion
from ddcam.engine.metrics.energy import energy
from ddcam.engine.metrics.insertion import insertion
from ddcam.engine.metrics.ladder import best, ranks, sizes
from ddcam.engine.metrics.pointing_game import pointing_game
from ddcam.engine.metrics.restoring_area import restoring_area

SIDE = 4
BRIGHT = np.zeros((SIDE, SIDE), bool)
BRIGHT[1:3, 1:3] = True
GOOD, BAD = BRIGHT.astype(float), 1.0 - BRIGHT


def mean_of_bright(inputs: np.ndarray) -> np.ndarray:
    """Class 1 has the mean of the four bright pixels as its probability, class 0 the rest."""
    share = inputs[:, 0][:, BRIGHT].mean(axis=1)
    return np.stack([1 - share, share], axis=1)


def pose(**fields: object) -> Case:
    """Pose a picture that is 1 on the bright square and 0 around it; its mean colour and black are 0."""
    nothing = np.zeros((1, 1, SIDE, SIDE))
    defaults = {
        "inputs": BRIGHT[None, None].astype(float),
        "layout": "NCHW",
        "target": 1,
        "score": mean_of_bright,
        "mean": nothing,
        "black": nothing,
        "box": BRIGHT,
    }
    return Case(**{**defaults, **fields})


# ----- insertion, deletion, restoring area -----


def test_insertion_is_the_area_under_a_ramp_and_then_one():
    # 16 rungs of one pixel: the four bright pixels first, p = 0, 1/4, 1/2, 3/4, 1, 1, ...: area (2 + 12) / 16
    assert insertion(GOOD, pose(), substrate="mean", count=16) == pytest.approx(14 / 16)


def test_insertion_of_the_wrong_order_waits_for_the_last_pixels():
    assert insertion(BAD, pose(), substrate="mean", count=16) == pytest.approx(2 / 16)


def test_deletion_is_the_mirror_of_insertion():
    assert deletion(GOOD, pose(), count=16) == pytest.approx(2 / 16)
    assert deletion(BAD, pose(), count=16) == pytest.approx(14 / 16)


def test_deletion_hides_with_the_substrate_that_is_asked_for():
    white = pose(black=np.ones((1, 1, SIDE, SIDE)))

    assert deletion(GOOD, white, substrate="black", count=16) == pytest.approx(1)


def test_ties_are_broken_in_reading_order():
    # Rows of one class: of a constant map the first row comes first.
    def first_row(inputs):
        share = inputs[:, 0, 0].mean(axis=1)
        return np.stack([1 - share, share], axis=1)

    case = pose(inputs=np.ones((1, 1, SIDE, SIDE)), score=first_row)

    assert insertion(np.zeros((SIDE, SIDE)), case, substrate="mean", count=4) == pytest.approx(3.5 / 4)


def test_equal_pixels_come_in_reading_order():
    stripes = np.tile([0.0, 1.0, 0.5], 400).reshape(40, 30)
    third = best(ranks(stripes), sizes(stripes, 12))[2].ravel()

    assert np.flatnonzero(third).tolist() == list(range(1, 600, 3))


def test_a_large_map_without_an_opinion_is_revealed_from_the_top():
    flat = np.zeros((40, 30))
    shown = best(ranks(flat), sizes(flat, 4))

    for rung, rows in enumerate((0, 10, 20, 30, 40)):
        assert shown[rung, :rows].all()
        assert not shown[rung, rows:].any()


def test_restoring_area_is_the_first_rung_that_decides_for_the_target():
    # p > 1/2 from the third bright pixel on, and ties go to class 0.
    assert restoring_area(GOOD, pose(), substrate="mean", count=16) == 3 / 16
    assert restoring_area(BAD, pose(), substrate="mean", count=16) == 15 / 16


def test_restoring_area_takes_the_first_rung_though_a_later_one_fails():
    def only_when_half(inputs):
        half = inputs[:, 0].sum(axis=(1, 2)) == 2
        return np.stack([~half, half], axis=1).astype(float)

    assert restoring_area(GOOD, pose(score=only_when_half), substrate="mean", count=16) == 2 / 16


def test_restoring_area_is_0_where_nothing_need_be_shown_and_1_where_nothing_helps():
    always = pose(score=lambda x: np.tile([0.0, 1.0], (len(x), 1)))
    never = pose(score=lambda x: np.tile([1.0, 0.0], (len(x), 1)))

    assert restoring_area(GOOD, always) == 0
    assert restoring_area(GOOD, never) == 1


# ----- average drop, coherency, complexity, ADCC -----


def test_average_drop_is_the_lost_share_of_confidence():
    half = GOOD * 0.5 + 0.0
    half[1, 1] = 1  # the map in 0..1 dims three of four bright pixels to one half: p = 2.5 / 4

    assert average_drop(half, pose()) == pytest.approx(1.5 / 4)
    assert average_drop(GOOD, pose()) == 0
    assert average_drop(BAD, pose()) == pytest.approx(1)


def test_average_drop_is_relative_to_the_confidence_that_was_there():
    dim = pose(inputs=0.5 * BRIGHT[None, None])

    assert average_drop(BAD, dim) == pytest.approx(1)


def test_a_rise_is_no_negative_drop():
    case = pose(inputs=np.full((1, 1, SIDE, SIDE), 0.2), mean=np.ones((1, 1, SIDE, SIDE)))

    assert average_drop(BAD, case) == 0


def test_the_map_is_brought_to_0_to_1_first():
    assert average_drop(5 + 3 * GOOD, pose()) == 0
    assert average_drop(2 + 3 * np.tri(SIDE), pose()) == pytest.approx(1 / 4)  # one of the four pixels is hidden
    assert complexity(5 + 3 * GOOD, pose()) == pytest.approx(4 / 16)
    assert energy(5 + 3 * GOOD, pose()) == pytest.approx(1)


def test_what_is_hidden_fades_to_the_mean_colour_in_either_layout():
    mean = np.array([2.0, 3.0, 4.0])
    first = pose(inputs=np.zeros((1, 3, SIDE, SIDE)), mean=np.broadcast_to(mean[:, None, None], (1, 3, SIDE, SIDE)))
    last = pose(inputs=np.zeros((1, SIDE, SIDE, 3)), mean=np.broadcast_to(mean, (1, SIDE, SIDE, 3)), layout="NHWC")

    np.testing.assert_allclose(masked(GOOD, first)[0], mean[:, None, None] * BAD)
    np.testing.assert_allclose(np.moveaxis(masked(GOOD, last)[0], 2, 0), mean[:, None, None] * BAD)


def test_complexity_is_the_mean_of_the_map():
    assert complexity(np.linspace(0, 1, 16).reshape(SIDE, SIDE), pose()) == pytest.approx(0.5)


@pytest.mark.parametrize(("again", "expected"), [(GOOD, 1), (2 * GOOD + 7, 1), (BAD, 0), (np.zeros_like(GOOD), 0)])
def test_coherency_is_the_correlation_of_the_map_with_the_map_of_what_it_shows(again, expected):
    assert coherency(GOOD, pose(explain=lambda _: again)) == pytest.approx(expected)


def test_coherency_of_independent_maps_is_one_half():
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(float)

    assert coherency(rows, pose(explain=lambda _: columns)) == pytest.approx(0.5)


def test_the_method_is_run_again_on_the_dimmed_picture():
    seen = []
    case = pose(inputs=np.ones((1, 1, SIDE, SIDE)), explain=lambda x: seen.append(x) or GOOD)
    coherency(GOOD, case)

    np.testing.assert_array_equal(seen[0][0, 0], GOOD)


def test_a_method_that_gives_up_on_the_dimmed_picture_is_not_coherent():
    def refuses(_):
        raise PictureError("decided otherwise")

    assert coherency(GOOD, pose(explain=refuses)) == 0


def test_adcc_is_the_harmonic_mean_of_its_parts():
    assert harmonic(0.5, 0.5, 0.5) == pytest.approx(0.5)
    assert harmonic(1, 0.75, 0.5) == pytest.approx(3 / (1 + 4 + 2))
    assert harmonic(1, 1, 0) == 0
    # The map covers a quarter, drops nothing and is found again.
    assert adcc(GOOD, pose(explain=lambda _: GOOD)) == pytest.approx(3 / (1 + 4 / 3 + 1))


# ----- energy and pointing -----


def test_a_map_equal_to_the_box_has_all_energy_inside():
    assert energy(GOOD, pose()) == 1
    assert energy(BAD, pose()) == 0


def test_energy_is_a_share():
    assert energy(np.eye(SIDE), pose()) == pytest.approx(2 / 4)


def test_a_constant_map_has_no_energy():
    assert energy(np.ones((SIDE, SIDE)), pose()) == 0


def test_pointing_hits_where_the_highest_pixel_is_inside():
    inside, outside = np.zeros((2, SIDE, SIDE))
    inside[2, 1] = outside[0, 0] = 1

    assert pointing_game(inside, pose()) == 1
    assert pointing_game(outside, pose()) == 0


def test_pointing_allows_pixels_around_the_box():
    corner, edge = np.zeros((2, SIDE, SIDE))
    corner[0, 0] = edge[0, 1] = 1

    assert pointing_game(edge, pose(), tolerance=1) == 1
    assert pointing_game(corner, pose(), tolerance=1) == 0
    assert pointing_game(corner, pose(), tolerance=2) == 1


def test_of_several_highest_pixels_the_share_inside_counts():
    assert pointing_game(np.eye(SIDE), pose()) == 0.5
    assert pointing_game(np.eye(SIDE), pose(box=np.zeros_like(BRIGHT)), tolerance=99) == 0


# ----- what is refused -----


def test_a_box_of_another_size_is_refused():
    with pytest.raises(OptionError, match="expected a map of"):
        energy(np.ones((2, 2)), pose())


def test_unit_range_of_a_constant_map_is_nothing():
    assert not unit_range(np.full((2, 2), 3.0)).any()

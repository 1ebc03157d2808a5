"""The map lies exactly where the units lie in the picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from ddcam.engine.saliency import for_the_eye, from_cells, from_channels, from_tokens, is_blank, saliency_map
from ddcam.engine.types import Placement


def whole(height: int, width: int) -> Placement:
    return Placement(height, width, 0, 0, height, width)


def one_hot(h: int, w: int, i: int, j: int) -> np.ndarray:
    grid_map = np.zeros((h, w), np.float32)
    grid_map[i, j] = 3
    return grid_map


def interpolated(grid_map: np.ndarray, place: Placement) -> np.ndarray:
    """The same by another implementation: sample the scaled map at the pixel centres, then cut."""
    y = np.arange(place.picture_height) + 0.5
    x = np.arange(place.picture_width) + 0.5
    i = (y - place.top) / (place.bottom - place.top) * grid_map.shape[0] - 0.5
    j = (x - place.left) / (place.right - place.left) * grid_map.shape[1] - 0.5
    values = map_coordinates(grid_map / grid_map.max(), np.meshgrid(i, j, indexing="ij"), order=1, mode="nearest")
    inside_y, inside_x = (y >= place.top) & (y < place.bottom), (x >= place.left) & (x < place.right)
    return values * inside_y[:, None] * inside_x[None, :]


def test_channels_are_weighted_summed_and_rectified():
    features = np.array([[[1, 2], [3, 4]], [[4, 3], [2, 1]]], np.float32)

    assert from_channels(np.array([1.0, -1.0]), features).tolist() == [[0, 0], [1, 3]]
    assert from_channels(np.array([2.0, 1.0]), features).tolist() == [[6, 7], [8, 9]]
    assert from_channels(np.zeros(2), features).tolist() == [[0, 0], [0, 0]]


def test_half_precision_channels_do_not_overflow():
    features = np.full((3, 2, 2), 60000, np.float16)

    weighted = from_channels(np.ones(3, np.float32), features)

    assert weighted.dtype == np.float32
    assert weighted == pytest.approx(np.full((2, 2), 3 * float(features[0, 0, 0])))


def test_a_channel_without_score_cannot_spread_its_infinity():
    features = np.stack([np.ones((2, 2)), np.full((2, 2), np.inf), np.full((2, 2), np.nan)])

    assert from_channels(np.array([1.0, 0.0, 0.0]), features).tolist() == [[1, 1], [1, 1]]
    assert is_blank(from_channels(np.array([1.0, 1.0, -1.0]), features))


def test_scores_and_features_of_different_counts_are_refused():
    with pytest.raises(IndexError):
        from_channels(np.ones(2), np.ones((3, 2, 2)))
    with pytest.raises(ValueError, match="reshape"):
        from_tokens(np.ones(5), (2, 3))


@pytest.mark.parametrize("lay", [from_tokens, from_cells])
def test_tokens_and_cells_are_laid_row_by_row(lay):
    laid = lay(np.array([1, -2, 3, 4, 5, -6.0]), (2, 3))

    assert laid.dtype == np.float32
    assert laid.tolist() == [[1, 0, 3], [4, 5, 0]]


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 3), (2, 4), (0, 4)])
def test_the_peak_of_a_cell_lies_at_its_centre(i, j):
    """3 x 5 cells of 11 x 7 pixels: odd, so that the centre of a cell is the centre of a pixel."""
    values = saliency_map(one_hot(3, 5, i, j), whole(33, 35))

    assert values.shape == (33, 35)
    assert values.dtype == np.float32
    assert values[11 * i + 5, 7 * j + 3] == 1
    rows, columns = np.nonzero(values == values.max())
    inner_row, inner_column = 0 < i < 2, 0 < j < 4
    assert not inner_row or set(rows) == {11 * i + 5}
    assert not inner_column or set(columns) == {7 * j + 3}


def test_the_border_cells_go_on_to_the_border():
    values = saliency_map(one_hot(3, 5, 0, 0), whole(33, 35))

    assert (values[:6, :4] == 1).all()


def test_a_crop_moves_the_cells_and_leaves_the_rest_dark():
    """A centre crop of 30 x 30 in a picture of 40 x 70, three cells of 10 pixels each way."""
    place = Placement(40, 70, 5, 20, 35, 50)

    values = saliency_map(one_hot(3, 3, 1, 1), place)

    assert values[19:21, 34:36] == pytest.approx(np.full((2, 2), 0.95**2))
    assert values.max() == values[19, 34]
    outside = np.ones((40, 70), bool)
    outside[5:35, 20:50] = False
    assert not values[outside].any()


def test_an_inner_cell_spreads_exactly_its_own_area():
    """Bilinear hats sum to one cell: 40 x 20 pixels, and the row and column sums are the two hats."""
    values = saliency_map(one_hot(4, 6, 2, 3), whole(160, 120))

    assert values.sum() == pytest.approx(40 * 20, rel=1e-6)
    assert values.sum(axis=1).max() == pytest.approx(20 * 0.9875, rel=1e-6)


def test_all_cells_together_make_the_crop_even():
    place = Placement(50, 60, 3.4, 10.6, 45.5, 52.4)

    together = sum(saliency_map(one_hot(3, 4, i, j), place) for i in range(3) for j in range(4))

    expected = np.zeros((50, 60))
    expected[3:45, 11:52] = 1  # the pixels whose centres lie in the rectangle
    assert together == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("size", [37, 411, 1000])
def test_an_even_map_is_even_and_never_above_one(size):
    values = saliency_map(np.full((7, 7), 0.3), whole(size, size))

    assert values.max() <= 1
    assert values.min() >= 1 - 1e-6


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_map_equals_scipys_interpolation(data):
    size, edge = st.integers(1, 40), st.floats(-20, 40)
    h, w = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9))
    top, left = data.draw(edge), data.draw(edge)
    high, wide = data.draw(st.floats(0.5, 60)), data.draw(st.floats(0.5, 60))
    place = Placement(data.draw(size), data.draw(size), top, left, top + high, left + wide)
    grid_map = np.random.default_rng(data.draw(st.integers(0, 99))).random((h, w)) + 0.01

    values = saliency_map(grid_map, place)

    assert values == pytest.approx(interpolated(grid_map, place), abs=2e-6)
    assert values.min() >= 0
    assert values.max() <= 1


def test_a_rectangle_may_exceed_the_picture():
    """A padded input: the picture is the middle of it, and the cell beyond its corner still shines in."""
    place = Placement(20, 20, -10, -10, 30, 30)

    values = saliency_map(one_hot(4, 4, 0, 0) + one_hot(4, 4, 1, 1), place)

    assert values == pytest.approx(interpolated(one_hot(4, 4, 0, 0) + one_hot(4, 4, 1, 1), place), abs=1e-6)
    assert values[4, 4] == pytest.approx(0.95**2 + 0.05**2, abs=1e-6)


def test_a_rectangle_beside_the_picture_gives_nothing():
    assert not saliency_map(np.ones((2, 2)), Placement(10, 10, 50, 50, 60, 60)).any()


@pytest.mark.parametrize("scale", [1e-300, 1e-42, 1.0, 1e30])
def test_the_scale_of_the_scores_does_not_matter(scale):
    grid_map = np.random.default_rng(0).random((4, 4))

    values = saliency_map(grid_map * scale, whole(16, 16))

    assert values == pytest.approx(saliency_map(grid_map, whole(16, 16)), abs=1e-5)


def test_negative_values_are_dark():
    grid_map = np.array([[-5.0, 0, 2]])

    assert saliency_map(grid_map, whole(1, 3)).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_a_map_without_a_finite_maximum_stays_zero(value):
    values = saliency_map(np.full((3, 3), value), whole(5, 5))

    assert values.tolist() == np.zeros((5, 5)).tolist()


@pytest.mark.parametrize(
    ("grid_map", "blank"),
    [
        (np.zeros((3, 3)), True),
        (np.full((3, 3), 0.7), True),
        (np.full((3, 3), 1e6) + np.eye(3) * 1e-2, True),
        (np.array([[1.0, np.nan]]), True),
        (np.array([[1.0, np.inf]]), True),
        (np.array([[-1.0, -2.0]]), True),
        (np.zeros((0, 3)), True),
        (np.ones((1, 1)), True),
        (np.eye(3), False),
        (np.eye(3) * 1e-30, False),
        (np.array([[-1.0, 0.5]]), False),
        (np.eye(3, dtype=np.float16), False),
    ],
)
def test_blank_maps_are_recognised(grid_map, blank):
    assert is_blank(grid_map) is blank


def test_a_few_bright_pixels_leave_something_to_see_of_the_others() -> None:
    saliency = np.zeros((20, 20), np.float32)
    saliency[5:15] = np.linspace(0.01, 0.1, 200).reshape(10, 20)
    saliency[7, 7] = 1

    seen = for_the_eye(saliency)

    assert seen.max() == 1
    assert seen[14, 10] > 0.9
    assert (seen == 1).sum() <= 3
    np.testing.assert_array_equal(seen == 0, saliency == 0)
    np.testing.assert_array_equal(for_the_eye(np.zeros((3, 3))), 0)

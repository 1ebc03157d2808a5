"""A place that is named holds what is said of it, and a map that is spread out names none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ddcam.engine.saliency import saliency_map
from ddcam.engine.types import Placement
from ddcam.engine.whereabouts import LEAST, PLACES, apart, seen_share, whereabouts

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
GRIDS = hnp.arrays(np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(0, 1, width=16))


def inside(name: str, height: int, width: int) -> np.ndarray:
    """Mark the pixels of a place one by one."""
    box = PLACES[name]
    rows, columns = (np.arange(length) + 0.5 for length in (height, width))
    down = (rows >= box.top * height) & (rows < box.bottom * height)
    across = (columns >= box.left * width) & (columns < box.right * width)
    return down[:, None] & across


def drawn(height: int, width: int, grid: np.ndarray, cropped: bool) -> tuple[np.ndarray, Placement]:
    """Bring a map into a picture of which the model saw all, or only a part."""
    seen = (height * 0.1, width * 0.3, height * 0.9, width * 0.8) if cropped else (0, 0, height, width)
    placement = Placement(height, width, *seen)
    return saliency_map(grid, placement), placement


@given(SIZES, GRIDS, st.booleans())
def test_every_share_is_that_of_the_named_place(size, grid, cropped):
    saliency, placement = drawn(*size, grid, cropped)
    found = whereabouts(saliency, placement)
    if found is None:
        assert not saliency.any()
        return
    ones, _ = drawn(*size, np.ones((1, 1), np.float32), cropped)
    for place in (*found.places, found.best):
        pixels = inside(place.name, *size)
        assert place.coverage == pytest.approx(saliency[pixels].sum(dtype=float) / saliency.sum(dtype=float))
        assert place.area == pytest.approx(ones[pixels].sum() / ones.sum())
    assert seen_share(placement) == pytest.approx(ones.sum() / ones.size)


@given(SIZES, GRIDS, st.booleans())
def test_no_place_does_better_than_the_best_and_none_is_named_without_cause(size, grid, cropped):
    saliency, placement = drawn(*size, grid, cropped)
    found = whereabouts(saliency, placement)
    if found is None:
        return
    ones, _ = drawn(*size, np.ones((1, 1), np.float32), cropped)
    for name in PLACES:
        pixels = inside(name, *size)
        if ones[pixels].any():
            gain = saliency[pixels].sum(dtype=float) / saliency.sum(dtype=float) - ones[pixels].sum() / ones.sum()
            assert gain <= found.best.gain + 1e-6
    assert bool(found.places) == (found.best.gain >= LEAST)
    assert all(place.coverage > place.area for place in found.places)


@given(SIZES, GRIDS, st.booleans())
def test_half_of_the_map_fits_on_the_area_that_is_said_and_on_no_smaller_one(size, grid, cropped):
    saliency, placement = drawn(*size, grid, cropped)
    found = whereabouts(saliency, placement)
    if found is None:
        return
    ones, _ = drawn(*size, np.ones((1, 1), np.float32), cropped)
    best_first, count = sorted(saliency.ravel().tolist(), reverse=True), round(found.half * float(ones.sum()))

    assert sum(best_first[:count]) >= sum(best_first) / 2 * (1 - 1e-6)
    assert sum(best_first[: count - 1]) <= sum(best_first) / 2 * (1 + 1e-6)


@pytest.mark.parametrize("name", PLACES)
def test_a_map_that_fills_a_place_is_said_to_lie_there(name):
    saliency = inside(name, 120, 120).astype(np.float32)
    found = whereabouts(saliency, Placement(120, 120, 0, 0, 120, 120))

    assert [place.name for place in found.places] == [name]
    assert found.best.coverage == 1


def test_two_spots_far_apart_are_two_places():
    saliency = (inside("the upper left corner", 90, 90) | inside("the lower right corner", 90, 90)).astype(np.float32)
    found = whereabouts(saliency, Placement(90, 90, 0, 0, 90, 90))

    assert {place.name for place in found.places} == {"the upper left corner", "the lower right corner"}
    assert apart(*(PLACES[place.name] for place in found.places))
    assert sum(place.coverage for place in found.places) == pytest.approx(1)


def test_a_map_that_is_the_same_wherever_the_model_looked_names_no_place():
    """A crop alone would put everything into the middle of the picture."""
    saliency, placement = drawn(40, 80, np.ones((1, 1), np.float32), True)

    assert whereabouts(saliency, placement).places == ()


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_a_map_of_nothing_lies_nowhere(value):
    assert whereabouts(np.full((4, 4), value, np.float32), Placement(4, 4, 0, 0, 4, 4)) is None

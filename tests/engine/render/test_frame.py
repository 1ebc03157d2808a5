"""The border of a chosen box is drawn just inside it, and of any shape."""

import numpy as np
import pytest

from ddcam.engine.render.frame import framed, inside, shrunk

GREY = np.full((120, 240, 3), 100, np.uint8)


def test_a_box_gets_a_white_and_a_dark_line_inside_it() -> None:
    drawn = framed(GREY, inside(GREY.shape, (40, 30, 100, 90)))
    changed = (drawn != GREY).any(axis=2)

    assert (np.flatnonzero(changed.any(axis=1))[[0, -1]] == (30, 89)).all()
    assert (np.flatnonzero(changed.any(axis=0))[[0, -1]] == (40, 99)).all()
    assert set(drawn[60, 40:42, 0]) == {255, 20}
    assert not changed[32:88, 42:98].any()


def test_without_a_region_the_picture_stays_as_it_is() -> None:
    assert framed(GREY, None) is GREY


def test_a_box_beyond_the_picture_is_drawn_as_far_as_it_goes() -> None:
    region = inside(GREY.shape, (-50, -50, 20, 500))

    assert region.sum() == 20 * 120
    assert (framed(GREY, region)[0, :20] == 255).all()


@pytest.mark.parametrize("by", [1, 3])
def test_shrinking_takes_off_what_is_near_the_outside(by: int) -> None:
    region = np.random.default_rng(0).random((30, 40)) > 0.05
    padded = np.pad(region, by)
    expected = [[padded[i : i + 2 * by + 1, j : j + 2 * by + 1].all() for j in range(40)] for i in range(30)]

    np.testing.assert_array_equal(shrunk(region, by), expected)

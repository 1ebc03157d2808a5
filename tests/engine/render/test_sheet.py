"""The sheet shows the picture first, then every map laid over it, and an empty tile where there is none."""

import numpy as np
import pytest

from ddcam.engine.render.lettering import pitch
from ddcam.engine.render.overlay import overlay
from ddcam.engine.render.sheet import BROADEST, EMPTY, MARGIN, NAME, Tile, sheet, tile_size

RNG = np.random.default_rng(0)
SIZE = (200, 300)
PICTURE = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def at(drawn: np.ndarray, index: int, top: int) -> np.ndarray:
    """Cut out the tile of a column, of a picture that needs no resizing."""
    left = MARGIN + index * (SIZE[1] + MARGIN)
    return drawn[top : top + SIZE[0], left : left + SIZE[1]]


def test_the_picture_comes_first_and_each_map_lies_over_it():
    maps = [RNG.random(SIZE).astype(np.float32) for _ in range(2)]
    drawn, top = sheet(PICTURE, [Tile(str(i), "", values) for i, values in enumerate(maps)], ""), MARGIN + pitch(NAME)

    assert tile_size(*SIZE) == SIZE
    np.testing.assert_array_equal(at(drawn, 0, top), PICTURE)
    for index, values in enumerate(maps):
        np.testing.assert_array_equal(at(drawn, index + 1, top), overlay(PICTURE, values))


def test_what_has_no_map_is_an_empty_tile_that_holds_the_reason():
    drawn = sheet(PICTURE, [Tile("cam", "refused: the head is not linear; take grad-cam", None)], "")
    tile = at(drawn, 1, MARGIN + pitch(NAME))

    assert (tile[SIZE[0] // 2 :] == EMPTY).all()
    assert (tile[: SIZE[0] // 2] < 130).any(), "words"
    assert not (at(sheet(PICTURE, [Tile("cam", "", None)], ""), 1, MARGIN + pitch(NAME)) != EMPTY).any()


def test_many_tiles_stand_in_rows_and_none_is_lost():
    values = np.zeros(SIZE, np.float32)
    one, seven = (sheet(PICTURE, [Tile("m", "note", values)] * count, "") for count in (1, 7))

    assert seven.shape[1] <= BROADEST
    assert seven.shape[0] > one.shape[0] + SIZE[0]
    columns = (seven.shape[1] - MARGIN) // (SIZE[1] + MARGIN)
    second = MARGIN + pitch(NAME) + (one.shape[0] - 2 * MARGIN)
    assert columns == 5
    for index in range(3):
        np.testing.assert_array_equal(at(seven, index, second), PICTURE)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5000, 20), (20, 5000), (28, 28), (1, 9000), (9000, 1)])
def test_any_picture_and_any_words_fit(height, width):
    size = tile_size(height, width)
    tiles = [Tile("x" * 400, "words " * 400, np.ones(size)), Tile("猫" * 9, "\x00 reason " * 400, None)]
    drawn = sheet(np.zeros((height, width, 3), np.uint8), tiles, "title " * 400)

    assert drawn.shape[1] <= BROADEST
    assert (drawn[[0, -1]] == 255).all()
    assert (drawn[:, [0, -1]] == 255).all()

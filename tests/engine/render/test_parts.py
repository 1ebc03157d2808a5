"""The sheet of parts: every picture of every row is on it, whatever its shape."""

import numpy as np
import pytest

from ddcam.engine.render.parts import SIDE, located, row_high, rows_of_pictures

RED, BLUE = (np.full((40, 40, 3), colour, np.uint8) for colour in ([200, 10, 10], [10, 10, 200]))


def share(page: np.ndarray, colour: np.ndarray) -> float:
    return float((np.abs(page.astype(int) - colour).max(axis=2) <= 2).sum())


def test_each_row_shows_its_pictures():
    page = rows_of_pictures("title", [("first", [RED, BLUE]), ("second", [RED])])

    assert page.dtype == np.uint8
    assert share(page, RED[0, 0]) == pytest.approx(2 * SIDE**2, rel=0.02)
    assert share(page, BLUE[0, 0]) == pytest.approx(SIDE**2, rel=0.02)


def test_the_page_grows_with_rows_and_pictures():
    small = rows_of_pictures("t", [("a", [RED])])
    assert rows_of_pictures("t", [("a", [RED])] * 3).shape[0] > small.shape[0]
    assert rows_of_pictures("t", [("a", [RED] * 9)]).shape[1] > small.shape[1]
    assert rows_of_pictures("no parts at all", []).shape[2] == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (30, 400)])
def test_odd_shapes_fit_a_row(shape):
    found = row_high(np.zeros((*shape, 3), np.uint8))

    assert 0 < found.height <= SIDE
    assert 0 < found.width <= 2 * SIDE


def test_a_located_map_is_bright_where_it_is():
    saliency = np.zeros((300, 400), np.float32)
    saliency[:150] = 1
    found = located(np.zeros((300, 400, 3), np.uint8), saliency).astype(int)

    assert found[: len(found) // 3].mean() > 20
    assert found[-len(found) // 3 :].mean() == 0

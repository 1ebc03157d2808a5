"""A mosaic holds every picture at half its size."""

import numpy as np
import pytest

from ddcam.engine.mosaic import laid_out


@pytest.mark.parametrize("place", range(4))
def test_the_first_picture_is_where_the_cell_says(place: int) -> None:
    images = [np.full((3, 8, 6), value, np.float32) for value in (1.0, 2, 3, 4)]
    made, cell = laid_out(images, place)

    assert cell.sum() == 12
    assert (made[:, cell] == 1).all()
    assert sorted(np.unique(made[:, ~cell])) == [2, 3, 4]


def test_a_picture_is_averaged_over_two_by_two_pixels() -> None:
    image = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    made, cell = laid_out([image, *[0 * image] * 3], 3)

    np.testing.assert_allclose(made[0][cell].reshape(4, 4), image[0].reshape(4, 2, 4, 2).mean((1, 3)), rtol=1e-5)


def test_odd_sizes_lose_nothing() -> None:
    images = [np.full((1, 7, 9), value, np.float32) for value in (1.0, 2, 3, 4)]
    made, cell = laid_out(images, 0)

    assert made.shape == (1, 7, 9)
    assert np.isfinite(made).all()
    assert cell.sum() == 3 * 4

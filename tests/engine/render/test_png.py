"""PNG files hold exactly the pixels."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ddcam.engine.render import from_map, png_bytes


@pytest.mark.parametrize(("shape", "mode"), [((7, 5, 3), "RGB"), ((7, 5), "L"), ((1, 1, 3), "RGB")])
def test_the_file_holds_the_pixels(shape, mode):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    data = png_bytes(pixels)

    assert data.startswith(b"\x89PNG\r\n")
    with Image.open(BytesIO(data)) as image:
        assert image.mode == mode
        assert (np.asarray(image) == pixels).all()


def test_the_same_pixels_give_the_same_file():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 50, 3), dtype=np.uint8)

    assert png_bytes(pixels) == png_bytes(pixels.copy())


def test_a_map_becomes_grey_pixels():
    saliency = np.array([[0, 0.25, 1]], np.float32)

    pixels = from_map(saliency)

    assert pixels.dtype == np.uint8
    assert pixels.tolist() == [[0, 64, 255]]
    assert png_bytes(pixels)

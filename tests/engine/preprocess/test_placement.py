"""The placement leads from the model input back to the same place of the picture, whatever its shape."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcam.engine.errors import PictureError
from ddcam.engine.preprocess import choose, from_pixels, prepare
from ddcam.engine.types import PictureInput, Placement, Preprocessing

NCHW = PictureInput("input", "float32", "NCHW", 3, 224, 224, True)
FREE = PictureInput("input", "float32", "NCHW", 3, None, None, True)


def raw(height, width, fit="crop", crop=1.0, resample="bilinear"):
    return Preprocessing("raw", height, width, fit, crop, resample, "RGB", 1.0, (0.0,) * 3, (1.0,) * 3, "a test")


def noise(height, width):
    return from_pixels(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def painted(height, width, center, size):
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = (int(c - size / 2) for c in center)
    pixels[top : top + size, left : left + size] = 255
    return from_pixels(pixels), (top + size / 2, left + size / 2)


@pytest.mark.parametrize("shape", [(600, 800), (800, 600), (700, 700), (333, 1000), (1000, 333)])
@pytest.mark.parametrize("size", [(224, 224), (96, 160), (160, 96)])
@pytest.mark.parametrize(("fit", "crop"), [("crop", 0.875), ("crop", 1.0), ("stretch", 1.0), ("stretch", 0.8)])
@pytest.mark.parametrize("place", [(0.5, 0.5), (0.35, 0.6), (0.62, 0.44)])
def test_a_bright_square_is_found_again_through_the_placement(shape, size, fit, crop, place):
    height, width = shape
    # Inside the middle that even the narrowest crop keeps.
    short = min(shape)
    center = [s / 2 + (p - 0.5) * short / 2 for s, p in zip(shape, place, strict=True)]
    picture, (y, x) = painted(height, width, center, short // 10)

    found, placement = prepare(picture, raw(*size, fit=fit, crop=crop), FREE)

    weights = found[0, 0]
    rows, columns = np.indices(weights.shape) + 0.5
    per_row = (placement.bottom - placement.top) / size[0]
    per_column = (placement.right - placement.left) / size[1]
    assert weights.max() > 200
    assert abs(placement.top + np.average(rows, weights=weights) * per_row - y) < per_row
    assert abs(placement.left + np.average(columns, weights=weights) * per_column - x) < per_column


@given(
    shape=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    fit=st.sampled_from(["crop", "stretch"]),
    crop=st.sampled_from([1.0, 0.95, 0.875, 0.5]),
)
@settings(max_examples=200, deadline=None)
def test_the_placement_is_a_centred_rectangle_of_the_picture(shape, size, fit, crop):
    found, p = prepare(noise(*shape), raw(*size, fit=fit, crop=crop, resample="nearest"), FREE)

    assert found.shape == (1, 3, *size)
    assert (p.picture_height, p.picture_width) == shape
    assert 0 <= p.top < p.bottom <= shape[0] + 1e-9
    assert 0 <= p.left < p.right <= shape[1] + 1e-9
    # The centre is off by less than one resized pixel.
    assert abs(p.top + p.bottom - shape[0]) <= 2 * (p.bottom - p.top) / size[0]
    assert abs(p.left + p.right - shape[1]) <= 2 * (p.right - p.left) / size[1]


@pytest.mark.parametrize("shape", [(480, 640), (640, 480)])
def test_the_short_side_of_a_landscape_or_portrait_is_covered_up_to_the_crop(shape):
    _, placement = prepare(noise(*shape), raw(224, 224, crop=0.875), FREE)

    assert placement.bottom - placement.top == pytest.approx(420, abs=1)
    assert placement.right - placement.left == pytest.approx(420, abs=1)


def test_an_input_that_is_not_square_is_covered_both_ways():
    _, placement = prepare(noise(100, 100), raw(64, 128), FREE)

    assert placement == Placement(100, 100, 25.0, 0.0, 75.0, 100.0)


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (1, 1), (2, 3)])
def test_thin_and_tiny_pictures_work_without_much_memory(shape):
    picture = noise(*shape)
    tracemalloc.start()

    found, placement = prepare(picture, choose(NCHW), NCHW)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.shape == (1, 3, 224, 224)
    assert 0 < placement.bottom - placement.top <= shape[0]
    assert peak < 50_000_000


def test_a_picture_that_is_endlessly_thin_is_refused():
    picture = from_pixels(np.zeros((1, 100_000), np.uint8))

    with pytest.raises(PictureError, match=r"expected up to 16777216 pixels a side.*array of 1x100000; cut"):
        prepare(picture, raw(224, 224, crop=0.875), NCHW)

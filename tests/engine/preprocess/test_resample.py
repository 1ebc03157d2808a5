"""Every pixel of a resize is Pillow's, whatever part of it is computed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ddcam.engine.preprocess.resample import Window, resize, resize_window

KERNELS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
SHAPES = [(64, 48), (97, 131), (33, 200), (5, 3)]
SIZES = [(64, 48), (31, 17), (64, 20), (150, 201), (211, 40), (1, 1)]


def pillow(pixels, height, width, kernel):
    """Columns, then rows: Pillow before version 13 always did so, and one axis at a time leaves no choice."""
    columns = Image.fromarray(pixels).resize((width, pixels.shape[0]), KERNELS[kernel])
    return np.asarray(columns.resize((width, height), KERNELS[kernel]))


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def photo(height, width):
    """Slopes, a hard edge and fine stripes: smooth and sharp places as in a photograph."""
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([255 * y / height, 255 * x / width, 127 + 127 * np.sin(x / 3 + y / 7)], axis=2)
    slopes[height // 4 : height // 2, width // 3 :] = (255, 0, 20)
    return slopes.astype(np.uint8)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("make", [noise, photo])
def test_up_and_down_it_is_pillow_to_the_last_level(make, kernel):
    for shape, size in itertools.product(SHAPES, SIZES):
        pixels = make(*shape)

        found = resize(pixels, *size, kernel)

        assert found.dtype == np.uint8
        assert np.array_equal(found, pillow(pixels, *size, kernel)), (shape, size)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_call_of_pillow_gives_the_same_where_the_aspect_ratio_is_kept(kernel):
    pixels = photo(300, 400)

    for width, height in [(341, 256), (40, 30), (800, 600)]:
        expected = np.asarray(Image.fromarray(pixels).resize((width, height), KERNELS[kernel]))
        assert np.array_equal(resize(pixels, height, width, kernel), expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_black_and_white_do_not_leave_the_range(kernel):
    pixels = np.where(noise(40, 40) > 127, 255, 0).astype(np.uint8)

    assert np.array_equal(resize(pixels, 133, 77, kernel), pillow(pixels, 133, 77, kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_constant_picture_stays_constant(kernel):
    pixels = np.full((23, 17, 3), 201, np.uint8)

    assert np.unique(resize(pixels, 50, 6, kernel)).tolist() == [201]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_resized_apart(channels):
    pixels = noise(30, 40)[..., [0, 1, 2, 0]][..., :channels]

    found = resize(pixels, 12, 55, "bicubic")

    for i in range(channels):
        assert np.array_equal(found[..., i : i + 1], resize(pixels[..., i : i + 1], 12, 55, "bicubic"))


def test_a_view_with_strides_counts_as_its_pixels():
    pixels = noise(60, 80)

    assert np.array_equal(
        resize(pixels[::2, ::-1], 20, 30, "lanczos"), resize(pixels[::2, ::-1].copy(), 20, 30, "lanczos")
    )


def test_the_picture_is_left_as_it_was():
    pixels = noise(20, 20)
    before = pixels.copy()

    resize(pixels, 20, 20, "bilinear")[:] = 0

    assert np.array_equal(pixels, before)


@given(
    kernel=st.sampled_from(sorted(KERNELS)),
    shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_a_window_is_the_crop_of_the_whole(kernel, shape, size, corner, share, seed):
    pixels = noise(*shape, seed)
    top, left = (int(c * (s - 1)) for c, s in zip(corner, size, strict=True))
    height, width = (1 + int(p * (s - 1 - first)) for p, s, first in zip(share, size, (top, left), strict=True))

    found = resize_window(pixels, *size, kernel, Window(top, left, height, width))

    whole = resize(pixels, *size, kernel)
    assert np.array_equal(whole, pillow(pixels, *size, kernel))
    assert np.array_equal(found, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1)])
def test_a_window_of_an_endless_picture_is_cheap(shape, kernel):
    """The whole would be 1 280 000 pixels long."""
    pixels = noise(*shape)
    size = (256, 1_280_000) if shape[0] == 1 else (1_280_000, 256)
    middle = Window((size[0] - 224) // 2, (size[1] - 224) // 2, 224, 224)

    found = resize_window(pixels, *size, kernel, middle)

    down, across = shape[0] / size[0], shape[1] / size[1]
    left, top = middle.left * across, middle.top * down
    box = (left, top, left + 224 * across, top + 224 * down)
    expected = np.asarray(Image.fromarray(pixels).resize((224, 224), KERNELS[kernel], box))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_tall_picture_goes_through_in_strips(monkeypatch):
    pixels = noise(900, 7)
    whole = resize(pixels, 30, 50, "lanczos")

    monkeypatch.setattr("ddcam.engine.preprocess.resample._NARROW", 50 * 3 * 40)
    monkeypatch.setattr("ddcam.engine.preprocess.resample._BLOCK", 64)

    assert np.array_equal(resize(pixels, 30, 50, "lanczos"), whole)

"""Model input has the right pixels in the right places, and the placement leads back to the picture."""

import hashlib
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.preprocess import PRESETS, choose, from_pixels, prepare
from ddcam.engine.types import PictureInput, Placement, Preprocessing

NCHW = PictureInput("input", "float32", "NCHW", 3, 224, 224, True)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def raw(height, width, fit="crop", crop=1.0, **more):
    start = Preprocessing("raw", height, width, fit, crop, "bilinear", "RGB", 1.0, (0.0,) * 3, (1.0,) * 3, "a test")
    return replace(start, **more)


def an_input(height=None, width=None, **more):
    return replace(NCHW, height=height, width=width, **more)


def noise(height, width, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return from_pixels(pixels)


def torchvision(image, size, resized, kernel=Image.Resampling.BILINEAR):
    """Resize the short side, CenterCrop and ToTensor, as torchvision does them with Pillow."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    new = (resized, int(resized * long / short))
    image = image.resize(new if width <= height else new[::-1], kernel)
    left, top = int(round((image.width - size) / 2.0)), int(round((image.height - size) / 2.0))  # noqa: RUF046
    image = image.crop((left, top, left + size, top + size))
    return np.asarray(image).transpose(2, 0, 1).astype(np.float32) / 255


# --- pixels ---


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (500, 333), (257, 255), (256, 256), (225, 800), (90, 70)])
@pytest.mark.parametrize("crop", [0.875, 1.0, 0.95, 0.9])
def test_it_is_torchvisions_resize_crop_and_normalize(shape, crop):
    picture = noise(*shape)
    preprocessing = replace(choose(NCHW), crop=crop)

    found, _ = prepare(picture, preprocessing, NCHW)

    tensor = torchvision(Image.fromarray(picture.pixels), 224, int(224 / crop))
    expected = (tensor - MEAN[:, None, None]) / STD[:, None, None]
    assert found.shape == (1, 3, 224, 224)
    assert np.abs(found[0] - expected).max() < 1e-5


@pytest.mark.data
def test_photographs_come_out_as_from_torchvision():
    folder = Path(os.environ.get("DDCAM_DATA", "/nonexistent")) / "images" / "imagenet-val160"
    photos = sorted(folder.glob("*.JPEG"))[:5]
    if not photos:
        pytest.skip("DDCAM_DATA names no pictures")
    for path in photos:
        image = Image.open(path).convert("RGB")

        found, _ = prepare(from_pixels(np.asarray(image)), choose(NCHW), NCHW)

        expected = (torchvision(image, 224, 256) - MEAN[:, None, None]) / STD[:, None, None]
        assert np.abs(found[0] - expected).max() < 1e-5


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_preset_is_its_formula(name, layout):
    model_input = an_input(6, 5, layout=layout)
    picture = noise(6, 5)

    found, _ = prepare(picture, choose(model_input, name=name), model_input)

    x = picture.pixels.astype(float)
    expected = {
        "imagenet": (x / 255 - MEAN) / STD,
        "unit": x / 255,
        "symmetric": x / 127.5 - 1,
        "raw": x,
        "caffe": x[..., ::-1] - [103.939, 116.779, 123.68],
        "cifar10": (x / 255 - [0.4914, 0.4822, 0.4465]) / [0.2023, 0.1994, 0.2010],
    }[name]
    expected = expected if layout == "NHWC" else expected.transpose(2, 0, 1)
    assert found.shape == model_input.shape(1, 6, 5)
    assert found.flags.c_contiguous
    assert np.allclose(found[0], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8"])
def test_the_input_has_the_models_type(dtype):
    model_input = an_input(8, 8, dtype=dtype)
    picture = noise(8, 8)

    found, _ = prepare(picture, choose(model_input, name="raw"), model_input)

    assert found.dtype == dtype
    assert np.array_equal(found[0].transpose(1, 2, 0), picture.pixels)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_one_channel_is_pillows_grey(layout):
    model_input = an_input(40, 30, channels=1, layout=layout)
    picture = noise(40, 30)

    found, _ = prepare(picture, choose(model_input, name="raw"), model_input)

    grey = np.asarray(Image.fromarray(picture.pixels).convert("L"))
    assert found.shape == model_input.shape(1, 40, 30)
    assert np.array_equal(found.reshape(40, 30), grey)


def test_grey_pixels_stay_what_they_are_in_one_channel():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    model_input = an_input(16, 16, channels=1)

    found, _ = prepare(from_pixels(grey), choose(model_input, name="raw"), model_input)

    assert np.array_equal(found[0, 0], grey)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_the_kernel_is_the_one_that_was_chosen(kernel):
    picture = noise(60, 80)

    found, _ = prepare(picture, raw(32, 32, resample=kernel), an_input())

    expected = torchvision(Image.fromarray(picture.pixels), 32, 32, Image.Resampling[kernel.upper()])
    assert np.abs(found[0] - 255 * expected).max() < 0.01


def test_a_picture_of_the_models_size_passes_as_it_is():
    picture = noise(224, 224)

    found, placement = prepare(picture, raw(224, 224, crop=0.875), NCHW)

    assert np.array_equal(found[0].transpose(1, 2, 0), picture.pixels)
    assert placement == Placement(224, 224, 0, 0, 224, 224)


def test_a_stretch_below_one_is_cut_as_timms_squash():
    picture = noise(90, 200)

    found, placement = prepare(picture, raw(36, 36, fit="stretch", crop=0.9), an_input())

    image = Image.fromarray(picture.pixels).resize((40, 90), 2).resize((40, 40), 2).crop((2, 2, 38, 38))
    assert np.array_equal(found[0].transpose(1, 2, 0), np.asarray(image))
    assert placement == Placement(90, 200, 4.5, 10.0, 85.5, 190.0)


@pytest.mark.parametrize(("crop_size", "whole"), [(299, 400), (289, 346), (192, 225), (224, 256)])
def test_a_crop_given_as_a_ratio_of_whole_numbers_finds_them_again(crop_size, whole):
    _, placement = prepare(noise(whole, whole), raw(crop_size, crop_size, crop=crop_size / whole), an_input())

    assert placement.bottom - placement.top == crop_size


# --- places ---


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

    found, placement = prepare(picture, raw(*size, fit=fit, crop=crop), an_input())

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
    found, p = prepare(noise(*shape), raw(*size, fit=fit, crop=crop, resample="nearest"), an_input())

    assert found.shape == (1, 3, *size)
    assert (p.picture_height, p.picture_width) == shape
    assert 0 <= p.top < p.bottom <= shape[0] + 1e-9
    assert 0 <= p.left < p.right <= shape[1] + 1e-9
    # The centre is off by less than one resized pixel.
    assert abs(p.top + p.bottom - shape[0]) <= 2 * (p.bottom - p.top) / size[0]
    assert abs(p.left + p.right - shape[1]) <= 2 * (p.right - p.left) / size[1]


@pytest.mark.parametrize("shape", [(480, 640), (640, 480)])
def test_the_short_side_of_a_landscape_or_portrait_is_covered_up_to_the_crop(shape):
    _, placement = prepare(noise(*shape), raw(224, 224, crop=0.875), an_input())

    assert placement.bottom - placement.top == pytest.approx(420, abs=1)
    assert placement.right - placement.left == pytest.approx(420, abs=1)


def test_an_input_that_is_not_square_is_covered_both_ways():
    _, placement = prepare(noise(100, 100), raw(64, 128), an_input())

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


# --- what does not fit ---


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3), (0, 0, 3), (4, 4), (4, 4, 4), (1, 4, 4, 3)])
def test_a_picture_without_rgb_pixels_is_refused(shape):
    picture = replace(noise(1, 1), pixels=np.zeros(shape, np.uint8))

    with pytest.raises(PictureError, match="expected uint8 pixels"):
        prepare(picture, choose(NCHW), NCHW)


@pytest.mark.parametrize(
    "wrong",
    [
        raw(225, 224),
        raw(224, 223),
        raw(224, 224, color="L"),
        raw(224, 224, mean=(0.0,)),
        raw(224, 224, std=(1.0,)),
        raw(224, 224, crop=0.0),
        raw(224, 224, crop=1.5),
    ],
)
def test_a_preprocessing_of_another_model_is_refused(wrong):
    with pytest.raises(OptionError, match=r"^expected .*, got .*; choose"):
        prepare(noise(9, 9), wrong, NCHW)


def test_values_beyond_float16_are_refused():
    with pytest.raises(OptionError, match="float16 can hold"):
        prepare(noise(9, 9), raw(224, 224, std=(1e-4,) * 3), replace(NCHW, dtype="float16"))


@pytest.mark.parametrize("more", [{"channels": 4}, {"channels": 2}, {"dtype": "int8"}, {"dtype": "bfloat16"}])
def test_an_input_that_no_picture_fits_is_refused(more):
    with pytest.raises(PictureError, match=r"^expected a model input .*, got input (with|of)"):
        prepare(noise(9, 9), raw(224, 224), replace(NCHW, **more))


# --- arrays ---


def test_arrays_become_rgb_pictures():
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    rgb = noise(4, 5).pixels

    assert np.array_equal(from_pixels(grey).pixels, np.stack([grey] * 3, axis=2))
    assert np.array_equal(from_pixels(grey[..., None]).pixels, np.stack([grey] * 3, axis=2))
    assert np.array_equal(from_pixels(rgb[:, ::-1]).pixels, rgb[:, ::-1])
    assert from_pixels(rgb, "a frame").name == "a frame"


def test_alpha_is_laid_over_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 255, 128]]], np.uint8)

    assert from_pixels(rgba).pixels.tolist() == [[[10, 20, 30], [255, 255, 255], [127, 177, 255]]]


def test_a_picture_keeps_its_pixels_when_the_array_changes():
    pixels = np.zeros((3, 3, 3), np.uint8)
    picture = from_pixels(pixels)

    pixels[:] = 9

    assert picture.pixels.max() == 0


def test_the_hash_tells_shapes_and_pixels_apart_and_nothing_else():
    flat, tall = np.zeros((2, 8), np.uint8), np.zeros((8, 2), np.uint8)
    pixels = np.zeros((2, 8, 3), np.uint8)

    assert from_pixels(flat).sha256 == hashlib.sha256(b"(2, 8, 3)" + bytes(48)).hexdigest()
    assert from_pixels(flat).sha256 == from_pixels(pixels, "other").sha256
    assert len({from_pixels(p).sha256 for p in (flat, tall, flat + 1)}) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4, 3)),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), bool),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((3, 4, 4), np.uint8)[None],
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((), np.uint8),
    ],
)
def test_other_arrays_are_refused_in_one_line(wrong):
    with pytest.raises(PictureError, match=r"^expected .* for frame 7.*, got .*; (scale|pass)[^\n]*$"):
        from_pixels(wrong, "frame 7")

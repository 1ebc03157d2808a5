"""Model input has the right pixels, and what does not fit is refused."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.preprocess import PRESETS, choose, from_pixels, prepare
from ddcam.engine.preprocess.resample import resize
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


@pytest.mark.parametrize(("rows", "columns", "inner"), [(20, 40, (16, 32)), (40, 20, (32, 16)), (30, 31, (31, 32))])
def test_pad_keeps_all_of_the_picture_on_grey(rows, columns, inner):
    """Letterbox: every pixel of the resized picture is there, the border is 114, and the placement reaches beyond."""
    pixels = np.random.default_rng(0).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    model_input = an_input(32, 32, layout="NHWC")
    [got], placement = prepare(from_pixels(pixels), raw(32, 32, "pad"), model_input)
    height, width = inner
    top, left = round((32 - height) / 2), round((32 - width) / 2)

    expected = np.full((32, 32, 3), 114)
    expected[top : top + height, left : left + width] = resize(pixels, height, width, "bilinear")
    np.testing.assert_array_equal(got, expected)
    assert placement.left == -left * columns / width
    assert placement.bottom - placement.top == 32 * rows / height

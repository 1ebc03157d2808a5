"""Arrays become pictures, and others are refused."""

import hashlib

import numpy as np
import pytest

from ddcam.engine.errors import PictureError
from ddcam.engine.preprocess import from_pixels


def test_arrays_become_rgb_pictures():
    grey = np.arange(20, dtype=np.uint8).reshape(4, 5)
    rgb = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)

    assert np.array_equal(from_pixels(grey).pixels, np.stack([grey] * 3, axis=2))
    assert np.array_equal(from_pixels(grey[..., None]).pixels, np.stack([grey] * 3, axis=2))
    assert np.array_equal(from_pixels(rgb[:, ::-1]).pixels, rgb[:, ::-1])
    assert from_pixels(rgb, "a frame").name == "a frame"


def test_alpha_is_laid_over_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 254, 127]]], np.uint8)

    assert from_pixels(rgba).pixels.tolist() == [[[10, 20, 30], [255, 255, 255], [128, 178, 255]]]


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

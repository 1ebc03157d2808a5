"""What replaces a removed patch, how much that changes, and where patches lie in the picture."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ddcam.engine.baseline import changes, nothing_shown, strengths_of_patches, with_baseline
from ddcam.engine.preprocess import from_pixels, prepare
from ddcam.engine.saliency import patch_map
from ddcam.engine.types import PictureInput, Placement, Preprocessing, Split


def lying(shape: tuple[int, ...], axis: int, side: int, baseline: str) -> Split:
    sides = [size for i, size in enumerate(shape) if i not in (0, axis)]
    grid = (-(-sides[0] // side), -(-sides[1] // side))
    return Split("x", "float32", shape, "patch", grid[0] * grid[1], axis, grid, (), "", side, baseline)


def test_the_mean_is_that_of_each_channel():
    inputs = np.random.default_rng(0).normal(size=(1, 3, 6, 4)).astype(np.float32)
    pair = with_baseline(inputs, lying(inputs.shape, 1, 2, "mean"))
    turned = inputs.transpose(0, 2, 3, 1)

    np.testing.assert_array_equal(pair[:1], inputs)
    for channel in range(3):
        np.testing.assert_allclose(pair[1, channel], inputs[0, channel].mean(), rtol=1e-6)
    last = with_baseline(turned, lying(turned.shape, 3, 2, "mean"))
    np.testing.assert_array_equal(last, pair.transpose(0, 2, 3, 1))
    assert pair.dtype == inputs.dtype


def test_the_blur_is_a_gaussian_as_wide_as_a_patch_in_each_channel_alone():
    inputs = np.random.default_rng(0).normal(size=(1, 3, 12, 10))
    pair = with_baseline(inputs, lying(inputs.shape, 1, 3, "blur"))
    along = gaussian_filter1d(inputs[0], 3, axis=1, mode="nearest")

    np.testing.assert_allclose(pair[1], gaussian_filter1d(along, 3, axis=2, mode="nearest"), rtol=1e-6)


def test_zero_is_that_of_the_model_input_and_integers_are_rounded():
    inputs = np.array([3, 4, 4, 4], np.uint8).reshape(1, 1, 2, 2)

    assert not with_baseline(inputs, lying(inputs.shape, 1, 1, "zero"))[1].any()
    assert with_baseline(inputs, lying(inputs.shape, 1, 1, "mean"))[1].ravel().tolist() == [4, 4, 4, 4]


def test_changes_are_laid_out_by_patch():
    pair = np.zeros((2, 3, 5, 7))
    pair[0, 2, 4, 6], pair[0, :, 0, 3] = 9, 1  # the lower right corner, and the second patch of the first row
    rows = changes(pair, lying((1, 3, 5, 7), 1, 3, "zero"))

    assert rows.shape == (6, 27)
    assert rows.sum(axis=1).tolist() == [0, 3, 0, 0, 0, 9]


def test_of_equal_changes_those_in_the_middle_are_tried_first():
    order = strengths_of_patches(
        np.stack([-np.ones((3, 9, 15)), np.zeros((3, 9, 15))]), lying((1, 3, 9, 15), 1, 3, "zero")
    )

    assert order.reshape(3, 5).argmax(axis=1).tolist() == [2, 2, 2]
    assert order.reshape(3, 5).argmax(axis=0).tolist() == [1] * 5
    assert order[7] == 27


def test_a_map_of_patches_has_sharp_squares_where_they_lie():
    split = lying((1, 3, 10, 10), 1, 4, "mean")
    placement = Placement(30, 60, 5, 20, 25, 40)  # 10 x 10 of model input show rows 5-25 and columns 20-40
    found = patch_map(np.array([[0, 2, 0], [0, 0, 0], [0, 0, 1.0]]), split, placement)

    assert found.shape == (30, 60)
    assert found.dtype == np.float32
    assert (found[5:13, 28:36] == 1).all()
    assert (found[21:25, 36:40] == 0.5).all(), "the last patch is two pixels of the input wide"
    assert found.sum() == 8 * 8 + 4 * 4 * 0.5


def test_every_pixel_of_the_placement_lies_in_a_patch():
    placement = Placement(17, 23, 1.3, -0.2, 16.9, 22.7)
    found = patch_map(np.ones((3, 3)), lying((1, 3, 9, 9), 1, 4, "mean"), placement)

    assert found[1:17, :23].all()
    assert not found[0].any()


def test_nothing_is_shown_of_a_picture_in_the_models_own_type():
    shown = Preprocessing("p", 32, 48, "stretch", 1.0, "bilinear", "RGB", 1 / 255, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2), "")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    for layout, dtype in (("NCHW", "float32"), ("NHWC", "float16"), ("NHWC", "uint8")):
        picture = PictureInput("x", dtype, layout, 3, 32, 48, True)
        raw = replace(shown, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3) if dtype == "uint8" else shown
        inputs, _ = prepare(from_pixels(pixels), raw, picture)
        zero, black, blur = (nothing_shown(inputs, name, raw, picture) for name in ("zero", "black", "blur"))
        last = black if layout == "NHWC" else black.transpose(0, 2, 3, 1)

        assert {a.dtype for a in (zero, black, blur)} == {inputs.dtype}
        assert {a.shape for a in (zero, black, blur)} == {inputs.shape}
        assert not zero.any()
        np.testing.assert_allclose(last[0, 0, 0], -np.divide(raw.mean, raw.std), rtol=1e-3)
        assert np.ptp(black, axis=(2, 3) if layout == "NCHW" else (1, 2)).max() == 0
        assert 0 < blur.std() < 0.4 * inputs.std()

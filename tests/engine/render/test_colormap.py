"""Colours run in order and never fail."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.render import COLORMAPS, colorize
from ddcam.engine.render.colormap import BAND, bands, levels

RAMP = np.linspace(0, 1, 256, dtype=np.float32)[None]


def lightness(pixels: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB."""
    share = pixels / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.mark.parametrize("name", COLORMAPS)
def test_more_is_lighter(name):
    """No step darkens by more than the rounding to 8 bits, and light rises in every sixteenth."""
    light = lightness(colorize(RAMP, name)[0])

    assert np.diff(light).min() > -0.4
    assert (np.diff(light[::16]) > 0).all()


@pytest.mark.parametrize("name", COLORMAPS)
def test_the_ends_are_the_first_and_last_anchor(name):
    pixels = colorize(np.array([[0.0, 1.0]]), name)

    assert pixels.dtype == np.uint8
    assert pixels[0, 0].tolist() == list(COLORMAPS[name][0])
    assert pixels[0, 1].tolist() == list(COLORMAPS[name][-1])


def test_gray_is_the_level_itself():
    assert (colorize(RAMP, "gray") == levels(RAMP)[:, :, None]).all()
    assert (levels(RAMP) == np.arange(256)).all()


def test_values_outside_take_the_nearer_end():
    pixels = colorize(np.array([[-3, np.nan, -np.inf, 0, 7, np.inf, 1]]))

    assert (pixels[0, :4] == pixels[0, 3]).all()
    assert (pixels[0, 4:] == pixels[0, 6]).all()


def test_an_unknown_colour_map_is_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="heat, viridis, gray, got 'jet'"):
        colorize(RAMP, "jet")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, BAND + 1), (3, BAND // 2), (1000, 700), (2, 0)])
def test_bands_cover_every_row_once(height, width):
    rows = [row for band in bands(height, width) for row in range(band.start, band.stop)]

    assert rows == list(range(height))

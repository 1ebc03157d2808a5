"""The photograph stays where nothing matters, and shines where it does."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError, PictureError
from ddcam.engine.render import COLORMAPS, colorize, needed, overlay
from ddcam.engine.render.colormap import BAND

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
BLANK = np.zeros((40, 60), np.float32)


def test_a_blank_map_leaves_the_photograph_untouched():
    assert (overlay(PHOTO, BLANK) == PHOTO).all()
    assert (overlay(PHOTO, BLANK + 1, strength=0) == PHOTO).all()


def test_a_full_map_shows_the_needed_photograph_untouched():
    assert (needed(PHOTO, BLANK + 1) == PHOTO).all()
    assert (needed(PHOTO, BLANK + 0.5) == PHOTO).all()


def test_a_hot_pixel_takes_the_hot_colour_and_no_other_pixel_changes():
    saliency = BLANK.copy()
    saliency[7, 9] = 1

    coloured = overlay(PHOTO, saliency, strength=1)

    assert coloured[7, 9].tolist() == list(COLORMAPS["heat"][-1])
    changed = (coloured != PHOTO).any(axis=2)
    assert np.argwhere(changed).tolist() == [[7, 9]]


def test_the_colour_is_mixed_in_proportion_to_saliency_and_strength():
    photo = np.zeros((1, 1, 3), np.uint8)

    def blended(value, strength):
        return overlay(photo, np.full((1, 1), value), strength)[0, 0].astype(float)

    hot, middle = np.array(COLORMAPS["heat"][-1]), np.array(COLORMAPS["heat"][2:4]).mean(axis=0)
    assert blended(1.0, 0.6) == pytest.approx(0.6 * hot, abs=1)
    assert blended(1.0, 0.3) == pytest.approx(0.3 * hot, abs=1)
    assert blended(0.5, 0.6) == pytest.approx(0.3 * middle, abs=1.5)


def test_mixing_rounds_to_the_nearest_and_not_down():
    saliency = RNG.random((40, 60))

    share = 0.6 * saliency[:, :, None]
    exact = (1 - share) * PHOTO + share * colorize(saliency)
    error = overlay(PHOTO, saliency) - exact
    assert abs(error.mean()) < 0.05
    assert np.abs(error).max() < 1.5


def test_unneeded_parts_are_dark_grey_and_blurred():
    hidden = needed(PHOTO, BLANK)

    assert (hidden == hidden[:, :, :1]).all()
    assert hidden.mean() == pytest.approx(0.35 * PHOTO.mean(), abs=3)
    gray = PHOTO @ [0.299, 0.587, 0.114]
    assert hidden[:, :, 0].std() < 0.9 * 0.35 * gray.std()


def test_needed_brightens_with_saliency():
    white = np.full((1, 256, 3), 255, np.uint8)

    shown = needed(white, np.linspace(0, 1, 256)[None])[0, :, 0].astype(int)

    assert (np.diff(shown) >= 0).all()
    assert shown[0] == round(0.35 * 255)
    assert shown[-1] == 255


@pytest.mark.parametrize("draw", [overlay, needed])
def test_neither_the_photograph_nor_the_map_is_changed(draw):
    photo, saliency = PHOTO.copy(), RNG.random((40, 60))
    photo.flags.writeable = saliency.flags.writeable = False

    drawn = draw(photo, saliency)

    assert drawn.shape == photo.shape
    assert drawn.dtype == np.uint8


def test_pictures_of_several_bands_equal_their_parts():
    """Wider than a band, so every row is one."""
    photo = RNG.integers(0, 256, (3, BAND + 5, 3), dtype=np.uint8)
    saliency = RNG.random(photo.shape[:2]).astype(np.float32)

    whole = overlay(photo, saliency)

    assert (whole[1:2] == overlay(photo[1:2], saliency[1:2])).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("draw", [overlay, needed])
def test_the_smallest_pictures_are_drawn(draw, shape):
    assert draw(np.zeros((*shape, 3), np.uint8), np.ones(shape)).shape == (*shape, 3)


def test_not_a_number_counts_as_dark():
    assert (overlay(PHOTO, BLANK + np.nan) == PHOTO).all()


@pytest.mark.parametrize("draw", [overlay, needed])
def test_a_map_of_another_size_is_refused(draw):
    with pytest.raises(PictureError, match="expected a saliency map of 40 x 60 like the picture, got 7 x 7"):
        draw(PHOTO, np.zeros((7, 7)))


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_a_strength_beyond_0_to_1_is_refused(strength):
    with pytest.raises(OptionError, match="strength from 0 to 1"):
        overlay(PHOTO, BLANK, strength)

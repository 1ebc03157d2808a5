"""Crops cover what the model sees, in the picture's own pixels."""

import numpy as np
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.fitted.crops import boxes, cut, thumbnail
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.types import Placement


def test_sixteen_crops_cover_the_placement_to_its_edges():
    found = boxes(Placement(400, 600, 20, 100, 380, 460))

    assert len(found) == 16
    assert (min(b.top for b in found), max(b.bottom for b in found)) == (20, 380)
    assert (min(b.left for b in found), max(b.right for b in found)) == (100, 460)
    assert {b.bottom - b.top for b in found} <= {102, 103, 104}  # 64 / 224 of 360


def test_a_share_of_one_is_the_whole():
    [whole] = boxes(Placement(10, 10, 0, 0, 10, 10), share=1.0)

    assert (whole.top, whole.left, whole.bottom, whole.right) == (0, 0, 10, 10)


def test_crops_of_a_tiny_picture_are_at_least_a_pixel_and_inside():
    for box in boxes(Placement(2, 1, 0, 0, 2, 1)):
        assert 0 <= box.top < box.bottom <= 2
        assert (box.left, box.right) == (0, 1)


def test_a_crop_is_cut_where_its_box_is():
    picture = from_pixels(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    box = boxes(Placement(4, 4, 0, 0, 4, 4), share=0.5)[-1]

    np.testing.assert_array_equal(cut(picture, box).pixels, picture.pixels[2:, 2:])
    assert thumbnail(picture, box, 5).shape == (5, 5, 3)


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan")])
def test_other_shares_are_refused(share):
    with pytest.raises(OptionError, match="share"):
        boxes(Placement(4, 4, 0, 0, 4, 4), share=share)

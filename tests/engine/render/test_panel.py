"""The panel shows three tiles and all that fits of the words, for any picture and any text."""

import numpy as np
import pytest

from ddcam.engine.render import needed, overlay, panel
from ddcam.engine.render.lettering import SMALL, lines, wide
from ddcam.engine.render.panel import HEIGHT, MARGIN

RNG = np.random.default_rng(0)
CAPTION = "48 of 1280 channels are enough for 'tabby'; without any one of them the model says something else."


@pytest.mark.parametrize(
    ("height", "width"),
    [(1, 1), (5000, 20), (20, 5000), (28, 28), (1, 9000), (9000, 1), (224, 224), (480, 640)],
)
def test_any_picture_fits(height, width):
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)

    drawn = panel(pixels, RNG.random((height, width)), "tabby (281)", CAPTION)

    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 3
    assert drawn.shape[0] < HEIGHT + 300
    assert 3 * 180 < drawn.shape[1] <= 3 * 640 + 4 * MARGIN
    assert (drawn[[0, -1]] == 255).all()
    assert (drawn[:, [0, -1]] == 255).all()


def test_the_three_tiles_are_the_input_the_needed_and_the_overlay():
    """At the height of a tile nothing is resized, so the tiles are found pixel by pixel."""
    pixels = RNG.integers(0, 256, (HEIGHT, 240, 3), dtype=np.uint8)
    saliency = RNG.random((HEIGHT, 240)).astype(np.float32)

    drawn = panel(pixels, saliency, "", "")

    top = drawn.shape[0] - HEIGHT - MARGIN - MARGIN // 2
    for index, tile in enumerate((pixels, needed(pixels, saliency), overlay(pixels, saliency))):
        left = MARGIN + index * (240 + MARGIN)
        assert (drawn[top : top + HEIGHT, left : left + 240] == tile).all()


def test_words_are_written():
    pixels = np.zeros((HEIGHT, 300, 3), np.uint8)
    saliency = np.zeros((HEIGHT, 300), np.float32)

    without, titled = panel(pixels, saliency, "", ""), panel(pixels, saliency, "tabby", "")

    assert titled.shape[0] > without.shape[0]
    assert (titled[: titled.shape[0] - without.shape[0] + MARGIN] < 100).any()
    assert panel(pixels, saliency, "", CAPTION).shape[0] > without.shape[0]


@pytest.mark.parametrize(
    "text", ["", "\n\t ", "猫 кошка قطة 🐈", "\x00\x1b[31m\u202e\u200b\ud800", "x" * 50_000, "word " * 5000]
)
def test_any_text_is_drawn(text):
    pixels = np.zeros((28, 28, 3), np.uint8)

    assert panel(pixels, np.zeros((28, 28)), text, text).shape[0] < HEIGHT + 500


def test_lines_fit_the_width_and_lose_no_word():
    found = lines(CAPTION, SMALL, 200, 12)

    assert " ".join(found) == CAPTION
    assert len(found) > 2
    assert all(wide(line, SMALL) <= 200 for line in found)


def test_a_word_longer_than_the_line_is_cut():
    found = lines("/features/" * 30, SMALL, 200, 99)

    assert "".join(found) == "/features/" * 30
    assert all(150 < wide(line, SMALL) <= 200 for line in found[:-1])


def test_what_does_not_fit_ends_in_dots():
    found = lines("word " * 500, SMALL, 200, 3)

    assert len(found) == 3
    assert found[-1].endswith("...")
    assert not found[1].endswith("...")


def test_letters_that_the_font_lacks_are_replaced():
    assert lines("naïve Größe 猫 cat", SMALL, 900, 1) == ["naive Gro?e ? cat"]

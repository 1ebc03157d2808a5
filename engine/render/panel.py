"""One picture for a paper or a slide: the input, what the map shows of it and the overlay side by side."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import islice
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..types import Floats, Pixels
from .overlay import needed, overlay

HEIGHT = 360
WIDEST = 640
NARROWEST = 180
"""A tile is fitted into HEIGHT x WIDEST pixels; its column is at least NARROWEST wide, for the words."""

MARGIN = 20
TITLE, SMALL = 22, 16
INK, GRAY = (25, 25, 30), (95, 95, 105)
TILES = ("input", "what the map shows", "overlay")

LONGEST = 4000
MOST_LINES = 12

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def panel(pixels: Pixels, saliency: Floats, title: str, caption: str) -> Pixels:
    """Draw input, what the map shows of it and overlay under a title and over a caption -> `[., ., 3]`.

    pixels `[H, W, 3]`, saliency `[H, W]` in 0..1. Letters that Pillow's own font lacks lose their accents or
    become "?"; what does not fit on 2 lines of title and 12 of caption ends in "...".
    """
    small, values = _fitted(pixels, saliency)
    tiles = (small, needed(small, values), overlay(small, values))
    column = max(small.shape[1], NARROWEST)
    width = 3 * column + 4 * MARGIN
    head = _lines(title, TITLE, width - 2 * MARGIN, 2)
    foot = _lines(caption, SMALL, width - 2 * MARGIN, MOST_LINES)
    top = MARGIN + len(head) * _pitch(TITLE)
    bottom = top + _pitch(SMALL) + small.shape[0] + MARGIN // 2
    sheet = Image.new("RGB", (width, bottom + len(foot) * _pitch(SMALL) + MARGIN), "white")
    _write(sheet, head, TITLE, MARGIN)
    for index, (name, tile) in enumerate(zip(TILES, tiles, strict=True)):
        left = MARGIN + index * (column + MARGIN)
        _place(sheet, tile, name, (left, top), column)
    _write(sheet, foot, SMALL, bottom)
    return np.asarray(sheet)


def _fitted(pixels: Pixels, saliency: Floats) -> tuple[Pixels, Floats]:
    """Bring picture and map to the size of a tile."""
    height, width = saliency.shape
    scale = min(HEIGHT / height, WIDEST / width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    image = Image.fromarray(pixels)
    if scale >= 3:  # a digit or an icon: show its pixels as they are
        picture = image.resize(size, Image.Resampling.NEAREST)
    else:
        picture = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)
    values = Image.fromarray(saliency.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(picture), np.asarray(values)


def _place(sheet: Image.Image, tile: Pixels, name: str, corner: tuple[int, int], column: int) -> None:
    left, top = corner
    centre = left + (column - tile.shape[1]) // 2
    ImageDraw.Draw(sheet).text((left, top), name, GRAY, _font(SMALL))
    sheet.paste(Image.fromarray(tile), (centre, top + _pitch(SMALL)))


def _write(sheet: Image.Image, lines: list[str], size: int, top: int) -> None:
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        draw.text((MARGIN, top + index * _pitch(size)), line, INK, _font(size))


def _lines(text: str, size: int, width: int, most: int) -> list[str]:
    """Break text into at most `most` lines that fit the width."""
    words = "".join(map(_drawable, unicodedata.normalize("NFKD", text[:LONGEST]))).split()
    lines = list(islice(_wrapped(words, size, width), most + 1))
    if len(lines) > most:
        lines = [*lines[: most - 1], lines[most - 1][:-3] + "..."]
    return lines


def _wrapped(words: list[str], size: int, width: int) -> Iterator[str]:
    line = ""
    for word in words:
        wider = f"{line} {word}" if line else word
        if line and _width(wider, size) > width:
            yield line
            wider = word
        while _width(wider, size) > width:  # one word alone: cut it
            cut = max(1, bisect_right(range(1, len(wider)), width, key=lambda end: _width(wider[:end], size)))
            yield wider[:cut]
            wider = wider[cut:]
        line = wider
    if line:
        yield line


def _width(text: str, size: int) -> int:
    return ceil(_font(size).getlength(text))


def _pitch(size: int) -> int:
    return round(1.45 * size)


@cache
def _font(size: int) -> Font:
    return ImageFont.load_default(size=size)


@cache
def _drawable(letter: str) -> str:
    """Return the letter, "" for an accent, or "?" if the font would draw its empty box."""
    if letter.isspace():
        return " "
    if unicodedata.combining(letter):
        return ""
    return "?" if _shape(letter) == _shape("\uffff") else letter


def _shape(letter: str) -> tuple[tuple[int, int], bytes]:
    mask = _font(SMALL).getmask(letter)
    return mask.size, bytes(mask)

"""Words on a picture: lines that fit a width, in Pillow's own font."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import islice
from math import ceil

from PIL import Image, ImageDraw, ImageFont

TITLE, SMALL = 22, 16
INK, GRAY = (25, 25, 30), (95, 95, 105)
LONGEST = 4000
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def write(
    sheet: Image.Image, text: list[str], size: int, corner: tuple[int, int], colour: tuple[int, int, int] = INK
) -> None:
    """Write lines below each other from a corner: left, top."""
    draw, (left, top) = ImageDraw.Draw(sheet), corner
    for index, line in enumerate(text):
        draw.text((left, top + index * pitch(size)), line, colour, font(size))


def lines(text: str, size: int, width: int, most: int) -> list[str]:
    """Break text into at most `most` lines that fit the width."""
    words = "".join(map(_drawable, unicodedata.normalize("NFKD", text[:LONGEST]))).split()
    found = list(islice(_wrapped(words, size, width), most + 1))
    if len(found) > most:
        found = [*found[: most - 1], found[most - 1][:-3] + "..."]
    return found


def _wrapped(words: list[str], size: int, width: int) -> Iterator[str]:
    line = ""
    for word in words:
        wider = f"{line} {word}" if line else word
        if line and wide(wider, size) > width:
            yield line
            wider = word
        while wide(wider, size) > width:  # one word alone: cut it
            cut = max(1, bisect_right(range(1, len(wider)), width, key=lambda end: wide(wider[:end], size)))
            yield wider[:cut]
            wider = wider[cut:]
        line = wider
    if line:
        yield line


def wide(text: str, size: int) -> int:
    """Return the width of a text in pixels."""
    return ceil(font(size).getlength(text))


def pitch(size: int) -> int:
    """Return the distance between two lines."""
    return round(1.45 * size)


@cache
def font(size: int) -> Font:
    """Return Pillow's own font."""
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
    mask = font(SMALL).getmask(letter)
    return mask.size, bytes(mask)

"""One picture for a paper or a slide: the input, what the map shows of it and the overlay side by side."""

import numpy as np
from PIL import Image, ImageDraw

from ..types import Floats, Pixels
from .frame import Region, framed
from .lettering import GRAY, SMALL, TITLE, font, lines, pitch, write
from .overlay import needed, overlay

HEIGHT = 360
WIDEST = 640
NARROWEST = 180
"""A tile is fitted into HEIGHT x WIDEST pixels; its column is at least NARROWEST wide, for the words."""

MARGIN = 20
TILES = ("input", "what the map shows", "overlay")
MOST_LINES = 12


def panel(pixels: Pixels, saliency: Floats, title: str, caption: str, frame: Region | None = None) -> Pixels:
    """Draw input, what the map shows of it and overlay under a title and over a caption -> `[., ., 3]`.

    pixels `[H, W, 3]`, saliency `[H, W]` in 0..1, `frame` `[H, W]` a region whose border is drawn. Letters that
    Pillow's own font lacks lose their accents or become "?"; what does not fit on 2 lines of title and 12 of caption
    ends in "...".
    """
    small, values = _fitted(pixels, saliency)
    tiles = [framed(tile, frame) for tile in (small, needed(small, values), overlay(small, values))]
    column = max(small.shape[1], NARROWEST)
    width = 3 * column + 4 * MARGIN
    head = lines(title, TITLE, width - 2 * MARGIN, 2)
    foot = lines(caption, SMALL, width - 2 * MARGIN, MOST_LINES)
    top = MARGIN + len(head) * pitch(TITLE)
    bottom = top + pitch(SMALL) + small.shape[0] + MARGIN // 2
    sheet = Image.new("RGB", (width, bottom + len(foot) * pitch(SMALL) + MARGIN), "white")
    write(sheet, head, TITLE, (MARGIN, MARGIN))
    for index, (name, tile) in enumerate(zip(TILES, tiles, strict=True)):
        left = MARGIN + index * (column + MARGIN)
        _place(sheet, tile, name, (left, top), column)
    write(sheet, foot, SMALL, (MARGIN, bottom))
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
    ImageDraw.Draw(sheet).text((left, top), name, GRAY, font(SMALL))
    sheet.paste(Image.fromarray(tile), (centre, top + pitch(SMALL)))

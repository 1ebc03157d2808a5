"""One picture of what a map is made of: a row a part, with its place in the picture and examples of what it is."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..types import Floats, Pixels
from .lettering import SMALL, TITLE, lines, pitch, write
from .overlay import overlay
from .panel import MARGIN

SIDE, GAP = 112, 6
"""Height of a row of pictures, and the gap between them."""
WIDEST = 2 * SIDE

Row = tuple[str, Sequence[Pixels]]
"""A caption and the pictures beside each other."""


def rows_of_pictures(title: str, rows: Sequence[Row]) -> Pixels:
    """Draw rows of pictures `[H, W, 3]`, each row under its caption, under a title -> `[., ., 3]`."""
    fitted = [(caption, [row_high(tile) for tile in tiles]) for caption, tiles in rows]
    widths = [sum(tile.width + GAP for tile in tiles) for _, tiles in fitted]
    width = max([4 * SIDE, *widths]) + 2 * MARGIN
    head = lines(title, TITLE, width - 2 * MARGIN, 3)
    top = MARGIN + len(head) * pitch(TITLE)
    step = pitch(SMALL) + SIDE + MARGIN // 2
    page = Image.new("RGB", (width, top + len(rows) * step + MARGIN // 2), "white")
    write(page, head, TITLE, (MARGIN, MARGIN))
    for index, (caption, tiles) in enumerate(fitted):
        place(page, caption, tiles, top + index * step)
    return np.asarray(page)


def row_high(pixels: Pixels) -> Image.Image:
    """Bring a picture to the height of a row; what is very wide is made less high."""
    height, width = pixels.shape[:2]
    scale = min(SIDE / height, WIDEST / width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    return Image.fromarray(np.ascontiguousarray(pixels)).resize(size, Image.Resampling.BICUBIC, reducing_gap=3)


def place(page: Image.Image, caption: str, tiles: Sequence[Image.Image], top: int) -> None:
    write(page, lines(caption, SMALL, page.width - 2 * MARGIN, 1), SMALL, (MARGIN, top))
    left = MARGIN
    for tile in tiles:
        page.paste(tile, (left, top + pitch(SMALL)))
        left += tile.width + GAP


def located(pixels: Pixels, saliency: Floats) -> Pixels:
    """Return a picture with a map over it, small: pixels `[H, W, 3]`, saliency `[H, W]` in 0..1."""
    scale = min(1.0, 2 * SIDE / min(saliency.shape))
    size = max(1, round(scale * saliency.shape[1])), max(1, round(scale * saliency.shape[0]))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=3)
    values = Image.fromarray(saliency.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return overlay(np.asarray(small), np.asarray(values))

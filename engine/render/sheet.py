"""Many maps of one picture side by side: the picture first, then a labelled overlay or an empty tile for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ..types import Floats, Pixels
from .lettering import GRAY, INK, TITLE, lines, pitch, write
from .overlay import overlay

HEIGHT, WIDEST, NARROWEST = 200, 320, 190
"""A tile is fitted into HEIGHT x WIDEST pixels; its column is at least NARROWEST wide, for the words."""
BROADEST = 1640
"""As many columns as fit into so many pixels."""
MARGIN, NAME, NOTE = 16, 15, 13
EMPTY = (238, 238, 241)
NAME_LINES, NOTE_LINES = 2, 3


@dataclass(frozen=True)
class Tile:
    """A map at the size of a tile, `[h, w]` in 0..1, or None with the reason in `note`."""

    name: str
    note: str
    saliency: Floats | None


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Return the size at which a picture is drawn: height, width."""
    scale = min(HEIGHT / height, WIDEST / width)
    return max(1, round(scale * height)), max(1, round(scale * width))


def sheet(pixels: Pixels, tiles: Sequence[Tile], title: str) -> Pixels:
    """Draw a picture `[H, W, 3]` and tiles of `tile_size` in rows under a title -> `[., ., 3]`.

    A tile without a map is empty and holds its note; the notes of others stand below them. What does not fit on 2
    lines of a name and 3 of a note ends in "...".
    """
    small = _small(pixels)
    column = max(small.shape[1], NARROWEST)
    columns = min(len(tiles) + 1, max(1, (BROADEST - MARGIN) // (column + MARGIN)))
    width = columns * (column + MARGIN) + MARGIN
    shown = [Tile("the picture", "", np.zeros(small.shape[:2])), *tiles]
    rows = [shown[start : start + columns] for start in range(0, len(shown), columns)]
    head = lines(title, TITLE, width - 2 * MARGIN, 2)
    heights = [_row_height(row, column, small.shape[0]) for row in rows]
    top = MARGIN + len(head) * pitch(TITLE)
    drawn = Image.new("RGB", (width, top + sum(heights) + MARGIN), "white")
    write(drawn, head, TITLE, (MARGIN, MARGIN))
    for row, height in zip(rows, heights, strict=True):
        for index, tile in enumerate(row):
            _place(drawn, small, tile, (MARGIN + index * (column + MARGIN), top), (column, _name_lines(row, column)))
        top += height
    return np.asarray(drawn)


def _small(pixels: Pixels) -> Pixels:
    height, width = tile_size(*pixels.shape[:2])
    enlarged = height >= 3 * pixels.shape[0]  # a digit or an icon: show its pixels as they are
    way = Image.Resampling.NEAREST if enlarged else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize((width, height), way, reducing_gap=3))


def _row_height(row: Sequence[Tile], column: int, height: int) -> int:
    notes = max(
        (len(lines(tile.note, NOTE, column, NOTE_LINES)) for tile in row if tile.saliency is not None), default=0
    )
    return _name_lines(row, column) * pitch(NAME) + height + notes * pitch(NOTE) + MARGIN


def _name_lines(row: Sequence[Tile], column: int) -> int:
    return max(len(lines(tile.name, NAME, column, NAME_LINES)) for tile in row)


def _place(drawn: Image.Image, small: Pixels, tile: Tile, corner: tuple[int, int], room: tuple[int, int]) -> None:
    """Draw a tile at a corner into a column so wide, under so many lines of a name."""
    (left, top), (column, above) = corner, room
    height, width = small.shape[:2]
    write(drawn, lines(tile.name, NAME, column, NAME_LINES), NAME, corner, INK)
    top += above * pitch(NAME)
    if tile.saliency is not None:
        drawn.paste(Image.fromarray(overlay(small, tile.saliency)), (left, top))
        write(drawn, lines(tile.note, NOTE, column, NOTE_LINES), NOTE, (left, top + height), GRAY)
        return
    ImageDraw.Draw(drawn).rectangle((left, top, left + max(width, NARROWEST) - 1, top + height - 1), EMPTY)
    most = max(1, (height - 8) // pitch(NOTE))
    write(drawn, lines(tile.note, NOTE, column - 16, most), NOTE, (left + 8, top + 4), GRAY)

"""A series of numbers with its saliency map: the channels as lines, the map below them and behind them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..types import Floats, Pixels
from .colormap import colorize
from .lettering import GRAY, SMALL, TITLE, font, lines, pitch, write

WIDTH, HEIGHT, STRIP = 960, 260, 90
"""Pixels of the lines, and the height of the map below them."""
MARGIN, LEFT = 20, 70
MOST_LINES = 12
LINES = ((31, 90, 170), (200, 70, 30), (40, 130, 70), (130, 60, 150), (120, 90, 40), (20, 130, 150))
"""Colours of the channels in turn."""
FAINT = 0.35
"""How much of the map's colour lies behind the lines."""
FINE = 2
"""Everything is drawn larger by this and made smaller, so that lines are smooth."""


def series_panel(values: Floats, saliency: Floats, title: str, caption: str) -> Pixels:
    """Draw a series `[T, C]` and its map `[T]` in 0..1 under a title and over a caption -> `[., ., 3]`.

    Letters and lengths as `panel` has them.
    """
    width = WIDTH + LEFT + MARGIN
    head = lines(title, TITLE, width - 2 * MARGIN, 2)
    foot = lines(caption, SMALL, width - 2 * MARGIN, MOST_LINES)
    drawn = series_plot(values, saliency)
    top = MARGIN + len(head) * pitch(TITLE)
    bottom = top + len(drawn) + MARGIN // 2
    sheet = Image.new("RGB", (width, bottom + len(foot) * pitch(SMALL) + MARGIN), "white")
    write(sheet, head, TITLE, (MARGIN, MARGIN))
    sheet.paste(Image.fromarray(drawn), (0, top))
    write(sheet, foot, SMALL, (MARGIN, bottom))
    return np.asarray(sheet)


def series_plot(values: Floats, saliency: Floats) -> Pixels:
    """Draw the lines of a series `[T, C]` over the colours of its map `[T]`, and the map as a line below."""
    real = values.astype(np.float64)
    low, high = float(real.min()), float(real.max())
    shares = (real - low) / ((high - low) or 1.0)
    upper = curves(shares.T, saliency, HEIGHT)
    lower = curves(saliency[None].astype(np.float64), saliency, STRIP)
    height = HEIGHT + STRIP + MARGIN + pitch(SMALL)
    sheet = Image.new("RGB", (WIDTH + LEFT + MARGIN, height), "white")
    sheet.paste(upper, (LEFT, 0))
    sheet.paste(lower, (LEFT, HEIGHT + MARGIN))
    draw = ImageDraw.Draw(sheet)
    texts = [(0, f"{high:.3g}"), (HEIGHT - SMALL, f"{low:.3g}"), (HEIGHT + MARGIN, "map")]
    for top, text in texts:
        draw.text((LEFT - 8, top), text, GRAY, font(SMALL), anchor="ra")
    draw.text((LEFT, height), "0", GRAY, font(SMALL), anchor="ld")
    draw.text((LEFT + WIDTH, height), str(len(values) - 1), GRAY, font(SMALL), anchor="rd")
    return np.asarray(sheet)


def curves(shares: NDArray[np.float64], saliency: Floats, height: int) -> Image.Image:
    """Draw lines `[C, T]` of numbers in 0..1 over the map's colours."""
    steps = np.minimum(np.arange(WIDTH * FINE) * len(saliency) // (WIDTH * FINE), len(saliency) - 1)
    strength = FAINT * saliency[steps, None]
    row = 255 * (1 - strength) + colorize(saliency[None, steps])[0] * strength
    back = np.broadcast_to(row.round().astype(np.uint8), (height * FINE, WIDTH * FINE, 3))
    image = Image.fromarray(np.ascontiguousarray(back))
    draw, length = ImageDraw.Draw(image), shares.shape[1]
    across = (np.arange(length) + 0.5) / length * WIDTH * FINE
    inner = (height - 8) * FINE
    for index, line in enumerate(shares):
        down = (1 - line) * inner + 4 * FINE
        points = [(float(x), float(y)) for x, y in zip(across, down, strict=True)]
        draw.line(points * (2 if length == 1 else 1), LINES[index % len(LINES)], 2 * FINE)
    return image.resize((WIDTH, height), Image.Resampling.LANCZOS)

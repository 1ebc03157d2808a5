"""Colours for values between 0 and 1."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..types import Floats, Pixels

Anchors = tuple[tuple[int, int, int], ...]

COLORMAPS: dict[str, Anchors] = {
    # Photographs are full of blue, green and brown; violet and magenta are rare, and yellow shines on them.
    "heat": ((40, 10, 110), (125, 15, 150), (215, 25, 115), (250, 80, 45), (255, 155, 20), (255, 225, 50)),
    "viridis": ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)),
    "gray": ((0, 0, 0), (255, 255, 255)),
}
"""Evenly spaced colours, RGB from value 0 to value 1; in between they are mixed linearly."""

BAND = 1 << 18
"""Pixels that are worked on at once: what lies between them and the result stays a few MB at any size."""


def colorize(values: Floats, name: str = "heat") -> Pixels:
    """Give each value its colour: `[H, W]` in 0..1 -> `[H, W, 3]`.

    Values beyond 0..1 take the colour of the nearer end, NaN that of 0. An unknown name is an OptionError.
    """
    colours = table(name)
    pixels = np.empty((*values.shape, 3), np.uint8)
    for rows in bands(*values.shape):
        pixels[rows] = colours[levels(values[rows])]
    return pixels


@cache
def table(name: str) -> NDArray[np.uint8]:
    """Return the 256 colours of a colour map, `[256, 3]`."""
    if name not in COLORMAPS:
        raise OptionError(f"expected a colour map out of {', '.join(COLORMAPS)}, got {name!r}")
    anchors = np.array(COLORMAPS[name], np.float64)
    at = np.linspace(0, 1, len(anchors))
    steps = np.linspace(0, 1, 256)
    colours = np.stack([np.interp(steps, at, channel) for channel in anchors.T], axis=1).round().astype(np.uint8)
    colours.flags.writeable = False  # the cache hands out this one array
    return colours


def levels(values: Floats) -> NDArray[np.uint8]:
    """Round values in 0..1 to 0..255; NaN becomes 0."""
    bounded = np.fmin(np.fmax(values, 0), 1)  # fmax prefers 0 to NaN
    return (bounded * 255 + 0.5).astype(np.uint8)


def bands(height: int, width: int) -> Iterator[slice]:
    """Cut a picture into runs of rows of about `BAND` pixels."""
    step = max(1, BAND // max(1, width))
    return (slice(top, min(top + step, height)) for top in range(0, height, step))

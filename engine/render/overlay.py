"""A photograph with its saliency map: coloured by it, or dimmed where it is low."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..errors import OptionError, PictureError
from ..types import Floats, Pixels
from .colormap import bands, levels, table

Levels = NDArray[np.uint8]

DIMMED = 0.35
"""Brightness left to the parts that the model does not need: still recognisable, never in the way."""

BLUR = 1 / 100
"""Radius of their blur, as a share of the picture's longer side."""


def overlay(pixels: Pixels, saliency: Floats, strength: float = 0.6) -> Pixels:
    """Lay the heat colours over a photograph, the more opaque the more salient.

    out = (1 - a) * photo + a * colour(saliency) with a = strength * saliency; where the saliency is 0 the
    photograph is untouched. pixels `[H, W, 3]`, saliency `[H, W]` in 0..1 -> `[H, W, 3]`.

    Raises PictureError if the sizes differ and OptionError for a strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise OptionError(f"expected a strength from 0 to 1, got {strength}")
    opacity = np.linspace(0, 256 * strength, 256).round().astype(np.uint16)
    colours = table("heat")
    return _mixed(pixels, saliency, opacity, lambda _, level: colours[level])


def needed(pixels: Pixels, saliency: Floats) -> Pixels:
    """Show what the model needs: the photograph where it is salient, else a dark, grey and blurred copy.

    Half of the greatest saliency is enough to show the photograph itself. Shapes and errors as `overlay`.
    """
    shown = np.linspace(0, 2, 256).clip(0, 1)
    hidden = (256 * (1 - shown * shown * (3 - 2 * shown))).round().astype(np.uint16)
    dim = _dimmed(pixels)
    return _mixed(pixels, saliency, hidden, lambda rows, _: dim[rows, :, None])


def _dimmed(pixels: Pixels) -> NDArray[np.uint8]:
    gray = Image.fromarray(pixels).convert("L").point([round(DIMMED * value) for value in range(256)])
    return np.asarray(gray.filter(ImageFilter.BoxBlur(BLUR * max(gray.size))))


def _mixed(
    pixels: Pixels,
    saliency: Floats,
    opacity: NDArray[np.uint16],
    cover: Callable[[slice, Levels], NDArray[np.uint8]],
) -> Pixels:
    """Cover the picture by the opacity (0..256) of each of the 256 levels of saliency, band by band."""
    if pixels.shape[:2] != saliency.shape:
        raise PictureError(
            f"expected a saliency map of {pixels.shape[0]} x {pixels.shape[1]} like the picture, "
            f"got {' x '.join(map(str, saliency.shape))}; bring it into the picture with saliency_map"
        )
    mixed = np.empty_like(pixels)
    for rows in bands(*saliency.shape):
        level = levels(saliency[rows])
        share = opacity[level][:, :, None]
        # 255 * 256 + 128 fits 16 bits, and a share of 0 gives back the very pixel
        mixed[rows] = (pixels[rows] * (256 - share) + cover(rows, level) * share + 128) >> 8
    return mixed

"""Picture to model input, and the rectangle of the picture that the input shows."""

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, PictureError
from ..types import Picture, PictureInput, Pixels, Placement, Preprocessing
from .arrays import arranged, flattened, is_pixels, prepare_array, preview, shape_text
from .choice import require_picture_input
from .resample import Window, resize_window
from .values import times

BORDER = 114
"""The grey around a padded picture, as YOLO's trainers have it."""
SIDE_LIMIT = 1 << 24
"""Pixels along one side of the resized picture whose centre is taken."""


def prepare(
    picture: Picture, preprocessing: Preprocessing, model_input: PictureInput
) -> tuple[NDArray[Any], Placement]:
    """Turn a picture into model input, and tell which rectangle of the picture that input shows.

    "crop": the short side becomes size / `crop` (rounded down), the long one keeps the aspect ratio (rounded
    down), then the centre is taken; for an input that is not square the picture covers size / `crop` both
    ways. "stretch": both sides become size / `crop`, then the centre. "pad": the long side becomes size, the other
    keeps the aspect ratio (rounded), then grey of BORDER around it. A picture that already has exactly the
    model's size passes as it is, with neither resize nor crop. Grey is ITU-R 601-2 luma in Pillow's whole
    numbers, taken after the resize.

    Shapes: `model_input.shape(1, height, width)` in the model's type, C-contiguous. Only what the model sees
    is resized: memory does not grow with the aspect ratio. Raises PictureError for an empty or endlessly thin
    picture, OptionError if the preprocessing is not one for this input.
    """
    if preprocessing.color == "bands":
        return prepare_array(picture, preprocessing, model_input)
    picture = arranged(picture, preprocessing, model_input)
    require_picture_input(model_input)
    _require_fit(preprocessing, model_input)
    _require_pixels(picture)
    rows, columns = picture.pixels.shape[:2]
    height, width = _resized(rows, columns, preprocessing)
    if max(height, width) > SIDE_LIMIT:
        raise PictureError(
            f"expected up to {SIDE_LIMIT} pixels a side before the centre is taken, got {height}x{width} for "
            f"{picture.name} of {rows}x{columns}; cut the picture or use the fit 'stretch'"
        )
    top, left = _middle(height, preprocessing.height), _middle(width, preprocessing.width)
    window = Window(top, left, preprocessing.height, preprocessing.width)
    if preprocessing.fit == "pad":
        inner = resize_window(picture.pixels, height, width, preprocessing.resample, Window(0, 0, height, width))
        pixels = _bordered(inner, window)
    else:
        pixels = resize_window(picture.pixels, height, width, preprocessing.resample, window)
    down, across = rows / height, columns / width
    bottom, right = (top + window.height) * down, (left + window.width) * across
    placement = Placement(rows, columns, top * down, left * across, bottom, right)
    return _as_input(pixels, preprocessing, model_input), placement


def from_pixels(pixels: NDArray[Any], name: str = "array") -> Picture:
    """Make a picture from uint8 pixels [H, W], [H, W, 1], [H, W, 3] (RGB) or [H, W, 4] (alpha over white).

    The pixels are copied; `sha256` is that of the resulting RGB shape and bytes. Raises PictureError.
    """
    rgb = as_rgb(pixels, name)
    digest = hashlib.sha256(repr(rgb.shape).encode() + rgb.tobytes())
    return Picture(rgb, name, digest.hexdigest())


def from_array(values: NDArray[Any], name: str = "array", sha256: str | None = None) -> Picture:
    """Make a picture from an array of numbers, for models that take arrays; 8 bit pixels serve others too.

    What its axes mean is told by the model it is shown to. The values are copied; `sha256` is by default that of shape,
    type and bytes. Raises PictureError for no numbers, no axes or numbers that are not finite.
    """
    values = np.array(values, order="C")
    if values.dtype.kind not in "fiub" or not 1 <= values.ndim <= 5 or not values.size:
        raise PictureError(f"expected an array of numbers of 1 to 5 axes for {name}, got {shape_text(values)}")
    if not np.isfinite(values).all():
        raise PictureError(f"expected finite numbers for {name}, got some that are not; fill them as in training")
    digest = hashlib.sha256(f"{values.shape} {values.dtype}".encode() + values.tobytes()).hexdigest()
    drawn = as_rgb(values, name) if is_pixels(values) else preview(flattened(values))
    return Picture(drawn, name, sha256 or digest, values)


def as_rgb(pixels: NDArray[Any], name: str) -> Pixels:
    """Copy uint8 pixels [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] into [H, W, 3], alpha laid over white.

    Raises PictureError, which names the picture, for other types and shapes and for no pixels at all.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise PictureError(
            f"expected uint8 pixels (0..255) for {name}, got {pixels.dtype}; scale and round them, "
            "for 0..1 with (x * 255).round().astype('uint8')"
        )
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise PictureError(
            f"expected pixels [H, W], [H, W, 1], [H, W, 3] or [H, W, 4] for {name}, at least one of them, "
            f"got the shape {list(pixels.shape)}; pass one picture with its channels last"
        )
    if pixels.shape[2] == 4:
        pixels = _over_white(pixels)
    return np.array(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), order="C")


def _over_white(rgba: Pixels) -> Pixels:
    alpha = rgba[..., 3:].astype(np.uint16)
    return ((rgba[..., :3] * alpha + (255 - alpha) * 255 + 127) // 255).astype(np.uint8)


def _resized(rows: int, columns: int, to: Preprocessing) -> tuple[int, int]:
    """Height and width of the whole picture before its centre is taken."""
    if (rows, columns) == (to.height, to.width):
        return rows, columns
    if to.fit == "pad":
        scale = min(to.height / rows, to.width / columns)
        return max(1, round(rows * scale)), max(1, round(columns * scale))
    # 299 / (299 / 400) is 399.99999999999994.
    height, width = (math.floor(side / to.crop + 1e-6) for side in (to.height, to.width))
    if to.fit == "stretch":
        return height, width
    if height * columns >= width * rows:
        return height, max(width, int(height * columns / rows))
    return max(height, int(width * rows / columns)), width


def _middle(whole: int, part: int) -> int:
    return round((whole - part) / 2)


def _bordered(pixels: Pixels, window: Window) -> Pixels:
    """Put a picture on grey; the window, in its pixels, is the whole of the result."""
    result = np.full((window.height, window.width, 3), BORDER, np.uint8)
    rows, columns = pixels.shape[:2]
    result[-window.top : rows - window.top, -window.left : columns - window.left] = pixels
    return result


def _as_input(pixels: Pixels, values: Preprocessing, model_input: PictureInput) -> NDArray[Any]:
    """Look every pixel up in a table of 256 values a channel: exact, and cheap."""
    result = np.empty(model_input.shape(1, *pixels.shape[:2]), model_input.dtype)
    channels = result[0] if model_input.layout == "NCHW" else np.moveaxis(result[0], 2, 0)
    for i, (mean, std) in enumerate(zip(values.mean, values.std, strict=True)):
        with np.errstate(over="ignore"):
            table = ((np.arange(256) * values.scale - mean) / std).astype(model_input.dtype)
        if not np.isfinite(table).all():
            raise OptionError(
                f"expected values that {model_input.dtype} can hold, got the preprocessing {values.name} "
                f"with std {std:g}; choose another"
            )
        channels[i] = table[_plane(pixels, values.color, i)]
    return result


def _plane(pixels: Pixels, color: str, channel: int) -> Pixels:
    if color != "L":
        return pixels[..., channel if color == "RGB" else 2 - channel]
    red, green, blue = np.moveaxis(pixels.astype(np.int32), 2, 0)
    luma: Pixels = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
    return luma


def _require_fit(to: Preprocessing, model_input: PictureInput) -> None:
    fixed = (model_input.height, model_input.width)
    same_size = all(f in (None, s) for f, s in zip(fixed, (to.height, to.width), strict=True))
    same_color = (to.color == "L") == (model_input.channels == 1)
    if not same_size or not same_color or {len(to.mean), len(to.std)} != {model_input.channels}:
        raise OptionError(
            f"expected a preprocessing for {model_input.channels} channel(s) of {times(fixed)} pixels, got "
            f"{to.name} for {to.color} of {to.height}x{to.width} with {len(to.mean)} mean(s); choose one for "
            "this model"
        )
    if not (to.height > 0 and to.width > 0 and 0 < to.crop <= 1):
        raise OptionError(
            f"expected a size and a crop above 0, the crop up to 1, got {to.height}x{to.width} and "
            f"{to.crop:g}; choose others"
        )


def _require_pixels(picture: Picture) -> None:
    shape = picture.pixels.shape
    if picture.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
        raise PictureError(
            f"expected uint8 pixels [H, W, 3] and at least one of them for {picture.name}, "
            f"got {picture.pixels.dtype} {list(shape)}; make the picture with from_pixels or open_image"
        )

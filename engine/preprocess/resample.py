"""Resizing of 8-bit pictures with Pillow's arithmetic, on NumPy alone and only where the result is wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..types import Pixels

Doubles = NDArray[np.float64]
Kernel = Literal["nearest", "bilinear", "bicubic", "lanczos"]

# Pillow rounds weights of 8-bit pictures to multiples of 2^-22. Whole numbers below 2^53 add up exactly in
# float64 in any order, so neither BLAS nor its threads can change a pixel.
_ONE = float(1 << 22)
_BLOCK = 1 << 18  # multiplications a matrix product: up to here OpenBLAS starts no threads (3 x faster on a busy CPU)
_NARROW = 1 << 25  # bytes between the two passes


@dataclass(frozen=True)
class Window:
    """The rectangle of a resized picture that is wanted, in its pixels."""

    top: int
    left: int
    height: int
    width: int


def resize(pixels: Pixels, height: int, width: int, kernel: Kernel) -> Pixels:
    """Resize a picture as Pillow's `Image.resize` does.

    Output pixel i lies at (i + 1/2) * source / resized; the kernel is widened by that ratio when the picture
    shrinks (antialiasing). Columns first, then rows, rounded to uint8 after each. Bicubic has a = -1/2,
    Lanczos 3 lobes. Every pixel equals Pillow's, except that Pillow from 13 on takes the rows first where the
    height shrinks far more than the width.

    Shapes: uint8 [H, W, C] -> uint8 [height, width, C]. Cost: two banded matrix products.
    """
    return resize_window(pixels, height, width, kernel, Window(0, 0, height, width))


def resize_window(pixels: Pixels, height: int, width: int, kernel: Kernel, window: Window) -> Pixels:
    """Resize to `height` x `width` but compute a window only: the pixels of `resize` and then a crop.

    Shapes: uint8 [H, W, C] -> uint8 [window.height, window.width, C]. Time grows with the part of the picture
    under the window, never with `height` * `width`; memory with the window (nearest: `height` + `width`).
    """
    rows = _Axis(pixels.shape[0], height, window.top, window.top + window.height)
    columns = _Axis(pixels.shape[1], width, window.left, window.left + window.width)
    if kernel == "nearest":
        return pixels[np.ix_(_nearest(rows), _nearest(columns))]
    result = np.empty((window.height, window.width, pixels.shape[2]), np.uint8)
    # A tall, thin picture grows between the passes, so it goes through in strips; others are one strip.
    strip = max(1, int(_NARROW / (rows.step * window.width * pixels.shape[2])))
    for start in range(rows.start, rows.stop, strip):
        part = _Axis(rows.source, rows.resized, start, min(start + strip, rows.stop))
        first, last = _reach(part, kernel)
        narrow = _pass(pixels[first:last].swapaxes(0, 1), columns, kernel, 0).swapaxes(0, 1)
        result[start - rows.start : part.stop - rows.start] = _pass(narrow, part, kernel, first)
    return result


@dataclass(frozen=True)
class _Axis:
    """One axis of a resize: its length before and after, and the output range that is wanted."""

    source: int
    resized: int
    start: int
    stop: int

    @property
    def step(self) -> float:
        return self.source / self.resized

    @property
    def widening(self) -> float:
        return max(self.step, 1.0)


def _nearest(axis: _Axis) -> NDArray[np.intp]:
    # Pillow walks along the line by adding the step; on exact ties its rounding errors pick the pixel.
    walk = np.full(axis.stop, axis.step)
    walk[0] *= 0.5
    places: NDArray[np.intp] = np.add.accumulate(walk)[axis.start :].astype(np.intp)
    return np.minimum(places, axis.source - 1)


def _pass(lines: NDArray[np.uint8], axis: _Axis, kernel: Kernel, first: int) -> Pixels:
    """Resample axis 0 of [n, m, C]; `first` is the source position of the first line given."""
    if axis.source == axis.resized:
        return lines[axis.start - first : axis.stop - first]
    result = np.empty((axis.stop - axis.start, *lines.shape[1:]), np.uint8)
    # A group of outputs shares one small dense matrix; few when each already reaches over many lines.
    group = max(1, min(16, int(1024 / axis.step)))
    for start in range(axis.start, axis.stop, group):
        stop = min(start + group, axis.stop)
        low, weights = _weights(_Axis(axis.source, axis.resized, start, stop), kernel)
        block = lines[low - first : low - first + weights.shape[1]]
        _mix(weights, block, result[start - axis.start : stop - axis.start])
    return result


def _mix(weights: Doubles, block: NDArray[np.uint8], result: Pixels) -> None:
    """`result[g, m, C]` = rounded `weights[g, k]` times `block[k, m, C]`, some columns at a time."""
    depth, length, channels = block.shape
    width = max(1, _BLOCK // (len(weights) * depth * channels))
    for left in range(0, length, width):
        part = block[:, left : left + width].astype(np.float64).reshape(depth, -1)
        mixed = np.floor(weights @ part / _ONE + 0.5)
        result[:, left : left + width] = np.clip(mixed, 0, 255).reshape(len(weights), -1, channels)


def _reach(axis: _Axis, kernel: Kernel) -> tuple[int, int]:
    """The source lines `first:last` that the wanted outputs need."""
    if axis.source == axis.resized:
        return axis.start, axis.stop
    lows, highs = _bounds(np.array([axis.start, axis.stop - 1]), axis, kernel)
    return int(lows[0]), int(highs[-1])


@lru_cache(maxsize=128)  # pictures of a size ask for the same: a quarter of the time of a photograph's resize
def _weights(axis: _Axis, kernel: Kernel) -> tuple[int, Doubles]:
    """First source line and [outputs, lines] weights in units of 2^-22, each row adding up to about one."""
    outputs = np.arange(axis.start, axis.stop)
    lows, highs = _bounds(outputs, axis, kernel)
    lines = np.arange(lows[0], highs[-1])
    centers = (outputs + 0.5) * axis.step
    raw = _KERNELS[kernel].curve((lines - centers[:, None] + 0.5) / axis.widening)
    raw = np.where((lines >= lows[:, None]) & (lines < highs[:, None]), raw, 0.0)
    shares = raw / raw.sum(axis=1, keepdims=True)
    weights = np.trunc(shares * _ONE + np.copysign(0.5, shares))
    weights.flags.writeable = False
    return int(lows[0]), weights


def _bounds(outputs: NDArray[np.int_], axis: _Axis, kernel: Kernel) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each output the source lines `low:high` under its kernel."""
    centers = (outputs + 0.5) * axis.step
    reach = _KERNELS[kernel].support * axis.widening
    lows = np.maximum(np.trunc(centers - reach + 0.5).astype(np.intp), 0)
    highs = np.minimum(np.trunc(centers + reach + 0.5).astype(np.intp), axis.source)
    return lows, highs


def _bilinear(x: Doubles) -> Doubles:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _bicubic(x: Doubles) -> Doubles:
    a, x = -0.5, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: Doubles) -> Doubles:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


@dataclass(frozen=True)
class _Curve:
    """A kernel: its half width and its weight at each distance, in pixels of the coarser side."""

    support: float
    curve: Callable[[Doubles], Doubles]


_KERNELS = {
    "bilinear": _Curve(1.0, _bilinear),
    "bicubic": _Curve(2.0, _bicubic),
    "lanczos": _Curve(3.0, _lanczos),
}

"""Square pieces of a picture, as large as a share of what the model sees, each brought to the model's input size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..dataset import Sample
from ..errors import OptionError, PictureError
from ..model import Model
from ..preprocess import prepare
from ..preprocess.resample import resize
from ..types import Picture, Pixels, Placement

SHARE = 64 / 224
"""Side of a crop as a share of the input's: 64 of 224 pixels, CRAFT's."""
STRIDE = 0.8
"""Step between crops as a share of a crop, CRAFT's."""
THUMB = 80
"""Side of a kept crop in pixels: ten concepts with six crops are 1.2 MB."""
Track = Callable[[Sequence[Any], str], Iterable[Any]]
"""Gives items one by one, and may show that it does under a title."""


@dataclass(frozen=True)
class Box:
    """A rectangle of a picture in whole pixels."""

    top: int
    left: int
    bottom: int
    right: int


def untracked(items: Sequence[Any], _: str) -> Iterable[Any]:
    return items


def opened(samples: Iterable[Sample], skipped: list[str]) -> Iterator[tuple[Sample, Picture]]:
    """Open samples one by one; those that cannot be opened are named in `skipped` and left out."""
    for sample in samples:
        try:
            yield sample, sample.open()
        except PictureError as error:
            skipped.append(f"{sample.name}: {error}")


def seen(model: Model, picture: Picture) -> tuple[NDArray[Any], Placement]:
    """Return the model input of a picture, and where in it that lies."""
    return prepare(picture, model.opened.preprocessing, model.opened.picture)


def boxes(placement: Placement, share: float = SHARE) -> list[Box]:
    """Lay boxes over what the model sees of a picture, evenly and to its edges: at a share of 2/7 four a side."""
    if not 0 < share <= 1:
        raise OptionError(f"expected crops of a share above 0 and up to 1 of the picture's side, got {share}")
    count = 1 + int((1 - share) / (STRIDE * share) + 1e-9)
    starts = np.linspace(0, 1 - share, count) if count > 1 else np.array([(1 - share) / 2])
    return [box_at(placement, y, x, share) for y in starts for x in starts]


def box_at(placement: Placement, y: float, x: float, share: float) -> Box:
    """Return the box of a corner (y, x) and a side, in shares of the placement: in the picture, at least a pixel."""
    top, bottom = edges(placement.top, placement.bottom, y, share, placement.picture_height)
    left, right = edges(placement.left, placement.right, x, share, placement.picture_width)
    return Box(top, left, bottom, right)


def edges(start: float, stop: float, at: float, share: float, most: int) -> tuple[int, int]:
    low, high = (round(start + where * (stop - start)) for where in (at, at + share))
    low = min(max(low, 0), most - 1)
    return low, min(max(high, low + 1), most)


def cut(picture: Picture, box: Box) -> Picture:
    pixels = np.ascontiguousarray(picture.pixels[box.top : box.bottom, box.left : box.right])
    return Picture(pixels, picture.name, picture.sha256)


def crop_features(model: Model, picture: Picture, box: Box) -> NDArray[Any]:
    """Return the raw features `[1, ...]` of a crop, stretched to the model's input. Cost: one backbone forward."""
    stretched = replace(model.opened.preprocessing, fit="stretch", crop=1.0)
    return model.features(prepare(cut(picture, box), stretched, model.opened.picture)[0])


def thumbnail(picture: Picture, box: Box, side: int = THUMB) -> Pixels:
    """Return a box of a picture as `[side, side, 3]`."""
    return resize(cut(picture, box).pixels, side, side, "bilinear")

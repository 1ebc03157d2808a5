"""The features of a picture as maps, whatever the units, and the head's answer to other maps in their place."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..model import Model
from ..runtime.batching import batches
from ..runtime.blas import one_blas_thread
from ..types import Floats, Split

Draw = Callable[[Floats], Floats]
"""Makes maps `[B, K, h, w]` of some rows `[B, ...]`."""


def require_maps(model: Model) -> None:
    """Raise OptionError where the units are patches of the picture, which have no features."""
    if model.split.units == "patch":
        raise OptionError("concepts and prototypes are of feature maps, and patch units have none; leave out --units")


def channels_of(split: Split) -> int:
    """Return how many maps there are."""
    return split.shape[2 if split.units == "token" else split.unit_axis]


def maps_of(model: Model, raw: NDArray[Any]) -> Floats:
    """Return features `[1, ...]` as float32 maps `[K, h, w]`; tokens on their grid, without class and register ones."""
    split = model.split
    real: Floats = model.real(raw)[0]
    if split.units == "token":
        return np.delete(real, split.fixed, axis=0).T.reshape(-1, *split.grid)
    return np.moveaxis(real, split.unit_axis - 1, 0)


def logits_of(model: Model, raw: NDArray[Any]) -> Floats:
    """Return the logits `[classes]` of a picture by its features `[1, ...]`. Cost: a head forward."""
    logits: Floats = model.rest.score(model.real(raw))[0]
    return logits


def logits_of_maps(model: Model, raw: NDArray[Any], rows: Floats, draw: Draw) -> Floats:
    """Return the logits `[B, classes]` with the maps that `draw` makes of rows `[B, ...]` in the place of a picture's.

    Class and register tokens stay those of the picture, whose features are `raw`. No more than a batch of maps is in
    memory. Cost: a head forward each.
    """
    rest, real, found = model.rest, model.real(raw), []
    for part in batches(rows, rest.batch):
        with one_blas_thread():
            maps = draw(part)
        found.append(rest.score(as_features(model, real, maps)))
    return np.concatenate(found)


def as_features(model: Model, real: Floats, maps: Floats) -> Floats:
    """Lay maps `[B, K, h, w]` out as the tensor at the split, `[B, ...]`."""
    split = model.split
    if split.units != "token":
        return np.moveaxis(maps, 1, split.unit_axis).astype(np.float32, copy=False)
    full = np.repeat(real, len(maps), axis=0).astype(np.float32)
    patches = np.setdiff1d(np.arange(full.shape[1]), split.fixed)
    full[:, patches] = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    return full

"""Pictures of several pictures: the map for one class should lie on the one that shows it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .dataset import Sample
from .errors import DdcamError
from .model import Model
from .preprocess import prepare
from .problem import Problem
from .saliency import enlarging
from .search.predicate import probabilities
from .types import Floats
from .whole import as_type

SIDE = 2
"""A mosaic is SIDE x SIDE pictures, each at half its size."""
CONFIDENT = 0.5
"""A picture enters a mosaic if its class has at least this probability by itself."""
TRIED = 24
"""Pictures that are looked at to find the others of a mosaic."""
KEPT = 64
"""Model inputs that are remembered: each is a part of a few mosaics in a row."""


class Mosaics:
    """Makes a mosaic of each picture and of the next ones that show other classes."""

    def __init__(self, model: Model, order: Sequence[Sample]) -> None:
        self.model, self.order = model, order
        self.seen = lru_cache(KEPT)(self._seen)

    def around(self, index: int, problem: Problem) -> tuple[NDArray[Any], NDArray[np.bool_]] | None:
        """Return a model input `[1, ...]` that holds picture `index`, and where, `[H, W]`.

        None where this picture is not certain to the model, or too few of the next ones are. Cost: a forward for each
        that is looked at for the first time.
        """
        own = decided(problem.logits, self.model)
        if own != problem.target:
            return None
        parts = {own: problem.channels_first(problem.picture)[0]}
        for step in range(1, min(TRIED, len(self.order) - 1) + 1):
            label, image = self.seen((index + step) % len(self.order))
            if label is not None and len(parts) < SIDE**2:
                parts.setdefault(label, image)
        if len(parts) < SIDE**2:
            return None
        made, cell = laid_out(list(parts.values()), index % SIDE**2)
        picture = self.model.opened.picture
        inputs = made[None] if picture.layout == "NCHW" else np.moveaxis(made, 0, 2)[None]
        return as_type(inputs, np.dtype(picture.dtype)), cell

    def _seen(self, index: int) -> tuple[int | None, Floats]:
        """Return the class that a picture is certain to show, if any, and the picture as model input `[K, H, W]`."""
        opened = self.model.opened
        try:
            inputs, _ = prepare(self.order[index].open(), opened.preprocessing, opened.picture)
        except DdcamError:  # it has a row of its own that says so
            return None, np.zeros(0)
        image = inputs[0] if opened.picture.layout == "NCHW" else np.moveaxis(inputs[0], 2, 0)
        return decided(self.model.whole.score(inputs)[0], self.model), image


def decided(logits: Floats, model: Model) -> int | None:
    """Return the class decided for where that is certain."""
    shares = probabilities(logits[None], model.opened.logits.activation)[0]
    best = int(shares.argmax())
    return best if shares[best] >= CONFIDENT else None


def laid_out(images: list[Floats], place: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Lay model inputs `[K, H, W]`, each at half its size, into one; the first comes to `place`, row by row.

    Returns `[K, H, W]` and where the first one is, `[H, W]`.
    """
    own, *others = images
    height, width = own.shape[1:]
    made, cell = np.empty(own.shape, np.float32), np.zeros((height, width), np.bool_)
    for index, image in enumerate([*others[:place], own, *others[place:]]):
        rows, columns = (halves(length)[at] for length, at in zip((height, width), divmod(index, SIDE), strict=True))
        down, across = enlarging((rows.stop - rows.start, columns.stop - columns.start), image.shape[1:])
        made[:, rows, columns] = down @ image.astype(np.float32) @ across.T
        cell[rows, columns] = index == place
    return made, cell


def halves(length: int) -> tuple[slice, slice]:
    return slice(0, length // SIDE), slice(length // SIDE, length)

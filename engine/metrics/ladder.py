"""The ladder of insertion, deletion and restoring area: the best pixels of a map, a fixed share more at every rung."""

import numpy as np
from numpy.typing import NDArray

from ..types import Floats
from .case import Case, Map, Substrate, require_positive

RUNGS = 28
"""Steps from nothing to the whole picture: RISE's 224 * 8 pixels a step, for inputs of 224 x 224."""


def shown_best(saliency: Map, case: Case, count: int, substrate: Substrate) -> Floats:
    """Return the probabilities `[count + 1, classes]` while the best pixels take the place of the substrate."""
    places = ranks(saliency)
    return case.score_each(sizes(saliency, count), lambda some: case.show(best(places, some), substrate))


def hidden_best(saliency: Map, case: Case, count: int, substrate: Substrate) -> Floats:
    """Return the probabilities `[count + 1, classes]` while the substrate takes the place of the best pixels."""
    places = ranks(saliency)
    return case.score_each(sizes(saliency, count), lambda some: case.show(~best(places, some), substrate))


def sizes(saliency: Map, count: int) -> NDArray[np.intp]:
    """Return how many pixels each rung holds, `[count + 1]`."""
    require_positive(count=count)
    return np.rint(np.linspace(0, saliency.size, count + 1)).astype(np.intp)


def ranks(saliency: Map) -> NDArray[np.intp]:
    """Return how many pixels are better than each, `[H, W]`.

    Ties are broken in reading order, so that a map without an opinion is revealed from the top.
    """
    found = np.empty(saliency.size, np.intp)
    found[np.argsort(-saliency, axis=None, kind="stable")] = np.arange(saliency.size)
    return found.reshape(saliency.shape)


def best(places: NDArray[np.intp], counts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return `[B, H, W]`: the best `counts` `[B]` pixels, of their ranks."""
    return places < counts[:, None, None]


def area(curve: Floats) -> float:
    """Return the area under a curve over equal steps from 0 to 1, by trapezia."""
    return float((curve.sum() - curve[0] / 2 - curve[-1] / 2) / (len(curve) - 1))

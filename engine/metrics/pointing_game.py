"""Pointing game: whether a map is highest on the object."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from ..errors import OptionError
from .case import Case, Map, needed
from .registry import MetricFacts, metric


@metric("pointing-game", MetricFacts("localisation", "higher", "nothing is run", "arXiv:1608.00507", ("box",)))
def pointing_game(saliency: Map, case: Case, *, tolerance: int = 0) -> float:
    """Return 1 where the highest pixel lies in the box, or within `tolerance` pixels of it, else 0.

    Of several highest pixels the share that does (Quantus: whether any does); a constant map is highest everywhere.
    TorchRay allows 15 pixels.
    Cost: nothing is run. Raises OptionError when the case has no box. Source: Zhang et al., ECCV 2016.
    """
    box = box_of(case, saliency)
    distance = distance_transform_edt(~box) if box.any() else np.full(box.shape, np.inf)
    return float((distance[saliency == saliency.max()] <= tolerance).mean())


def box_of(case: Case, saliency: Map) -> NDArray[np.bool_]:
    box = needed(case.box, "the object's box (use pictures that have one)")
    if box.shape != saliency.shape:
        raise OptionError(f"expected a map of {list(box.shape)} like the box, got {list(saliency.shape)}")
    return box

"""Box IoU and box accuracy: whether the box around the map's largest part is that of the object."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, label

from ..errors import OptionError
from .case import Case, Map, unit_range
from .pointing_game import box_of
from .registry import MetricFacts, metric

Box = tuple[slice, ...]
TOUCHING = np.ones((3, 3))
"""Pixels that touch at a corner belong together."""


@metric("box-iou", MetricFacts("localisation", "higher", "nothing is run", "arXiv:2001.07437", ("box",)))
def box_iou(saliency: Map, case: Case, *, threshold: float = 0.2) -> float:
    """Return intersection over union of two boxes: of the largest connected part of E >= threshold, and the object's.

    E is the map in 0..1; pixels are connected at their corners too, parts are compared by their pixels. Of several
    objects that do not touch, the one that fits best; 0 for a constant map. Papers take thresholds of 0.15 to 0.2.
    Cost: nothing is run. Raises OptionError. Source: Zhou et al., CVPR 2016; Choe et al., CVPR 2020.
    """
    if not 0 < threshold <= 1:
        raise OptionError(f"expected a threshold above 0 and up to 1, got {threshold}")
    found, true = largest(unit_range(saliency) >= threshold), parts(box_of(case, saliency))
    return max((overlap(found, box) for box in true), default=0.0) if found else 0.0


@metric("box-accuracy", MetricFacts("localisation", "higher", "nothing is run", "arXiv:2001.07437", ("box",)))
def box_accuracy(saliency: Map, case: Case, *, threshold: float = 0.2, least: float = 0.5) -> float:
    """Return 1 where `box-iou` is at least `least`, else 0: of the two boxes the intersection over union.

    MaxBoxAcc of the paper is the best mean over pictures of any threshold; MaxBoxAccV2 takes the mean of that at 0.3,
    0.5 and 0.7 for `least`. Cost: nothing is run. Raises OptionError. Source: Choe et al., CVPR 2020.
    """
    return float(box_iou(saliency, case, threshold=threshold) >= least)


def largest(mask: NDArray[np.bool_]) -> Box | None:
    """Return the box of the connected part of most pixels, the first in reading order of equal ones."""
    labels, count = label(mask, TOUCHING)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    return find_objects(labels)[int(sizes.argmax())] if count else None


def parts(mask: NDArray[np.bool_]) -> list[Box]:
    """Return the boxes of the connected parts."""
    return list(find_objects(label(mask, TOUCHING)[0]))


def overlap(first: Box, second: Box) -> float:
    """Return intersection over union."""
    common = 1
    for a, b in zip(first, second, strict=True):
        common *= max(0, min(a.stop, b.stop) - max(a.start, b.start))
    return common / (area_of(first) + area_of(second) - common)


def area_of(box: Box) -> int:
    return int((box[0].stop - box[0].start) * (box[1].stop - box[1].start))

"""Coherency: whether a method finds the same again in what it has shown."""

import numpy as np

from ..errors import DdcamError
from .average_drop import masked
from .case import Case, Map, needed
from .registry import MetricFacts, metric


@metric("coherency", MetricFacts("robustness", "higher", "the method again", "arXiv:2104.10252", ("explain",)))
def coherency(saliency: Map, case: Case) -> float:
    """Return (1 + Pearson's r) / 2 of the map and of the method's map of the picture dimmed by it, in 0..1.

    The class stays that of the picture. Where the method gives up on the dimmed picture (it is decided
    otherwise, say), or one of the maps is constant, 0. Cost: the method once more.
    Raises OptionError when the case has no method. Source: Poppi et al., CVPR workshops 2021.
    """
    explain = needed(case.explain, "`explain`, which runs the method again")
    try:
        again = explain(masked(saliency, case))
    except DdcamError:
        return 0.0
    return (1 + pearson(saliency, again)) / 2 if np.ptp(saliency) > 0 and np.ptp(again) > 0 else 0.0


def pearson(first: Map, second: Map) -> float:
    a, b = (m.astype(np.float64).ravel() - m.mean(dtype=np.float64) for m in (first, second))
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), -1, 1))

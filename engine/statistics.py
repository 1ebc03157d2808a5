"""Means over pictures with bootstrap intervals, and paired differences."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
"""A number a picture, NaN where a picture has none."""
DRAWS, LEVEL = 2000, 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over `count` pictures, and the interval that holds the true one with 95 % (percentile bootstrap)."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def clear(self) -> bool:
        """Say whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


def estimate(values: Values, seed: int = 0) -> Estimate | None:
    """Estimate the mean of the pictures that have a value; None where none has.

    The interval is between the percentiles 2.5 and 97.5 of the means of 2000 resamples of the pictures (Efron, 1979);
    one picture has no spread and thus an interval of no width.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return None
    picks = np.random.default_rng(seed).integers(known.size, size=(DRAWS, known.size))
    low, high = np.quantile(known[picks].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(known.mean()), float(low), float(high), known.size)


def paired(values: Values, baseline: Values, seed: int = 0) -> Estimate | None:
    """Estimate the mean difference to a baseline over the pictures that have both."""
    return estimate(values - baseline, seed)

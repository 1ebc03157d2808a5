"""How many items fit into one run, and a long array cut into such pieces."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

BUDGET = 256 * 2**20
"""Bytes of activations per run."""
LARGEST = 64
"""Items per run."""


def fit_batch(bytes_per_item: int, budget: int = BUDGET) -> int:
    """Return how many items a run may hold: at least 1, at most 64."""
    return max(1, min(LARGEST, budget // max(1, bytes_per_item)))


def batches(items: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

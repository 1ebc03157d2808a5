"""How many items fit into one run on a device, and a long array cut into such pieces."""

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ..types import Device

BUDGETS: dict[Device, int] = {"cpu": 256 * 2**20, "cuda": 2 * 2**30}
"""Bytes of activations per run; that of CUDA was chosen without a GPU to measure on."""
LARGEST: dict[Device, int] = {"cpu": 64, "cuda": 1024}
"""Items per run; that of CUDA was chosen without a GPU to measure on."""


def fit_batch(
    bytes_per_item: int, device: Device = "cpu", *, budget: int | None = None, most: int | None = None
) -> int:
    """Return how many items a run on a device may hold: at least 1, at most `most`, within `budget` bytes.

    Both are the device's own by default: BUDGETS and LARGEST.
    """
    room = BUDGETS[device] if budget is None else budget
    return max(1, min(LARGEST[device] if most is None else most, room // max(1, bytes_per_item)))


def batches(items: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]

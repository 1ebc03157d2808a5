"""Pictures cut out of photographs at the size of a model, so that nothing resizes them."""

from pathlib import Path

import numpy as np

import ddcam
from ddcam.engine.preprocess import from_pixels


def pictures(size: int, count: int = 20) -> list[ddcam.Picture]:
    photographs = np.load(Path(ddcam.__file__).parent / "engine" / "check_pictures.npy")
    random = np.random.default_rng(0)
    found = []
    for i in range(count):
        top, left = random.integers(0, photographs.shape[1] - size), random.integers(0, photographs.shape[2] - size)
        found.append(from_pixels(photographs[i % 3, top : top + size, left : left + size], f"cut {i}"))
    return found

"""scikit-learn's digits as the demo models see them, and which of them were held out from training."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

Floats = NDArray[np.float32]

SPLIT_SEED = 0
HELD_OUT = 449
"""A quarter of the 1797 pictures."""

SIZE = 32
"""Height and width of the models' input; the data set's own pictures are 8 x 8."""

INK = 16
"""The brightest value in the data set; 0 is the background."""

LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Digits:
    """Model inputs `[N, 1, 32, 32]` in 0..1, their classes `[N]` and their rows in the data set `[N]`."""

    inputs: Floats
    classes: NDArray[np.int64]
    rows: NDArray[np.int64]


def training_digits() -> Digits:
    """Return the three quarters of the data set that the models were trained on."""
    return _pick(_shuffled()[HELD_OUT:])


def held_out_digits() -> Digits:
    """Return the quarter of the data set that no model saw; drawn by picture, so its writers were seen."""
    return _pick(_shuffled()[:HELD_OUT])


def raw_digits() -> tuple[Floats, NDArray[np.int64]]:
    """Return the data set as it is: pictures `[1797, 8, 8]` in 0..16, classes `[1797]`."""
    digits: Any = load_digits()
    return digits.images.astype(np.float32), digits.target.astype(np.int64)


def upscale(pictures: Floats, size: int) -> Floats:
    """Enlarge `[N, h, w]` to `[N, size, size]`: bilinear between pixel centres, edges repeated."""
    rows = _interpolation(pictures.shape[1], size)
    columns = _interpolation(pictures.shape[2], size)
    return (rows @ pictures @ columns.T).astype(np.float32)


def _shuffled() -> NDArray[np.int64]:
    # RandomState's stream is frozen by NumPy; that of default_rng may change with a release.
    return np.random.RandomState(SPLIT_SEED).permutation(1797).astype(np.int64)


def _pick(rows: NDArray[np.int64]) -> Digits:
    pictures, classes = raw_digits()
    return Digits(upscale(pictures[rows] / np.float32(INK), SIZE)[:, None], classes[rows], rows)


def _interpolation(before: int, after: int) -> Floats:
    """Return the `[after, before]` matrix that interpolates linearly."""
    centres = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    distances = np.abs(centres[:, None] - np.arange(before))
    weights: Floats = np.maximum(0, 1 - distances).astype(np.float32)
    return weights

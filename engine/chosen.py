"""What is explained instead of the whole picture's class: a box that a detector found, or the class of a region."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

DetectorKind = Literal["pair", "columns", "rows", "objectness", "lists", "table", "numbered", "caffe"]
LISTED = frozenset({"lists", "table", "numbered", "caffe"})
"""How a detector arranges what it found, docs/detection.md has a line for each; LISTED is left after suppression."""
BoxForm = Literal["corners", "yx", "centre", "cells"]
"""left, top, right, bottom; top, left, bottom, right; the centre, width and height; or these as offsets to cells."""
BoxUnit = Literal["share", "pixels"]
"""Shares of the model input's sides, or its pixels."""
ScoreForm = Literal["plain", "softmax", "sigmoid"]
"""Probabilities already, or what makes them."""
Level = tuple[int, int, int]
"""A grid of cells, one for each box of a level: rows, columns, and pixels of the model input along a cell."""
Box = tuple[float, float, float, float]
"""left, top, right, bottom."""
NONE = -1
"""The background of detectors that have none."""


@dataclass(frozen=True)
class Reading:
    """How a detector's outputs are read, and why.

    `outputs` are their names in the order of the kind: scores and boxes; or boxes, labels and scores; else one.
    `boxes` and `unit` say what four numbers of a box are, `scores` what makes probabilities of the scores,
    `background` which class is nothing, `classes` how many there are with it (0: a list of labels names them).
    `levels` are the grids that boxes in the form `cells` lie on.
    """

    kind: DetectorKind
    outputs: tuple[str, ...]
    boxes: BoxForm
    unit: BoxUnit
    scores: ScoreForm
    background: int
    classes: int
    reason: str
    levels: tuple[Level, ...] = ()

    def __str__(self) -> str:
        """Write it as --detector takes it."""
        return f"{self.kind}:boxes={self.boxes}:unit={self.unit}:scores={self.scores}:background={self.background}"


@dataclass(frozen=True)
class Detection:
    """A box that a detector found: class, score, and corners in the picture and in the detector's own units.

    `shares` are the scores of every class there, which D-RISE compares; a list after suppression has none.
    """

    index: int
    label: str
    score: float
    box: Box
    inner: Box
    shares: tuple[float, ...] = ()

    @property
    def corners(self) -> str:
        """The box in whole pixels, as --box takes it."""
        return ",".join(f"{edge:.0f}" for edge in self.box)

    def __str__(self) -> str:
        return f"{self.label} {self.score:.2f} at {self.corners}"


@dataclass(frozen=True)
class ChosenBox:
    """A found box to explain, and what still counts as the same.

    That is a box of the same class with at least `iou` in common with it and a score above `least`.
    """

    reading: Reading
    found: Detection
    iou: float
    least: float

    def __str__(self) -> str:
        return str(self.found)


@dataclass(frozen=True)
class ChosenRegion:
    """A part of the picture whose class is explained: the share of each place of the output's grid `[h, w]`, sum 1.

    `output` is the tensor with the scores of each place, `axis` that of its classes, `ending` what follows it, `said`
    how the region was given, and `mask` `[H, W]` the same in the picture, for drawing.
    """

    output: str
    axis: int
    ending: Literal["none", "sigmoid"]
    said: str
    weights: NDArray[np.float32]
    mask: NDArray[np.bool_] | None = None

    def __str__(self) -> str:
        return f"the region {self.said}"


Chosen = ChosenBox | ChosenRegion

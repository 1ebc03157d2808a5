"""The catalogue of metrics: one file each, listed here by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .adcc import adcc
from .average_drop import average_drop
from .case import Case, Map, Substrate, case_of, unit_range
from .coherency import coherency
from .complexity import complexity
from .deletion import deletion
from .energy import energy
from .insertion import insertion
from .pointing_game import pointing_game
from .restoring_area import restoring_area


@dataclass(frozen=True)
class Metric:
    """A measure of one map on one case, in 0..1, which way is better, and what the case must have for it."""

    measure: Callable[[Map, Case], float]
    better: Literal["higher", "lower"]
    needs: Literal["", "box", "explain"] = ""


METRICS: dict[str, Metric] = {
    "insertion": Metric(insertion, "higher"),
    "deletion": Metric(deletion, "lower"),
    "average-drop": Metric(average_drop, "lower"),
    "coherency": Metric(coherency, "higher", "explain"),
    "complexity": Metric(complexity, "lower"),
    "adcc": Metric(adcc, "higher", "explain"),
    "energy": Metric(energy, "higher", "box"),
    "pointing-game": Metric(pointing_game, "higher", "box"),
    "restoring-area": Metric(restoring_area, "lower"),
}

__all__ = ["METRICS", "Case", "Map", "Metric", "Substrate", "case_of", "unit_range"]

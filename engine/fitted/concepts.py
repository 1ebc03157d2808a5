"""Concepts of a class (CRAFT): what they are, and the file they are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..model import Model
from ..types import Floats, Pixels
from .archive import Kind, identity, read_archive, require_same, write_archive
from .factors import codes
from .maps import channels_of

KIND = Kind(
    "concepts",
    "concepts MODEL FOLDER --target CLASS -o FILE",
    {"directions": ("float32", 2), "offset": ("float32", 1), "importance": ("float32", 1), "crops": ("uint8", 5)},
)


@dataclass(frozen=True)
class Concepts:
    """Concepts of a class, most important first: the features of a place, less `offset` `[K]`, are about U W.

    `directions` are W `[r, K]`, of unit length; `importance` `[r]` total Sobol indices of the class's logit, a mean
    over pictures; `crops` the best of each concept, `[r, n, side, side, 3]`; `facts` what the fit counted and measured.
    """

    target: int
    label: str
    directions: Floats
    offset: Floats
    importance: Floats
    crops: Pixels
    facts: Mapping[str, Any]

    def codes(self, maps: Floats) -> Floats:
        """Return U `[hw, r]` of maps `[K, h, w]`: how much of each concept lies in each place, at least 0."""
        return codes(rectified(maps.reshape(len(maps), -1).T, self.offset), self.directions)

    def maps(self, found: Floats, grid: tuple[int, int]) -> Floats:
        """Return the maps `[..., K, h, w]` that codes `[..., hw, r]` stand for."""
        cells = found @ self.directions + self.offset
        return np.asarray(np.swapaxes(cells, -1, -2).reshape(*cells.shape[:-2], -1, *grid))


def rectified(rows: Floats, offset: Floats) -> Floats:
    return np.maximum(rows - offset, 0)


# ----- the file -----


def write_concepts(concepts: Concepts, model: Model, path: Path, *, replace: bool = False) -> None:
    """Write concepts as a .npz file without pickle, whole or not at all; raises OutputError."""
    header = {"model": identity(model), "target": concepts.target, "label": concepts.label, "facts": concepts.facts}
    write_archive(path, KIND, header, {name: getattr(concepts, name) for name in KIND.arrays}, replace=replace)


def open_concepts(path: Path, model: Model) -> Concepts:
    """Read concepts that were fitted on this model; raises FittedFileError for others and for damaged files."""
    fitted = read_archive(path, KIND)
    require_same(fitted, KIND, model)
    target, label, facts = (fitted.header.get(name) for name in ("target", "label", "facts"))
    directions, offset, importance, crops = (fitted.arrays[name] for name in KIND.arrays)
    rank, channels = directions.shape
    fits = (offset.shape, importance.shape, crops.shape[0], crops.shape[4]) == ((channels,), (rank,), rank, 3)
    width = channels_of(model.split)
    if not (fits and rank and channels == width and type(target) is int and 0 <= target < model.opened.logits.classes):
        KIND.refuse(path, "is damaged: its arrays do not fit each other or the model")
    known = facts if isinstance(facts, dict) else {}
    return Concepts(target, str(label), directions, offset, importance, crops, known)

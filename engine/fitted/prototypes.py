"""Prototypes of channels (EPIC): what they are, and the file they are kept in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model import Model
from ..types import Floats, Pixels
from .archive import Kind, identity, read_archive, require_same, write_archive
from .maps import channels_of
from .pooled import Pooled

KIND = Kind(
    "prototypes",
    "prototypes MODEL IMAGE... -o FILE",
    {
        "turn": ("float32", 2),
        "weights": ("float32", 2),
        "bias": ("float32", 1),
        "pictures": ("int32", 2),
        "cells": ("int32", 2),
        "purity": ("float32", 2),
        "bank": ("uint8", 4),
    },
)
SHARE = 0.4
"""Side of what is shown around a prototype's place, as a share of the picture's."""


@dataclass(frozen=True)
class Prototypes:
    """Channels U Z of features Z, and where each is strongest in known pictures; logits = W U^T mean(U Z) + b.

    `turn` is U `[K, K]`, orthogonal; `weights` and `bias` are W and b of the model's head; `pictures`, `cells` and
    `purity` `[K, N]` say in which picture of the `bank` `[m, side, side, 3]`, in which place of the grid, how purely.
    """

    turn: Floats
    weights: Floats
    bias: Floats
    pictures: NDArray[Any]
    cells: NDArray[Any]
    purity: Floats
    bank: Pixels
    facts: Mapping[str, Any]

    def channels(self, maps: Floats) -> Floats:
        """Return U Z of maps Z `[K, h, w]`."""
        return np.asarray((self.turn @ maps.reshape(len(maps), -1)).reshape(maps.shape))

    @property
    def head(self) -> Pooled:
        """What turns the means of U Z into logits: W U^T and b."""
        return Pooled(self.weights @ self.turn.T, self.bias)

    def examples(self, channel: int, grid: tuple[int, int]) -> Pixels:
        """Cut the prototypes of a channel, `[N, side, side, 3]`, each around its place."""
        whole = self.bank.shape[1]
        side, found = max(1, round(SHARE * whole)), []
        for index, cell in zip(self.pictures[channel], self.cells[channel], strict=True):
            centres = ((part + 0.5) / size * whole for part, size in zip(divmod(int(cell), grid[1]), grid, strict=True))
            top, left = (int(np.clip(round(centre - side / 2), 0, whole - side)) for centre in centres)
            found.append(self.bank[index, top : top + side, left : left + side])
        return np.stack(found)


def write_prototypes(prototypes: Prototypes, model: Model, path: Path, *, replace: bool = False) -> None:
    """Write prototypes as a .npz file without pickle, whole or not at all; raises OutputError."""
    header = {"model": identity(model), "facts": prototypes.facts}
    write_archive(path, KIND, header, {name: getattr(prototypes, name) for name in KIND.arrays}, replace=replace)


def open_prototypes(path: Path, model: Model) -> Prototypes:
    """Read prototypes that were fitted on this model; raises FittedFileError for others and for damaged files."""
    fitted = read_archive(path, KIND)
    require_same(fitted, KIND, model)
    turn, weights, bias, pictures, cells, purity, bank = (fitted.arrays[name] for name in KIND.arrays)
    width, classes, grid = channels_of(model.split), model.opened.logits.classes, model.split.grid
    shapes = (turn.shape, weights.shape, bias.shape) == ((width, width), (classes, width), (classes,))
    shapes &= pictures.shape == cells.shape == purity.shape and len(pictures) == width and pictures.size > 0
    shapes &= bank.shape[1] == bank.shape[2] > 0 and bank.shape[3] == 3
    if not (shapes and within(pictures, len(bank)) and within(cells, grid[0] * grid[1])):
        KIND.refuse(path, "is damaged: its arrays do not fit each other or the model")
    facts = fitted.header.get("facts")
    known = facts if isinstance(facts, dict) else {}
    return Prototypes(turn, weights, bias, pictures, cells, purity, bank, known)


def within(indices: NDArray[Any], most: int) -> bool:
    return bool(indices.min() >= 0 and indices.max() < most)

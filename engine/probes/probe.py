"""How probes are answered: a session from masks to logits, and what it needs of a picture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..check import difference
from ..graph.cut import LOGITS, MASK
from ..graph.fold import (
    INDEX,
    Reading,
)
from ..graph.surrogate import multiplications
from ..graph.walk import path_nodes
from ..head import Head, Open, bytes_per_mask, random_masks
from ..open_model import Opened
from ..runtime.binding import Bound, MaskedHead
from ..runtime.session import Session
from ..search.gate import TOGETHER
from ..types import Split

WEIGHTS = 16
"""Probes that cost little more than one where large weights are read for a few products (VGG, the block of a ViT)."""
Fixed = Mapping[str, Any]
"""Inputs that a picture fixes, by name."""


@dataclass(frozen=True)
class Probe:
    """How probes are answered: `session` leads from masks, and what `prepare` makes of the features, to logits.

    `point` is the tensor at which units are selected and `removed` what a removed unit is there (None: 0 at the
    split); `size` is what one probe takes; `strengths` guesses from what was prepared how strong each unit
    is, `[n]`; `together` is how many probes cost little more than one; `columns` answers probes of few units.
    """

    kind: str
    session: Session
    batchable: bool
    reason: str
    point: Split
    prepare: Callable[[NDArray[Any]], Fixed]
    size: "Size"
    strengths: Callable[[Fixed], NDArray[Any]]
    removed: NDArray[Any] | None = None
    together: int = TOGETHER
    columns: "Columns | None" = None

    def bind(self, features: NDArray[Any], batch: int) -> MaskedHead:
        """Bind the features of a picture."""
        return self.bind_prepared(self.prepare(features), features, batch)

    def bind_prepared(self, prepared: Fixed, features: NDArray[Any] | None, batch: int) -> MaskedHead:
        """Bind what `prepare` gave; without features, probes of few units are not answered apart."""
        dense, columns = Bound(self.session, prepared, MASK, LOGITS), self.columns
        if columns is None or features is None:
            return MaskedHead(dense, batch)
        return MaskedHead(dense, batch, Bound(columns.session, columns.prepare(features), INDEX, LOGITS), columns.few)


@dataclass(frozen=True)
class Size:
    """What one probe takes: multiplications, and bytes of activations."""

    multiplications: int
    bytes: int


@dataclass(frozen=True)
class Columns:
    """The session for probes of at most `few` units, and what it needs of the features."""

    session: Session
    prepare: Callable[[NDArray[Any]], Fixed]
    few: int


@dataclass(frozen=True)
class Cut:
    """What a probe is made from: the model, its split and whole head, the features of one photograph.

    `alone` is the session of the whole head that has the last word; `open` opens others on the model's device,
    `open_light` those of graphs so small that waking a second thread costs more than it saves.
    """

    opened: Opened
    split: Split
    head: Head
    features: NDArray[Any]
    alone: Session
    open: Open
    open_light: Open

    @property
    def reading(self) -> Reading:
        logits = self.opened.logits
        return Reading(logits, self.head.quantized.get(logits.tensor))

    def size(self, tensor: str) -> Size:
        """Estimate what a run from a tensor to the logits takes."""
        graph = self.opened.graph.proto.graph
        path = path_nodes(graph, tensor, self.opened.logits.tensor)
        return Size(multiplications(graph, path, self.opened.measured.values), bytes_per_mask(self.opened, tensor))


def additivity_error(bound: MaskedHead, units: int) -> float:
    """Return the largest relative |z(S) + z(T) - z(S u T) - z(none)| over random disjoint S and T."""
    first, second = random_masks(units, 8), random_masks(units, 8, seed=1)
    second = second * (1 - first)
    parts = bound.score(first) + bound.score(second)
    whole = bound.score(first + second) + bound.score(np.zeros((1, units), np.float32))
    return difference(parts, whole)

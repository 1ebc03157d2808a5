"""What the probes of several pictures go through together: the same head, told for each mask whose it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .errors import ModelError, RunError
from .graph.cut import FEATURES, LOGITS, MASK
from .graph.fold import INDEX, ROWS
from .graph.pictures import WHICH, pick_features, shift_indices
from .head import SAME, batched_graph, bind_head, telling_masks
from .probes import Columns, Cut, Fixed, Probe
from .probes.columns import columns_graph, few_units
from .runtime.batching import BUDGETS, batches, fit_batch
from .runtime.binding import Bound, indices
from .runtime.session import Session
from .types import Device, Floats, Masks

SELECTING = frozenset({"whole head", "apart", "whole model"})
"""Probes that select in features; the others multiply by a matrix of the picture, too large to copy for each mask."""

ACTIVATIONS: dict[Device, int] = {"cpu": 16 * 2**20, "cuda": BUDGETS["cuda"]}
"""Bytes of activations per run. On a CPU larger runs leave the caches and touch new memory with every new shape: on
SqueezeNet 1.1 16 runs of 4 masks took 8 ms of processor time, one of 64 took 10 ms, and 41 ms where it was the first.
That of CUDA was chosen without a GPU to measure on."""


@dataclass(frozen=True)
class Together:
    """Sessions for the masks of several pictures, and how many masks a run holds.

    `columns` is of the probe, `few` the session in which its masks of few units go.
    """

    dense: Session
    batch: int
    columns: Columns | None = None
    few: Session | None = None

    def bind(self, prepared: Sequence[Fixed], features: Sequence[NDArray[Any]]) -> "Pictures":
        """Bind the features of pictures, as `Probe.prepare` gave them and as they are; they are uploaded once."""
        dense = Bound(self.dense, {FEATURES: np.concatenate([fixed[FEATURES] for fixed in prepared])}, MASK, LOGITS)
        if self.columns is None or self.few is None:
            return Pictures(dense, self.batch)
        rows = np.concatenate([self.columns.prepare(one)[ROWS] for one in features])
        return Pictures(dense, self.batch, Bound(self.few, {ROWS: rows}, INDEX, LOGITS), self.columns.few)


@dataclass(frozen=True)
class Pictures:
    """Heads to which the features of several pictures are bound."""

    dense: Bound
    batch: int
    sparse: Bound | None = None
    few: int = 0

    def score(self, asked: Mapping[int, Masks]) -> dict[int, Floats]:
        """Return the logits `[B, classes]` of the masks `[B, n]` of each picture, by its index.

        Cost: one head forward per mask, batched over pictures; masks of few units apart from the others, as
        `MaskedHead` does for one picture.
        """
        few = {i: masks for i, masks in asked.items() if self.sparse and masks.sum(axis=1).max() <= self.few}
        many = {i: masks for i, masks in asked.items() if i not in few}
        return (self.in_runs(self.sparse, few) if self.sparse else {}) | self.in_runs(self.dense, many)

    def in_runs(self, head: Bound, asked: Mapping[int, Masks]) -> dict[int, Floats]:
        if not asked:
            return {}
        counts = [len(masks) for masks in asked.values()]
        which, masks = np.repeat(np.array(list(asked), np.int64), counts), np.concatenate(list(asked.values()))
        alike = np.argsort(masks.sum(axis=1), kind="stable")  # the masks of a sparse run are padded to its longest
        parts = [self.run(head, masks[part], which[part]) for part in batches(alike, self.batch)]
        logits = np.concatenate(parts)[np.argsort(alike)]
        return dict(zip(asked, np.split(logits, np.cumsum(counts)[:-1]), strict=True))

    def run(self, head: Bound, masks: Masks, which: NDArray[np.int64]) -> Floats:
        value = indices(masks) if head is self.sparse else np.ascontiguousarray(masks, np.float32)
        return head.run(value, [(WHICH, which)])


def open_together(cut: Cut, probe: Probe, batch: int, samples: Sequence[NDArray[Any]]) -> Together | None:
    """Open what answers masks of several pictures at once, proved on the features of photographs.

    None where a probe cannot be shared: it multiplies by a matrix of its picture, masks in a batch influence each
    other, or a run has no room for two. `batch` is the most masks a run; the copies of features that a run needs can
    make it fewer. Cost: a second copy of the head's weights, and for each photograph ten masks by the canonical run.
    """
    if probe.kind not in SELECTING or not probe.batchable:
        return None
    try:
        together = opened(cut, probe, batch)
        sharing = [t for t in (together, replace(together, few=None)) if proved(cut, probe, t, samples)]
    except (ModelError, RunError):
        return None
    return sharing[0] if sharing and together.batch > 1 else None


def opened(cut: Cut, probe: Probe, batch: int) -> Together:
    head, columns = batched_graph(cut.opened, probe.point, probe.removed), probe.columns
    rows = len(cut.features)
    graph = pick_features(head, FEATURES) if rows == 1 else shift_indices(head, FEATURES, rows, 1)
    copies = probe.prepare(cut.features)[FEATURES].nbytes
    device = cut.alone.device
    most = fit_batch(probe.size.bytes + copies, device, budget=ACTIVATIONS[device], most=batch)
    sparse = columns_graph(cut, probe) if columns else None
    if sparse is None:
        return Together(cut.open(graph), most)
    few = cut.open(shift_indices(sparse, ROWS, cut.split.count + 2, 2))
    return Together(cut.open(graph), most, columns, few)


def proved(cut: Cut, probe: Probe, together: Together, samples: Sequence[NDArray[Any]]) -> bool:
    """Compare masks of several photographs, in a batch and alone, with the whole head."""
    units = cut.split.count
    kinds = [telling_masks(units)]
    if together.columns:
        kinds.append(few_units(units, together.columns.few))
    prepared = [probe.prepare(features) for features in samples]
    for masks in kinds:
        expected = [bind_head(cut.alone, features, 1).score(masks) for features in samples]
        for batch in (1, together.batch):
            found = (
                replace(together, batch=batch).bind(prepared, samples).score(dict.fromkeys(range(len(samples)), masks))
            )
            if not all(difference(found[i], logits) <= SAME for i, logits in enumerate(expected)):
                return False
    return True

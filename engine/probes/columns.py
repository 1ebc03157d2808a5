"""Probes of few units behind which a 1x1 convolution stands: its columns for those units alone."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..graph.cut import FEATURES
from ..graph.fold import (
    ROWS,
    find_pointwise,
    rest_of,
    sparse_head,
)
from ..head import mixes_batch
from ..types import Content, Masks
from .probe import Columns, Cut, Fixed, Probe

DEAR = 3
"""Probes asked in one go here, where each costs about as much as the first (2 to 4 were tried on a SqueezeNet)."""
SPARSE = 8
"""A probe of at most 1/8 of the units multiplies their columns alone; with more, gathering costs what it saves."""


def make_columns(cut: Cut, probe: Probe) -> Columns | None:
    """Where a 1x1 convolution follows the units, let probes of few units multiply those columns alone."""
    graph, point = columns_graph(cut, probe), probe.point
    if graph is None:
        return None

    def prepare(features: NDArray[Any]) -> Fixed:
        rows = probe.prepare(features)[FEATURES].reshape(point.count, -1)
        return {ROWS: np.concatenate([rows, np.ones_like(rows[:1]), np.zeros_like(rows[:1])])}

    # Three probes of a SqueezeNet took 0.40 ms on one thread and 0.60 on two.
    return Columns(cut.open_light(graph), prepare, max(1, point.count // SPARSE))


def columns_graph(cut: Cut, probe: Probe) -> Content | None:
    """Serialise the head that multiplies the columns of a few units; None where no 1x1 convolution follows them."""
    opened, point = cut.opened, probe.point
    found = (
        None
        if mixes_batch(opened, cut.split.tensor)
        else find_pointwise(opened.graph.proto.graph, point, opened.measured)
    )
    if (
        found is None
        or probe.kind not in ("whole head", "apart")
        or (probe.removed is not None and probe.removed.any())
    ):
        return None
    try:
        rest = rest_of(opened.graph.proto, opened.measured, found.output, opened.logits.tensor)
    except ModelError:  # the batch of what follows stays fixed
        return None
    return sparse_head(rest, found, cut.reading, opened.measured)


def few_units(units: int, few: int) -> Masks:
    """Return masks that keep 1, 2, 3 and `few` units, and none."""
    masks = np.zeros((5, units), np.float32)
    for row, count in enumerate((1, 2, 3, few)):
        masks[row] = np.random.default_rng(row).permutation(np.arange(units) < min(count, few))
    return masks

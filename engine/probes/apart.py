"""Units selected behind what acts on each of them alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.apart import advance
from ..graph.cut import FEATURES, Part, extract
from ..head import open_batched
from ..types import Split
from .probe import Cut, Fixed, Probe

SELECTING = 9
"""The first operator set that can select (Where); before, a removed unit can only be 0."""


def apart_probe(cut: Cut, apart: "Apart") -> Iterator[Probe]:
    """Select units behind what acts on each of them alone."""
    point, each, removed = apart.point, apart.each, apart.removed
    if point.tensor == cut.split.tensor or (removed.any() and cut.opened.graph.opset < SELECTING):
        return
    head = open_batched(cut.opened, point, each(cut.features), cut.open, removed)
    strengths, size = partial(means, point=point, removed=removed), cut.size(point.tensor)
    yield Probe(
        "apart",
        head.session,
        head.batchable,
        head.reason,
        point,
        lambda x: {FEATURES: each(x)},
        size,
        strengths,
        removed,
    )


@dataclass(frozen=True)
class Apart:
    """Units where they meet: the tensor, what leads there from the features, and what a removed unit is there."""

    point: Split
    each: Callable[[NDArray[Any]], NDArray[Any]]
    removed: NDArray[Any]


def apart_units(cut: Cut) -> Apart:
    opened, split = cut.opened, cut.split
    point = advance(opened.graph.proto.graph, split, opened.logits.tensor, opened.measured.values)
    quantization = cut.head.quantized.get(split.tensor)
    nothing = np.full_like(cut.features, quantization.zero if quantization else 0)
    if point.tensor == split.tensor:
        return Apart(point, lambda features: features, nothing)
    part = extract(opened.graph.proto, opened.measured, Part(split.tensor, (point.tensor,)))
    session = cut.open_light(part.SerializeToString())
    return Apart(
        point, lambda features: session.run({split.tensor: features})[0], session.run({split.tensor: nothing})[0]
    )


def means(prepared: Fixed, point: Split, removed: NDArray[Any]) -> NDArray[Any]:
    """Return the mean of each channel at `point`, less that of a removed one; of cells and tokens the length."""
    values = prepared[FEATURES].astype(np.float64) - removed
    if point.units == "cell":
        return np.asarray(np.sqrt(np.square(values[0]).sum(axis=point.unit_axis - 1))).ravel()
    units = np.moveaxis(values[0], point.unit_axis - 1, 0).reshape(point.shape[point.unit_axis], -1)
    if point.units == "token":
        return np.delete(np.sqrt(np.square(units).sum(axis=1)), list(point.fixed))
    return np.asarray(units.mean(axis=1))

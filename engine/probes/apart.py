"""Units selected behind what acts on each of them alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.apart import advance
from ..graph.content import content_of
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
    strengths, size = strengths_at(point, removed), cut.size(point.tensor)
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
    session = cut.open_light(content_of(part))
    return Apart(
        point, lambda features: session.run({split.tensor: features})[0], session.run({split.tensor: nothing})[0]
    )


def strengths_at(point: Split, removed: NDArray[Any]) -> Callable[[Fixed], NDArray[Any]]:
    """Return what tells how strong units are at `point`.

    Of a channel the mean, less that of a removed one; of cells and tokens the length.
    """
    if point.units != "channel":
        return partial(lengths, point=point, removed=removed)
    others = tuple(axis for axis in range(len(point.shape)) if axis != point.unit_axis)
    without = np.broadcast_to(removed, point.shape).mean(axis=others)  # once a model
    return lambda prepared: np.asarray(prepared[FEATURES].mean(axis=others, dtype=np.float32) - without)


def lengths(prepared: Fixed, point: Split, removed: NDArray[Any]) -> NDArray[Any]:
    values = np.square(prepared[FEATURES].astype(np.float64) - removed)[0]
    if point.units == "cell":
        return np.asarray(np.sqrt(values.sum(axis=point.unit_axis - 1))).ravel()
    units = np.moveaxis(values, point.unit_axis - 1, 0).reshape(point.shape[point.unit_axis], -1)
    return np.asarray(np.delete(np.sqrt(units.sum(axis=1)), list(point.fixed)))

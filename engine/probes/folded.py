"""The product of all values of the units, folded into one vector a unit."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.fold import (
    BLOCKS,
    PRODUCTS,
    REST,
    UNITS,
    find_product,
    folded_head,
    products_graph,
    rest_of,
    unit_rows,
)
from ..runtime.binding import Bound
from .apart import Apart
from .probe import WEIGHTS, Cut, Fixed, Probe, Size


def folded_probe(cut: Cut, apart: Apart) -> Iterator[Probe]:
    """Fold the product of all values of the units where it is the first thing that they meet in."""
    opened, channels = cut.opened, cut.split.units == "channel"
    found = find_product(opened.graph.proto.graph, apart.point, opened.measured) if channels else None
    if found is None:
        return
    behind = rest_of(opened.graph.proto, opened.measured, found.output, opened.logits.tensor)
    count, _, width = found.weights.shape
    folded = cut.open(folded_head(behind, found, cut.reading))
    weighted = Bound(cut.open(products_graph(found)), {BLOCKS: found.weights}, UNITS, PRODUCTS)

    def products(values: NDArray[Any]) -> NDArray[Any]:
        return weighted.run(unit_rows(values, apart.point)[:, None])

    without = found.bias + products(apart.removed).sum(axis=0) if apart.removed.any() else found.bias

    def prepare(features: NDArray[Any]) -> Fixed:
        return {PRODUCTS: products(apart.each(features) - apart.removed), REST: without}

    reason = "the product with all values of the units is one vector a unit, computed once a picture"
    rest = cut.size(found.output)
    size = Size(count * width + rest.multiplications, 4 * count + rest.bytes)
    strengths = lambda fixed: np.abs(fixed[PRODUCTS]).mean(axis=1)  # noqa: E731
    yield Probe("folded", folded, True, reason, apart.point, prepare, size, strengths, apart.removed, WEIGHTS)

"""Which units seem most useful to a decision: an order for searches to follow, on which no answer's truth rests."""

import numpy as np
from numpy.typing import NDArray

from .errors import ModelError
from .graph.cut import masked_head
from .graph.fold import find_pointwise, rest_of
from .graph.surrogate import linearised
from .head import bind_head
from .open_model import Opened
from .probes import Probe
from .runtime.batching import batches
from .runtime.binding import MaskedHead
from .runtime.session import Session
from .search.worth import Worth
from .types import Floats

SHARE = 0.1
"""The strongest units are removed once each, to see what it costs, as many as take this share of a prediction."""
LEAST = 16
"""Fewer removals than this say too little, and are left out."""
Order = NDArray[np.intp]


def useful_first(scores: Floats) -> Order:
    """Sort units by their scores `[n]`, the most useful first; ties in index order."""
    order: Order = np.argsort(-scores, kind="stable")
    return order


def removals(head: MaskedHead, logits: Floats, worth: Worth, units: Order, count: int) -> Floats:
    """Return what the removal of each of some units alone, out of `count`, costs the predicate; a probe each."""
    rows = np.ones((len(units), count), np.float32)
    rows[range(len(units)), units] = 0
    return np.concatenate([worth.of(logits - head.score(part)) for part in batches(rows, head.batch)])


def useful_by_removal(costs: Floats, tried: Order, strongest: Order) -> Order:
    """Put the units whose removal costs something first, then those not tried, the strongest first, then the rest."""
    untried = strongest[~np.isin(strongest, tried)]
    ranked = tried[np.argsort(-costs, kind="stable")]
    useful = int((costs > 0).sum())
    return np.concatenate([ranked[:useful], untried, ranked[useful:]])


def guess_effects(opened: Opened, probe: Probe, batch: int) -> Floats | None:
    """Score every unit alone, at strength 1, in the head without its non-linearities; n probes, once a model."""
    proto, point, logits = opened.graph.proto, probe.point, opened.logits
    if point.units == "patch":  # what a patch says is not in how strong it is
        return None
    pointwise = find_pointwise(proto.graph, point, opened.measured)
    if pointwise is not None and len(pointwise.weights) == logits.classes:
        return pointwise.weights.T.astype(np.float64)
    if int(np.prod(point.shape)) != point.count:
        return None
    linear = linearised(proto, point.tensor, logits.tensor)
    if linear is None:
        return None
    try:
        rest = rest_of(linear, opened.measured, point.tensor, logits.tensor)
    except ModelError:  # its batch stays fixed
        return None
    session = Session(masked_head(rest, point, logits, {}), threads=1, without=opened.without)
    head = bind_head(session, np.ones(point.shape, point.dtype), batch)
    alone, nothing = np.eye(point.count, dtype=np.float32), np.zeros((1, point.count), np.float32)
    return (head.score(alone) - head.score(nothing)).astype(np.float64)

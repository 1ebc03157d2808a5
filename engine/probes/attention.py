"""The last attention of a transformer, folded into two sums over tokens."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.attention import find_attention
from ..graph.content import content_of
from ..graph.cut import Part, extract
from ..graph.fold_attention import SUMS, attention_sums, fold_attention
from .probe import WEIGHTS, Cut, Fixed, Probe, Size


def attention_probe(cut: Cut) -> Iterator[Probe]:
    """Fold the last attention where only rows of tokens that always stay are read behind it."""
    opened, split = cut.opened, cut.split
    proto, values = opened.graph.proto, opened.measured.values
    found = find_attention(proto.graph, split, opened.logits.tensor, values)
    names = (found.scores, found.values, *found.sides) if found else ()
    if found is None or found.axes is None or any(values[name].dtype != "float32" for name in (split.tensor, *names)):
        return
    folded = cut.open(fold_attention(proto, found, split, opened.logits, values))
    before = extract(proto, opened.measured, Part(split.tensor, tuple(name for name in names if name != split.tensor)))
    session, axes, rows = cut.open(content_of(before)), found.axes, found.rows

    def prepare(features: NDArray[Any]) -> Fixed:
        kept = {split.tensor: features} | dict(zip(session.outputs, session.run({split.tensor: features}), strict=True))
        blank = np.zeros_like(features)
        stay = (slice(None),) * split.unit_axis + (list(split.fixed),)
        blank[stay] = features[stay]
        removed = session.run({split.tensor: blank}, [found.scores, found.values])
        sums = attention_sums((kept[found.scores], kept[found.values]), (removed[0], removed[1]), rows, split.fixed)
        sides = {name: np.take(kept[name], rows, axes[name]) if name in axes else kept[name] for name in found.sides}
        return sums | sides

    reason = "the last attention is a ratio of two sums over tokens, and only what follows for the class token is run"
    rest, share = cut.size(found.product), len(rows) / split.shape[split.unit_axis]
    size = Size(int(rest.multiplications * share), int(rest.bytes * share))
    strengths = lambda sums: sums[SUMS[2]].mean(axis=1)  # noqa: E731
    yield Probe("attention", folded, True, reason, split, prepare, size, strengths, together=WEIGHTS)

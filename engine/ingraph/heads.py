"""Heads as an exported model runs them for masks of one picture: what is prepared once, and how strong its units are.

They are those of `engine.probes`: units selected, the product of all their values folded, the last attention folded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..graph.attention import Attention
from ..graph.build import Var, absolute, exp, sqrt
from ..graph.cut import FEATURES
from ..graph.fold import PRODUCTS, REST, Product
from ..graph.fold_attention import SUMS
from ..types import Content, Floats, Split

Fixed = Mapping[str, Var]
"""Inputs of a head that a picture fixes, by name."""
Run = Callable[[Var], Mapping[str, Var]]
"""Writes what leads from a tensor of one picture `[1, ...]` to some later ones, by name."""


@dataclass(frozen=True)
class Head:
    """A head for masks: the tensor of the model that it starts from, its graph, and what that needs of a picture."""

    source: str
    dtype: str
    content: Content
    prepare: Callable[[Var], Fixed]
    strengths: Callable[[Fixed], Var]


def selecting(point: Split, removed: NDArray[Any], content: Content) -> Head:
    """Select units at a point, where a removed one is `removed`, and run the rest.

    A channel is as strong as it is on average, others as they are long.
    """
    return Head(
        point.tensor,
        point.dtype,
        content,
        lambda x: {FEATURES: x},
        lambda fixed: strong(fixed[FEATURES], point, removed),
    )


def strong(at_point: Var, point: Split, removed: NDArray[Any]) -> Var:
    """Return `[n]`: how far each unit is from a removed one."""
    op, values = at_point.op, at_point.cast("float32")
    others = tuple(axis for axis in range(len(point.shape)) if axis != point.unit_axis)
    if point.units == "channel":
        without = np.broadcast_to(removed, point.shape).mean(axis=others, dtype=np.float64)
        return values.mean(others, keep=False) - op.constant(without.astype(np.float32))
    change = values - op.constant(np.asarray(removed, np.float32))
    if point.units == "cell":
        return sqrt((change * change).sum((0, point.unit_axis), keep=False)).reshape([-1])
    return op.Gather(sqrt((change * change).sum(others, keep=False)), op.ints(moving(point)))


def moving(split: Split) -> list[int]:
    """List the tokens that can be removed."""
    return [token for token in range(split.shape[split.unit_axis]) if token not in split.fixed]


def multiplying(point: Split, removed: Floats, found: Product, content: Content) -> Head:
    """Fold the product of all values of the units into one vector a unit."""
    order = [point.unit_axis, *(axis for axis in range(1, len(point.shape)) if axis != point.unit_axis)]
    nothing = np.broadcast_to(removed, point.shape).transpose(0, *order).reshape(point.count, 1, -1)
    without = found.bias + (nothing.astype(np.float64) @ found.weights).sum(axis=(0, 1))

    def prepare(x: Var) -> Fixed:
        rows = x.transpose([0, *order]).reshape([point.count, 1, -1]) - x.op.constant(nothing.astype(np.float32))
        products = (rows @ x.op.constant(found.weights)).reshape([point.count, -1])
        return {PRODUCTS: products, REST: x.op.constant(without.astype(np.float32))}

    return Head(point.tensor, point.dtype, content, prepare, lambda f: absolute(f[PRODUCTS]).mean(1, keep=False))


def attending(split: Split, found: Attention, width: int, run: Run, content: Content) -> Head:
    """Fold the last attention, of values `[.., T, width]`, into two sums over tokens.

    `run` leads from the split to what they are made of.
    """
    axes = found.axes or {}
    shape, stay = [1] * len(split.shape), np.zeros(split.shape[split.unit_axis], np.float32)
    shape[split.unit_axis] = len(stay)
    stay[list(split.fixed)] = 1

    def prepare(x: Var) -> Fixed:
        op, kept, removed = x.op, run(x), run(x * x.op.constant(stay.reshape(shape)))
        sides = {name: kept[name] for name in found.sides}
        read = {name: op.Gather(sides[name], op.ints(found.rows), axis=axes[name]) for name in sides if name in axes}
        return sums(found, (kept, removed), split, width) | sides | read

    return Head(split.tensor, split.dtype, content, prepare, lambda fixed: fixed[SUMS[2]].mean(1, keep=False))


def sums(found: Attention, sides: tuple[Fixed, Fixed], split: Split, width: int) -> dict[str, Var]:
    """Return SUMS as `graph.fold_attention.attention_sums` makes them, of all units kept and of all removed."""
    op, tokens = sides[0][found.scores].op, split.shape[split.unit_axis]
    rows = [op.Gather(side[found.scores].reshape([-1, tokens, tokens]), op.ints(found.rows), axis=1) for side in sides]
    most = op.Max(*rows).max(2)
    shares = [exp(row - most).transpose([2, 0, 1]) for row in rows]  # [T, h, R]
    values = [side[found.values].reshape([-1, tokens, 1, width]).transpose([1, 0, 2, 3]) for side in sides]
    pairs = zip(shares, values, strict=True)
    above = [(op.Unsqueeze(share, op.ints([3])) * value).reshape([tokens, -1]) for share, value in pairs]
    below = [share.reshape([tokens, -1]) for share in shares]
    units, stay = op.ints(moving(split)), op.ints(split.fixed)
    made = []
    for kept, removed in (above, below):
        gone = op.Gather(removed, units)
        made += [op.Gather(kept, units) - gone, gone.sum(0, keep=False) + op.Gather(kept, stay).sum(0, keep=False)]
    return dict(zip(SUMS, made, strict=True))

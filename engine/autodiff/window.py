"""Sliding windows, as convolutions and pools have them: where each lies, and how to undo what they skip and pad."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import GradientError
from ..graph.build import Shape, Var
from .node import Node


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: window o covers the places `o * stride + j * dilation - begin`, j < kernel."""

    kernel: int
    stride: int
    dilation: int
    begin: int
    size: int
    """Places of the tensor over which the window slides."""
    windows: int

    @property
    def reach(self) -> int:
        """How far the last place of a window lies from its first."""
        return self.dilation * (self.kernel - 1)

    @property
    def covered(self) -> int:
        """Places from the first of the first window to the last of the last."""
        return self.stride * (self.windows - 1) + self.reach + 1

    @property
    def end(self) -> int:
        """Padding that the last window needs; negative where places are left over."""
        return self.covered - self.begin - self.size


def windows(node: Node, kernel: Sequence[int], large: Var, small: Var) -> list[Axis]:
    """Read the attributes of a node whose windows slide over `large` `[N, C, ...]`, one for each place of `small`."""
    count = len(kernel)
    if any(size is None for size in (*large.sizes[2:], *small.sizes[2:])):
        raise GradientError(
            f"no gradient through {node.label}: the size of its picture is free; fix height and width of the input"
        )
    sizes, outs = ([int(size or 0) for size in var.sizes[2:]] for var in (large, small))
    strides = node.integers("strides") or [1] * count
    dilations = node.integers("dilations") or [1] * count
    pads = node.integers("pads") or [0] * (2 * count)
    mode, axes = node.text("auto_pad", "NOTSET"), []
    for k, s, d, given, size, out in zip(kernel, strides, dilations, pads, sizes, outs, strict=False):
        axis = Axis(k, s, d, 0, size, out)
        begin = given if mode == "NOTSET" else 0 if mode == "VALID" else shared(max(axis.end, 0), mode)
        axes.append(replace(axis, begin=begin))
    return axes


def shared(total: int, mode: str) -> int:
    """Return how much of the padding comes first when `auto_pad` shares it out."""
    return total // 2 if mode == "SAME_UPPER" else total - total // 2


def padded(x: Var, begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> Var:
    """Pad the last axes of a tensor; negative amounts cut."""
    count = len(begin)
    first = x.rank - count
    cut = [i for i in range(count) if begin[i] < 0 or end[i] < 0]
    if cut:
        sizes = [int(x.sizes[first + i] or 0) for i in range(count)]
        starts = [max(-begin[i], 0) for i in cut]
        stops = [sizes[i] - max(-end[i], 0) for i in cut]
        ints, shape = x.op.ints, grown(x.sizes, [min(b, 0) for b in begin], [min(e, 0) for e in end])
        x = x.op.Slice(x, ints(starts), ints(stops), ints([first + i for i in cut])).shaped(shape)
    begin, end = [max(b, 0) for b in begin], [max(e, 0) for e in end]
    if not any((*begin, *end)):
        return x
    amounts = [*[0] * first, *begin, *[0] * first, *end]
    filler = () if value == 0 else (x.op.value(value, x.dtype),)
    return x.op.Pad(x, x.op.ints(amounts), *filler).shaped(grown(x.sizes, begin, end))


def grown(sizes: Shape, begin: Sequence[int], end: Sequence[int]) -> Shape:
    """Return a shape whose last axes are padded."""
    first = len(sizes) - len(begin)
    more = [(size or 0) + b + e for size, b, e in zip(sizes[first:], begin, end, strict=True)]
    return (*sizes[:first], *more)


def repeated(x: Var, times: Sequence[int]) -> Var:
    """Repeat every place along the last axes."""
    scales = [*[1] * (x.rank - len(times)), *times]
    sizes = [None if size is None else size * scale for size, scale in zip(x.sizes, scales, strict=True)]
    y = x.op.Resize(
        x,
        None,
        x.op.constant(np.array(scales, np.float32)),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    return y.shaped(tuple(sizes))


def interleaved(phases: Sequence[Var], axis: int) -> Var:
    """Interleave tensors of one shape along an axis: `y[..., i * n + c, ...] = phases[c][..., i, ...]`."""
    count, x = len(phases), phases[0]
    if count == 1:
        return x
    op, axis = x.op, axis % x.rank
    length, rest = int(x.sizes[axis] or 0), [int(size or 0) for size in x.sizes[axis + 1 :]]
    apart = op.Concat(*[op.Unsqueeze(phase, op.ints([axis + 1])) for phase in phases], axis=axis + 1)
    shape = (*x.sizes[:axis], count * length, *rest)
    return apart.reshape([*[0] * axis, count * length, *rest]).shaped(shape)


def phases_of(x: Var, axis: int, count: int, value: float) -> list[Var]:
    """Take every `count`-th place along an axis: undo `interleaved`; what is missing at the end holds the value."""
    if count == 1:
        return [x]
    op, size, rest = x.op, int(x.sizes[axis] or 0), x.sizes[axis + 1 :]
    length, fixed = -(-size // count), [int(n or 0) for n in rest]
    x = padded(x, [0] * (x.rank - axis), [length * count - size, *[0] * len(rest)], value)
    shape = (*x.sizes[:axis], length, *rest)
    apart = x.reshape([*[0] * axis, length, count, *fixed])
    parts = op.several("Split", [apart, op.ints([1] * count)], count, axis=axis + 1)
    return [op.Squeeze(part, op.ints([axis + 1])).shaped(shape) for part in parts]

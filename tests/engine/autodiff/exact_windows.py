"""Operators that onnx's reference evaluator gets wrong or lacks (pads of pools, groups of ConvTranspose), plainly."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

Array = NDArray[Any]


def geometry(
    sizes: Sequence[int], kernel: Sequence[int], node: dict[str, Any]
) -> list[tuple[int, int, int, int, int, int]]:
    """Return for each axis kernel, stride, dilation, padding before and after, and the number of windows."""
    count, mode, axes = len(kernel), node.get("auto_pad") or "NOTSET", []
    strides, dilations = node.get("strides") or [1] * count, node.get("dilations") or [1] * count
    pads = node.get("pads") or [0] * 2 * count
    for i, (size, k) in enumerate(zip(sizes, kernel, strict=True)):
        s, d, before, after = strides[i], dilations[i], pads[i], pads[count + i]
        reach = d * (k - 1) + 1
        if mode.startswith("SAME"):
            total = max((-(-size // s) - 1) * s + reach - size, 0)
            before = total // 2 if mode == "SAME_UPPER" else total - total // 2
            after = total - before
        if mode == "VALID":
            before = after = 0
        room = size + before + after - reach
        windows = (-(-room // s) if node.get("ceil_mode") else room // s) + 1
        if node.get("ceil_mode") and (windows - 1) * s >= size + before:
            windows -= 1  # a window must not start in the padding at the end
        axes.append((k, s, d, before, after, windows))
    return axes


def offsets(axes: Sequence[tuple[int, ...]]) -> Iterator[tuple[slice, ...]]:
    """Yield where the places of all windows lie in the padded tensor, one place of the kernel after the other."""
    for place in itertools.product(*(range(axis[0]) for axis in axes)):
        yield tuple(slice(j * d, j * d + s * (n - 1) + 1, s) for j, (_, s, d, *_, n) in zip(place, axes, strict=True))


def stacked(x: Array, axes: Sequence[tuple[int, ...]], inside: float, end: float) -> Array:
    """Pad and return the places of every window on a new first axis; beyond the padding lies `end`."""
    x = np.pad(x, [(0, 0), (0, 0), *((a[3], a[4]) for a in axes)], constant_values=inside)
    reach = [s * (n - 1) + d * (k - 1) + 1 for k, s, d, _, _, n in axes]
    missing = [(0, max(r - size, 0)) for r, size in zip(reach, x.shape[2:], strict=True)]
    x = np.pad(x, [(0, 0), (0, 0), *missing], constant_values=end)
    return np.stack([x[(..., *where)] for where in offsets(axes)])


class MaxPool(OpRun):
    op_domain = ""

    def _run(self, x: Array, **node: Any) -> tuple[Array]:
        axes = geometry(x.shape[2:], node["kernel_shape"], node)
        return (stacked(x, axes, -np.inf, -np.inf).max(0),)


class AveragePool(OpRun):
    op_domain = ""

    def _run(self, x: Array, **node: Any) -> tuple[Array]:
        axes = geometry(x.shape[2:], node["kernel_shape"], node)
        padding = 1.0 if node.get("count_include_pad") else 0.0
        return (stacked(x, axes, 0, 0).sum(0) / stacked(np.ones_like(x), axes, padding, 0).sum(0),)


class LpPool(OpRun):
    op_domain = ""

    def _run(self, x: Array, **node: Any) -> tuple[Array]:
        axes, p = geometry(x.shape[2:], node["kernel_shape"], node), node.get("p") or 2
        return ((stacked(np.abs(x), axes, 0, 0) ** p).sum(0) ** (1 / p),)


class ConvTranspose(OpRun):
    op_domain = ""

    def _run(self, x: Array, w: Array, b: Array | None = None, **node: Any) -> tuple[Array]:
        kernel, count, group = w.shape[2:], w.ndim - 2, node.get("group") or 1
        strides, dilations = node.get("strides") or [1] * count, node.get("dilations") or [1] * count
        pads, more = node.get("pads") or [0] * 2 * count, node.get("output_padding") or [0] * count
        sizes = zip(kernel, strides, dilations, x.shape[2:], strict=True)
        axes = [(k, s, d, 0, 0, n) for k, s, d, n in sizes]
        full = [s * (n - 1) + d * (k - 1) + 1 + m for (k, s, d, _, _, n), m in zip(axes, more, strict=True)]
        wanted = node.get("output_shape")
        if wanted or (node.get("auto_pad") or "NOTSET").startswith("SAME"):
            wanted = wanted or [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
            total = [max(f - t, 0) for f, t in zip(full, wanted, strict=True)]
            begin = [t // 2 if node.get("auto_pad") == "SAME_UPPER" else t - t // 2 for t in total]
            pads = [*begin, *(t - first for t, first in zip(total, begin, strict=True))]
        y = np.zeros((x.shape[0], w.shape[1] * group, *full), x.dtype)
        apart = x.reshape(x.shape[0], group, -1, *x.shape[2:])
        weights = w.reshape(group, -1, w.shape[1], int(np.prod(kernel)))
        for place, where in enumerate(offsets(axes)):
            part = np.einsum("ngi...,gio->ngo...", apart, weights[..., place])
            y[(..., *where)] += part.reshape(y.shape[0], y.shape[1], *x.shape[2:])
        y = y[(..., *(slice(pads[i], size - pads[count + i]) for i, size in enumerate(full)))]
        return (y if b is None else y + b.reshape(-1, *[1] * count),)


class GlobalMaxPool(OpRun):
    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(tuple(range(2, x.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    op_domain = ""

    def _run(self, x: Array, p: int = 2) -> tuple[Array]:
        return ((np.abs(x) ** p).sum(tuple(range(2, x.ndim)), keepdims=True) ** (1 / p),)


EXACT_WINDOWS = [AveragePool, ConvTranspose, GlobalLpPool, GlobalMaxPool, LpPool, MaxPool]

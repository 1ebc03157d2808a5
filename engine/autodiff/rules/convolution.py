"""Gradient rules of convolutions: Conv, ConvTranspose, Col2Im."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...errors import GradientError
from ...graph.build import Var
from ..node import Cotangents, Node
from ..registry import ELSE, INSTEAD, vjp
from ..shaping import reshaped
from ..window import Axis, padded, repeated, shared, windows

Weights = NDArray[np.floating]
BLOCK = 8
"""Channels that ONNX Runtime's Conv makes at once; of fewer it makes as many and drops some."""


@vjp("Conv")
def conv(node: Node, g: Var) -> Cotangents:
    """Convolve, y = x * W + b: dx is g spread over the windows by W, dW correlates x and g, db sums g."""
    x, w, group = node.operand(0), node.operand(1), node.integer("group", 1)
    axes = windows(node, [int(size or 0) for size in w.sizes[2:]], x, node.result)
    value = node.value(1)
    dx = dw = db = None
    if 0 in node.needs:
        dx = (spread_computed(g, w, axes, group) if value is None else spread(g, value, axes, group)).shaped(x.shape)
    if 1 in node.needs:
        dw = correlated(x, g, axes, group).shaped(w.shape)
    if 2 in node.needs:
        db = g.sum([0, *range(2, g.rank)], keep=False)
    return dx, dw, db


@vjp("ConvTranspose")
def conv_transpose(node: Node, g: Var) -> Cotangents:
    """Spread x over windows by W: dx = g * W, dW correlates g and x, db sums g."""
    x, w, group = node.operand(0), node.operand(1), node.integer("group", 1)
    axes = transposed_windows(node, [int(size or 0) for size in w.sizes[2:]], x, node.result)
    dx = dw = db = None
    if 0 in node.needs:
        dx = convolved(g, w, axes, group).shaped(x.shape)
    if 1 in node.needs:
        dw = correlated(g, x, axes, group).shaped(w.shape)
    if 2 in node.needs:
        db = g.sum([0, *range(2, g.rank)], keep=False)
    return dx, dw, db


@vjp("Col2Im")
def col2im(node: Node, g: Var) -> Cotangents:
    """Add up columns `[N, C k, L]` of windows into a picture: dx takes the windows out of g again, by a Conv."""
    x, image, kernel = node.operand(0), node.value(1), node.value(2)
    if image is None or kernel is None:
        raise GradientError(f"no gradient through {node.label}: its windows are known only at run time{ELSE}")
    count, channels, each = len(kernel), int(g.sizes[1] or 0), int(kernel.prod())
    strides, dilations = (node.integers(name) or [1] * count for name in ("strides", "dilations"))
    pads = node.integers("pads") or [0] * (2 * count)
    spots = zip(kernel.tolist(), strides, dilations, pads[:count], pads[count:], image.tolist(), strict=True)
    axes = [Axis(k, s, d, begin, size, (size + begin + end - d * (k - 1) - 1) // s + 1)
            for k, s, d, begin, end, size in spots]  # fmt: skip
    one_place = np.tile(np.eye(each).reshape(each, 1, *kernel), (channels, *[1] * (count + 1)))
    columns = convolved(g, g.op.value(one_place, g.dtype), axes, channels)
    return (reshaped(columns.shaped((g.sizes[0], channels * each, *(axis.windows for axis in axes))), x),)


@vjp("DeformConv")
def deform_conv(node: Node, g: Var) -> Cotangents:
    """Refuse: its samples lie between places that the picture chooses."""
    raise GradientError(
        f"no gradient through {node.label}: deformable convolution is not covered; name a tensor behind it with --wrt, "
        f"or {INSTEAD}"
    )


# ----- Conv -----


def spread(g: Var, w: Weights, axes: Sequence[Axis], group: int) -> Var:
    """Return dx of a Conv with constant weights, in the form that is fastest for its geometry.

    Milliseconds of a ConvTranspose, of zeros put between and a Conv, and of a Conv for all phases that are then
    interleaved: 7 x 7 over 64 x 112 x 112, 6 / 78 / 8; 3 x 3 over 128 x 28 x 28, 2.4 / 6.6 / 3.7; 5 x 5 of each of
    240 channels of 14 x 14 alone, 1.5 / 0.8 / 1.2. Where windows advance by one place, of a ConvTranspose and a Conv:
    512 channels of 14 x 14, 23 / 11; each of 144 alone, 1.6 / 0.8; but to the 3 channels of a picture 7 / 13.
    """
    alone = group > 1 and group == g.sizes[1]
    far = max(axis.stride for axis in axes)
    if far > 2 or (far == 2 and not alone) or (group == 1 and w.shape[1] < BLOCK):
        return transposed(g, w, axes, group)
    g, axes = dilated(g, axes)
    return stride_one(g, g.op.value(turned(w, group), g.dtype), axes, group)


def transposed(g: Var, w: Weights, axes: Sequence[Axis], group: int) -> Var:
    """Return dx by a ConvTranspose; its pads are symmetric, because CUDA has no kernel for others."""
    if all(0 <= axis.begin - axis.end < axis.stride for axis in axes):
        pads, more = [axis.begin for axis in axes], [axis.begin - axis.end for axis in axes]
    else:
        pads, more = [max(min(axis.begin, axis.end), 0) for axis in axes], [0] * len(axes)
    full = g.op.ConvTranspose(
        g,
        w,
        strides=[axis.stride for axis in axes],
        dilations=[axis.dilation for axis in axes],
        pads=[*pads, *pads],
        output_padding=more,
        group=group,
    )
    sizes = [axis.covered - 2 * pad + extra for axis, pad, extra in zip(axes, pads, more, strict=True)]
    begin = [pad - axis.begin for axis, pad in zip(axes, pads, strict=True)]
    end = [axis.size - size - first for axis, size, first in zip(axes, sizes, begin, strict=True)]
    return padded(full.shaped((*g.sizes[:2], *sizes)), begin, end)


def spread_computed(g: Var, w: Var, axes: Sequence[Axis], group: int) -> Var:
    """Return dx of a Conv whose weights are only known when it runs."""
    g, axes = dilated(g, axes)
    return stride_one(g, turned_computed(w, group), axes, group)


def dilated(g: Var, axes: Sequence[Axis]) -> tuple[Var, list[Axis]]:
    """Put the places that strides skip back as zeros, so that windows advance by one place.

    Every place is repeated and all but the first are multiplied by 0: repeating is 8 times faster than interleaving.
    """
    strides = [axis.stride for axis in axes]
    if max(strides) > 1:
        places = np.zeros([1, 1, *(axis.stride * axis.windows for axis in axes)])
        places[tuple(slice(None, None, stride) for stride in [1, 1, *strides])] = 1
        g = (repeated(g, strides) * places).shaped((*g.sizes[:2], *places.shape[2:]))
    return g, [replace(axis, stride=1, windows=axis.stride * axis.windows) for axis in axes]


def stride_one(g: Var, w: Var, axes: Sequence[Axis], group: int) -> Var:
    """Return dx where windows advance by one place: a Conv with the kernel turned round."""
    begin = [axis.reach - axis.begin for axis in axes]
    end = [axis.size + axis.reach - axis.windows - b for axis, b in zip(axes, begin, strict=True)]
    g = padded(g, [min(b, 0) for b in begin], [min(e, 0) for e in end])
    pads = [max(amount, 0) for amount in (*begin, *end)]
    return g.op.Conv(g, w, dilations=[axis.dilation for axis in axes], pads=pads, group=group)


def turned(w: Weights, group: int) -> Weights:
    """Turn kernels round and exchange their channels within each group: `[M, C/g, ...]` -> `[C, M/g, ...]`."""
    outputs, inputs = w.shape[:2]
    w = w.reshape(group, outputs // group, inputs, *w.shape[2:]).swapaxes(1, 2)
    w = w.reshape(group * inputs, outputs // group, *w.shape[3:])
    return np.ascontiguousarray(np.flip(w, tuple(range(2, w.ndim))))


def turned_computed(w: Var, group: int) -> Var:
    """Do the same to weights that are only known when the graph runs."""
    outputs, inputs, *kernel = [int(size or 0) for size in w.sizes]
    order = [0, 2, 1, *range(3, 3 + len(kernel))]
    w = w.reshape([group, outputs // group, inputs, *kernel]).transpose(order)
    w = w.reshape([group * inputs, outputs // group, *kernel])
    lowest = np.iinfo(np.int64).min
    ends = [[number] * len(kernel) for number in (-1, lowest)]
    axes = range(2, 2 + len(kernel))
    return w.op.Slice(w, *(w.op.ints(numbers) for numbers in (*ends, axes, [-1] * len(kernel))))


# ----- Weights, and the other way round -----


def convolved(x: Var, w: Var, axes: Sequence[Axis], group: int) -> Var:
    """Convolve with given windows; padding may be negative."""
    begin, end = [axis.begin for axis in axes], [axis.end for axis in axes]
    x = padded(x, [min(b, 0) for b in begin], [min(e, 0) for e in end])
    return x.op.Conv(
        x,
        w,
        strides=[axis.stride for axis in axes],
        dilations=[axis.dilation for axis in axes],
        pads=[max(amount, 0) for amount in (*begin, *end)],
        group=group,
    )


def correlated(large: Var, small: Var, axes: Sequence[Axis], group: int) -> Var:
    """Return dW `[M, C/g, ...]`: batch and channels change places, and g convolves x with stride and dilation swapped.

    One convolution with the places of `small` as its kernel.
    """
    op, rest = large.op, list(range(2, large.rank))
    inputs = int(large.sizes[1] or 0) // group
    images = padded(large, [axis.begin for axis in axes], [axis.end for axis in axes])
    places = [int(size or 0) for size in images.sizes[2:]]
    # [N, g C, ...] -> [C, g N, ...] and [N, g M, ...] -> [g M, N, ...]
    images = images.reshape([-1, group, inputs, *places]).transpose([2, 1, 0, *(axis + 1 for axis in rest)])
    kernels = small.transpose([1, 0, *rest])
    found = op.Conv(
        images.reshape([inputs, -1, *places]),
        kernels,
        strides=[axis.dilation for axis in axes],
        dilations=[axis.stride for axis in axes],
        group=group,
    )
    return found.transpose([1, 0, *rest])


def transposed_windows(node: Node, kernel: Sequence[int], x: Var, y: Var) -> list[Axis]:
    """Return the windows of the Conv that a ConvTranspose transposes; the size of its output tells the pads."""
    axes, mode = [], node.text("auto_pad", "NOTSET")
    extra = node.integers("output_padding") or [0] * len(kernel)
    from_sizes = mode.startswith("SAME") or bool(node.integers("output_shape"))
    for axis, more in zip(windows(node, kernel, y, x), extra, strict=True):
        begin = shared(axis.covered + more - axis.size, mode) if from_sizes else axis.begin
        axes.append(replace(axis, begin=begin))
    return axes

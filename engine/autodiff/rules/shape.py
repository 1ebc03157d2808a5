"""Gradient rules of operators that move numbers: reshape, permute, repeat, join, cut and pad."""

from typing import Literal

import numpy as np

from ...errors import GradientError
from ...graph.build import Var
from ..node import Cotangents, Node
from ..places import cut, padded, put, put_along, zeros
from ..registry import ELSE, vjp, vjp_of_all
from ..shaping import in_sizes, reshaped, unbroadcast

FAR = 2**31 - 1
"""Ends from here on mean the end of the axis, however long it is."""
MODES: dict[str, Literal["edge", "reflect", "wrap"]] = {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}


@vjp("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(node: Node, g: Var) -> Cotangents:
    """Reshape: dx is g in the shape of x."""
    return (reshaped(g, node.operand(0)),)


@vjp("Transpose")
def transpose(node: Node, g: Var) -> Cotangents:
    """Permute the axes: dx is g permuted back."""
    x = node.operand(0)
    order = node.integers("perm") or list(range(x.rank))[::-1]
    return (g.transpose(np.argsort(order).tolist()).shaped(x.shape),)


@vjp("Expand")
def expand(node: Node, g: Var) -> Cotangents:
    """Repeat along axes of size 1: dx is g summed over them."""
    return (unbroadcast(g, node.operand(0)),)


@vjp("Tile")
def tile(node: Node, g: Var) -> Cotangents:
    """Repeat along axes: dx is the sum of g over the copies."""
    x = node.operand(0)
    repeats = node.value(1)
    if repeats is None and all(a is not None and a in (1, b) for a, b in zip(x.sizes, g.sizes, strict=True)):
        return (unbroadcast(g, x),)
    if repeats is None:
        raise GradientError(f"no gradient through {node.label}: how often it repeats is known only at run time{ELSE}")
    apart: list[int | None] = []
    copies = []
    for size, times in zip(x.sizes, repeats.ravel().tolist(), strict=True):
        if times != 1:
            copies.append(len(apart))
            apart.append(times)
        apart.append(size)
    if not copies:
        return (g,)
    return (in_sizes(g, tuple(apart)).sum(copies, keep=False).shaped(x.shape),)


@vjp("Concat")
def concat(node: Node, g: Var) -> Cotangents:
    """Join along an axis: each part gets its piece of g."""
    parts = [node.operand(i) for i in range(len(node.x))]
    axis = node.integer("axis", 0) % g.rank
    sizes = [part.sizes[axis] for part in parts]
    if len(parts) == 1:
        return (g,)
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        raise GradientError(f"no gradient through {node.label}: it joins along the batch")
    if len(node.needs) == len(parts):
        pieces = g.op.several("Split", [g, g.op.ints(known)], len(parts), axis=axis)
        return [piece.shaped(part.shape) for piece, part in zip(pieces, parts, strict=True)]
    starts = [sum(known[:i]) for i in range(len(known))]
    asked = [range(start, start + size) for start, size in zip(starts, known, strict=True)]
    return [cut(g, {axis: places}) if i in node.needs else None for i, places in enumerate(asked)]


@vjp_of_all("Split")
def split(node: Node, g: Var) -> Cotangents:
    """Cut along an axis into parts: dx is their cotangents joined, 0 where there is none."""
    x = node.operand(0)
    axis = node.integer("axis", 0) % x.rank
    sizes = [part.sizes[axis] if part else None for part in node.y]
    asked = [i for i, given in enumerate(node.gs) if given is not None]
    first, last = (0, len(sizes) - 1) if None in sizes else (asked[0], asked[-1])
    parts = [given or zeros(part) for given, part in zip(node.gs, node.y, strict=True) if part][first : last + 1]
    joined = parts[0] if len(parts) == 1 else g.op.Concat(*parts, axis=axis)
    ends = [sum(size or 0 for size in some) for some in (sizes[:first], sizes[last + 1 :])]
    left = None if None in sizes else sum(size or 0 for size in sizes[first : last + 1])
    joined = joined.shaped((*x.sizes[:axis], left, *x.sizes[axis + 1 :]))
    return (padded(joined, {axis: (ends[0], ends[1])}).shaped(x.shape),)


@vjp("Slice")
def slice_(node: Node, g: Var) -> Cotangents:
    """Cut, y = x[..., a:b:s, ...]: dx is g at those places, 0 elsewhere."""
    x = node.operand(0)
    return (put(g, x.sizes, cuts_of(node)),)


def cuts_of(node: Node) -> dict[int, range]:
    """Return the places that a Slice takes along each axis that it cuts."""
    x = node.operand(0)
    starts, ends = node.value(1), node.value(2)
    if starts is None or ends is None:
        raise GradientError(f"no gradient through {node.label}: where it cuts is known only at run time{ELSE}")
    axes = np.arange(len(starts)) if not node.has(3) else node.value(3)
    steps = np.ones(len(starts), np.int64) if not node.has(4) else node.value(4)
    if axes is None or steps is None:
        raise GradientError(f"no gradient through {node.label}: its axes or steps are known only at run time{ELSE}")
    cuts = {}
    for start, end, axis, step in zip(*(a.ravel().tolist() for a in (starts, ends, axes, steps)), strict=True):
        size = x.sizes[axis % x.rank]
        if size is not None:
            cuts[axis % x.rank] = range(size)[slice(start, end, step)]
        elif (start, step) != (0, 1) or end < FAR:
            raise GradientError(f"no gradient through {node.label}: it cuts along the batch{ELSE}")
    return cuts


@vjp("Pad")
def pad(node: Node, g: Var) -> Cotangents:
    """Pad: dx is g without what was added, or, where x was repeated, summed; where x was cropped, 0."""
    if 2 in node.needs:
        raise GradientError(f"no gradient through {node.label}: the number that it pads with depends on the picture")
    x, mode = node.operand(0), node.text("mode", "constant")
    for axis, (before, after) in pads_of(node).items():
        size = x.sizes[axis]
        if size is None:
            raise GradientError(f"no gradient through {node.label}: it pads along the batch{ELSE}")
        kept = np.arange(max(0, -before), size - max(0, -after))
        if mode == "constant":
            g = cut(g, {axis: range(max(0, before), max(0, before) + len(kept))})
            places = kept
        else:
            places = np.pad(kept, (max(0, before), max(0, after)), mode=MODES[mode])
        g = put_along(g, axis, places, size)
    return (g.shaped(x.shape),)


def pads_of(node: Node) -> dict[int, tuple[int, int]]:
    """Return how much a Pad adds before and after, for each axis where it does."""
    rank, pads = node.operand(0).rank, node.value(1)
    axes = node.value(3) if node.has(3) else np.arange(rank)
    if pads is None or axes is None:
        raise GradientError(f"no gradient through {node.label}: how much it pads is known only at run time{ELSE}")
    numbers = pads.reshape(2, -1).T.tolist()
    return {axis % rank: (b, a) for axis, (b, a) in zip(axes.ravel().tolist(), numbers, strict=True) if b or a}


@vjp("DepthToSpace")
def depth_to_space(node: Node, g: Var) -> Cotangents:
    """Move blocks of channels into space: dx is g moved back."""
    x, block = node.operand(0), node.integer("blocksize", 1)
    back = g.op.SpaceToDepth(g, blocksize=block).shaped(x.shape)
    if node.text("mode", "DCR") == "DCR":
        return (back,)
    # the block comes first: swapping whole maps is 5 times faster than moving single numbers in one Transpose
    batch, _, *space = x.sizes
    apart = in_sizes(back, (batch, block * block, g.sizes[1], *space))
    swapped = (batch, g.sizes[1], block * block, *space)
    return (in_sizes(apart.transpose([0, 2, 1, 3, 4]).shaped(swapped), x.sizes),)


@vjp("SpaceToDepth")
def space_to_depth(node: Node, g: Var) -> Cotangents:
    """Move blocks of space into channels: dx is g moved back."""
    return (g.op.DepthToSpace(g, blocksize=node.integer("blocksize", 1)).shaped(node.operand(0).shape),)


@vjp("Trilu")
def trilu(node: Node, g: Var) -> Cotangents:
    """Keep a triangle: dx is that triangle of g."""
    k = node.x[1] if node.has(1) else None
    return (g.op.Trilu(g, k, upper=node.integer("upper", 1)).shaped(g.shape),)


@vjp("ReverseSequence")
def reverse_sequence(node: Node, g: Var) -> Cotangents:
    """Reverse the first `lens` of each sequence: dx is g, reversed likewise."""
    axes = {name: node.integer(name, default) for name, default in (("batch_axis", 1), ("time_axis", 0))}
    return (g.op.ReverseSequence(g, node.operand(1), **axes).shaped(g.shape),)


@vjp("CenterCropPad")
def center_crop_pad(node: Node, g: Var) -> Cotangents:
    """Crop or pad about the centre: dx is g padded or cropped likewise."""
    x = node.operand(0)
    pads, crops = {}, {}
    for axis, (old, new) in enumerate(zip(x.sizes, g.sizes, strict=True)):
        if old == new:
            continue
        if old is None or new is None:
            raise GradientError(f"no gradient through {node.label}: it changes the batch{ELSE}")
        start = abs(old - new) // 2
        if old < new:
            crops[axis] = range(start, start + old)
        else:
            pads[axis] = (start, old - new - start)
    return (padded(cut(g, crops), pads).shaped(x.shape),)

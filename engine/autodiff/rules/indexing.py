"""Gradient rules of operators that choose by index: the cotangent goes back to where each number came from."""

import numpy as np

from ...errors import GradientError
from ...graph.build import Var
from ..node import Cotangents, Node
from ..places import put_along, zeros
from ..registry import ELSE, vjp
from ..shaping import in_sizes


@vjp("Gather")
def gather(node: Node, g: Var) -> Cotangents:
    """Choose along an axis, y = x[..., i, ...]: dx at i is the sum of g there."""
    x, places = node.operand(0), node.value(1)
    axis = node.integer("axis", 0) % x.rank
    size, after = x.sizes[axis], g.sizes[axis + node.operand(1).rank :]
    if places is None or size is None:
        return (put_by(g, node.operand(1), x, axis),)
    flat = g if places.ndim == 1 else in_sizes(g, (*g.sizes[:axis], places.size, *after))
    return (put_along(flat, axis, places.ravel(), size).shaped(x.shape),)


def put_by(g: Var, indices: Var, x: Var, axis: int) -> Var:
    """Undo a gathering whose places are known only at run time: add the slices of g into zeros of the shape of x."""
    op, many = g.op, indices.rank
    order = [axis, *(i for i in range(x.rank) if i != axis)]
    if axis:
        chosen = range(axis, axis + many)
        g = g.transpose([*chosen, *(i for i in range(g.rank) if i not in chosen)])
    places = op.Unsqueeze(indices, op.ints([-1]))
    found = op.ScatterND(zeros(x, order), places, g, reduction="add")
    return (found.transpose(np.argsort(order).tolist()) if axis else found).shaped(x.shape)


@vjp("Compress")
def compress(node: Node, g: Var) -> Cotangents:
    """Choose what is marked along an axis: refused, for which and how many it chooses may depend on the picture."""
    raise GradientError(f"no gradient through {node.label}: how much it chooses is known only at run time{ELSE}")


@vjp("GatherElements")
def gather_elements(node: Node, g: Var) -> Cotangents:
    """Choose number by number along an axis: dx at each place is the sum of what came from there."""
    x = node.operand(0)
    axis = node.integer("axis", 0) % x.rank
    return (g.op.ScatterElements(zeros(x), node.operand(1), g, axis=axis, reduction="add").shaped(x.shape),)


@vjp("GatherND")
def gather_nd(node: Node, g: Var) -> Cotangents:
    """Choose slices by index: dx at each place is the sum of the slices that came from there."""
    x, indices = node.operand(0), node.operand(1)
    whole = with_batch(indices, node.integer("batch_dims", 0))
    return (g.op.ScatterND(zeros(x), whole, g, reduction="add").shaped(x.shape),)


def with_batch(indices: Var, count: int) -> Var:
    """Spell out the leading `count` axes of indices that leave them unsaid: `[b, ..., k]` -> `[b, ..., count + k]`."""
    if not count:
        return indices
    op, lead = indices.op, indices.rank - 1
    shape = op.Concat(op.Shape(indices, end=lead), op.ints([1]), axis=0)
    said = []
    for axis in range(count):
        size = op.Squeeze(op.Shape(indices, start=axis, end=axis + 1))
        numbers = op.Range(op.constant(np.array(0)), size, op.constant(np.array(1)))
        said.append(op.Expand(numbers.reshape([-1] + [1] * (lead - axis)), shape))
    return op.Concat(*said, indices, axis=-1)


@vjp("ScatterElements")
def scatter_elements(node: Node, g: Var) -> Cotangents:
    """Write number by number: dx is g with 0 where it was overwritten (not where it was added to), du is g there."""
    indices, updates, axis = node.operand(1), node.operand(2), node.integer("axis", 0) % g.rank
    kept = g
    if overwrites(node):
        kept = g.op.ScatterElements(g, indices, zeros(updates), axis=axis).shaped(g.shape)
    return kept, None, g.op.GatherElements(g, indices, axis=axis).shaped(updates.shape)


@vjp("ScatterND")
def scatter_nd(node: Node, g: Var) -> Cotangents:
    """Write slice by slice: dx is g with 0 where it was overwritten (not where it was added to), du is g there."""
    indices, updates = node.operand(1), node.operand(2)
    kept = g.op.ScatterND(g, indices, zeros(updates)).shaped(g.shape) if overwrites(node) else g
    return kept, None, g.op.GatherND(g, indices).shaped(updates.shape)


def overwrites(node: Node) -> bool:
    """Say whether a scatter overwrites, or adds; refuse what is neither."""
    kind = node.text("reduction", "none")
    if kind not in ("none", "add"):
        raise GradientError(f"no gradient through {node.label} with reduction {kind!r}: only none and add{ELSE}")
    return kind == "none"

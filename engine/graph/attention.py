"""Find the attention of a transformer's last block that a probe need not run: where it stands, and what it feeds.

Foldable is one softmax over tokens times values, both apart by token before, of which behind it only rows of
tokens are read that are never removed (the class token).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import numpy_helper

from ..types import Split, Value
from .apart import apart_axes, follow
from .walk import constants_of, downstream, integer, path_nodes, producers, reads

PASSING = frozenset({"Dropout", "Identity", "Cast"})
SCALING = frozenset({"Mul", "Div", "Add", "Sub"})
Values = Mapping[str, Value]


@dataclass(frozen=True)
class Attention:
    """Scores `[..., T, T]`, values `[..., T, d]`, and their product behind the softmax; what follows it.

    `sides` are the other tensors that the nodes behind read; `axes` tells the axis of the tokens in those that have
    one, and in all that follows; `picks` are the tensors that take some tokens out, and which; `rows` those picked
    behind.
    """

    scores: str
    values: str
    product: str
    sides: tuple[str, ...] = ()
    axes: Mapping[str, int] | None = None
    picks: Mapping[str, tuple[int, ...]] | None = None
    rows: tuple[int, ...] = ()


def find_attention(graph: onnx.GraphProto, split: Split, logits: str, values: Values) -> Attention | None:
    """Find the one attention between tokens and logits that can be folded; None where there is none such."""
    if split.units != "token" or not split.fixed:
        return None
    apart = apart_axes(graph, split, logits, values)
    path = path_nodes(graph, split.tensor, logits)
    found = [found for node in path for found in attentions(graph, node, apart, values)]
    behind = with_rows(graph, path, found[0], apart, values) if len(found) == 1 else None
    taken = {row for rows in (behind.picks or {}).values() for row in rows} if behind else set()
    return behind if taken <= set(split.fixed) else None


def attentions(
    graph: onnx.GraphProto, node: onnx.NodeProto, apart: Mapping[str, int], values: Values
) -> Iterator[Attention]:
    """Take a product of a softmax over tokens with values that are apart by token."""
    made = producers(graph)
    if node.op_type != "MatMul" or apart.get(node.input[1]) != len(values[node.output[0]].shape) - 2:
        return
    softmax = maker(made, node.input[0], PASSING)
    if softmax is None or softmax.op_type != "Softmax" or softmax.input[0] not in values:
        return
    rank = len(values[softmax.input[0]].shape)
    product = maker(made, softmax.input[0], PASSING | SCALING)
    if product is None or product.op_type != "MatMul" or integer(softmax, "axis", -1) % rank != rank - 1:
        return
    if [apart.get(name) for name in product.input] == [rank - 2, rank - 1]:
        yield Attention(softmax.input[0], node.input[1], node.output[0])


def maker(made: Mapping[str, onnx.NodeProto], name: str, passed: frozenset[str]) -> onnx.NodeProto | None:
    """Return what made a tensor, looking through nodes that pass on or scale their first operand that was made."""
    node = made.get(name)
    while node is not None and node.op_type in passed:
        node = next((made[item] for item in node.input if item in made and made[item].op_type != "Constant"), None)
    return node


def with_rows(
    graph: onnx.GraphProto, path: list[onnx.NodeProto], found: Attention, apart: Mapping[str, int], values: Values
) -> Attention | None:
    """Follow the tokens behind an attention to where some are picked; None where they mix before.

    What is made of picked tokens alone is free of the others, before the attention as well as behind it.
    """
    below = downstream(graph, [found.product])
    rest = [node for node in path if found.product not in node.output and any(name in below for name in reads(node))]
    above = {name: axis for name, axis in apart.items() if name not in below}
    axes = follow(graph, above | {found.product: len(values[found.product].shape) - 2}, rest, values)
    moving = {name for node in path for name in (*node.output, *reads(node))} & (downstream(graph, apart) | set(apart))
    picks: dict[str, tuple[int, ...]] = {}
    free: set[str] = set()
    for node in path:
        inputs = {name for name in reads(node) if name in moving}
        if node.output[0] in axes:
            continue
        rows = rows_picked(graph, node, axes, values) if len(inputs) == 1 else None
        if rows is not None:
            picks[node.output[0]] = rows
        if rows is not None or inputs <= free:
            free.update(node.output)
        elif node in rest:
            return None
    read = dict.fromkeys(name for node in rest for name in reads(node) if name in moving - below)
    rows = tuple(sorted({row for name in below & picks.keys() for row in picks[name]}))
    known = rows and all(name in above or name in free for name in read)
    return replace(found, sides=tuple(read), axes=axes, picks=picks, rows=rows) if known else None


def rows_picked(
    graph: onnx.GraphProto, node: onnx.NodeProto, axes: Mapping[str, int], values: Values
) -> tuple[int, ...] | None:
    """Return which tokens a Gather or Slice along their axis takes; None where a node does something else."""
    axis, constants = axes.get(node.input[0]), constants_of(graph)
    if axis is None or node.output[0] not in values:
        return None
    before, after = values[node.input[0]].shape, values[node.output[0]].shape
    given = [numpy_helper.to_array(constants[name]) for name in node.input[1:4] if name in constants]
    if node.op_type == "Gather" and integer(node, "axis", 0) % len(before) == axis and given:
        return tuple(int(i) % before[axis] for i in given[0].ravel())
    if node.op_type != "Slice" or [item.size for item in given] != [1, 1, 1] or len(before) != len(after):
        return None
    start, along = (int(given[i].ravel()[0]) for i in (0, 2))
    others = [i for i in range(len(before)) if before[i] != after[i]]
    if along % len(before) != axis or others != [axis]:
        return None
    return tuple(np.arange(before[axis])[start:][: after[axis]].tolist())

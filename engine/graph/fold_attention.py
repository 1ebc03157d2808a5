"""Write a head whose attention is folded: a ratio of two sums over tokens, then one token's way to the logits.

Where the rows that are read belong to tokens that are never removed, their scores do not depend on the mask, so
that numerator and denominator of their softmax are linear in it: `(mask @ N + n) / (mask @ D + d)`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..errors import ModelError
from ..types import Content, Logits, Split, Value
from .attention import Attention
from .cut import MASK, Built, assemble, constant, constant_node, sizes_read
from .fold import Reading, finished, info
from .free_batch import free_batch
from .walk import SHAPE_READERS, constants_of, downstream, reads

SUMS = ("ddcam_numerators", "ddcam_numerator", "ddcam_denominators", "ddcam_denominator")
"""Inputs of the folded graph, for R rows of h heads: `[n, h*R*d]`, `[h*R*d]`, `[n, h*R]`, `[h*R]`."""
RATIO = "ddcam_ratio"
Shapes = Mapping[str, tuple[int, ...]]


def fold_attention(
    proto: onnx.ModelProto, found: Attention, split: Split, logits: Logits, values: Mapping[str, Value]
) -> Content:
    """Serialise `mask [B, n], SUMS, sides -> logits [B, classes]`, where `sides` hold the rows alone.

    Raises ModelError where a node behind the attention cannot be written for the rows or for a batch.
    """
    shapes = restricted_shapes(found, values)
    product = shapes[found.product]
    heads, rows, width = int(np.prod(product[:-2])), product[-2], product[-1]
    rest = assemble(
        proto,
        [*reshape(RATIO, product, found.product), *rest_nodes(proto.graph, found, logits.tensor, shapes, values)],
        [info(RATIO, 1, heads, rows, width), *(info(name, *shapes[name]) for name in found.sides)],
        [info(logits.tensor, *values[logits.tensor].shape)],
    )
    known = shapes | {name: tuple(tensor.dims) for name, tensor in constants_of(rest.graph).items()}
    freed = free_batch(rest, RATIO, known | {RATIO: (1, heads, rows, width)})
    front, tensors = ratio_nodes(heads, rows, width)
    sizes = ((split.count, heads * rows * width), (heads * rows * width,), (split.count, heads * rows), (heads * rows,))
    sums = [info(name, *size) for name, size in zip(SUMS, sizes, strict=True)]
    inputs = [info(MASK, "N", split.count), *sums, *freed.graph.input[1:]]
    return finished(freed, front, inputs, tensors, Reading(logits, None))


def restricted_shapes(found: Attention, values: Mapping[str, Value]) -> dict[str, tuple[int, ...]]:
    """Return the measured shapes, with as many tokens as there are rows to be read."""
    shapes = {name: value.shape for name, value in values.items()}
    for name, axis in (found.axes or {}).items():
        shapes[name] = (*shapes[name][:axis], len(found.rows), *shapes[name][axis + 1 :])
    return shapes


def rest_nodes(
    graph: onnx.GraphProto, found: Attention, logits: str, shapes: Shapes, values: Mapping[str, Value]
) -> list[onnx.NodeProto]:
    """List the nodes behind the attention, written for the rows alone."""
    ends = {found.product, *found.sides}
    below, needed, kept = downstream(graph, ends), {logits}, list[onnx.NodeProto]()
    constants = {name: tuple(tensor.dims) for name, tensor in constants_of(graph).items()}
    for node in reversed(graph.node):
        if not needed.intersection(node.output) or ends.intersection(node.output):
            continue
        if node.op_type in SHAPE_READERS and node.input[0] in values:
            written = [constant_node(node.output[0], sizes_read(node, values[node.input[0]].shape))]
        else:
            written = restricted(node, found, shapes, values, constants) if node.output[0] in below else [node]
        kept += written[::-1]
        needed.update(name for item in written for name in reads(item))
    return kept[::-1]


def restricted(
    node: onnx.NodeProto, found: Attention, shapes: Shapes, values: Mapping[str, Value], constants: Shapes
) -> list[onnx.NodeProto]:
    """Rewrite a node that names the number of tokens, the place of some of them, or holds something for each."""
    name, output = node.input[0], node.output[0]
    axes, picks = found.axes or {}, found.picks or {}
    if output in picks:
        places = np.array([found.rows.index(row) for row in picks[output]], np.int64)
        rank = 1 + len(shapes[output]) - len(shapes[name])  # a Gather of one index drops the axis
        sizes = shapes[output][axes[name] : axes[name] + rank]
        return gather(name, places.reshape(sizes), axes[name], output)
    if output not in axes:
        return [node]
    if node.op_type in ("Reshape", "Expand"):
        return reshape(name, shapes[output], output)
    if node.op_type in ("Tile", "Pad"):
        raise ModelError(f"{node.op_type} (node {node.name or output!r}) behind the attention names all tokens")
    return with_rows_of_constants(node, found, values[output].shape, constants)


def with_rows_of_constants(
    node: onnx.NodeProto, found: Attention, shape: tuple[int, ...], constants: Shapes
) -> list[onnx.NodeProto]:
    """Cut constants that hold something for each token to the rows."""
    axis, nodes, written = (found.axes or {})[node.output[0]], list[onnx.NodeProto](), onnx.NodeProto()
    written.CopyFrom(node)
    for i, name in enumerate(node.input):
        own = axis - len(shape) + len(constants.get(name, ()))
        if name in constants and own >= 0 and constants[name][own] == shape[axis] > 1:
            short = f"{name}_ddcam_for_{node.output[0]}"
            nodes += gather(name, np.array(found.rows, np.int64), own, short)
            written.input[i] = short
    return [*nodes, written]


def gather(name: str, indices: NDArray[np.int64], axis: int, output: str) -> list[onnx.NodeProto]:
    places = constant_node(f"{output}_ddcam_places", indices)
    return [places, helper.make_node("Gather", [name, places.output[0]], [output], axis=axis)]


def reshape(name: str, shape: Iterable[int], output: str) -> list[onnx.NodeProto]:
    sizes = constant_node(f"{output}_ddcam_sizes", np.array(list(shape), np.int64))
    return [sizes, helper.make_node("Reshape", [name, sizes.output[0]], [output])]


def ratio_nodes(heads: int, rows: int, width: int) -> Built:
    """Return the nodes that make `[B, h, R, d]` from masks and sums."""
    numerators, numerator, denominators, denominator = SUMS
    shapes = {"ddcam_above": (-1, heads, rows, width), "ddcam_below": (-1, heads, rows, 1)}
    nodes = []
    for name, (linear, rest) in zip(shapes, ((numerators, numerator), (denominators, denominator)), strict=True):
        nodes.append(helper.make_node("MatMul", [MASK, linear], [f"{name}_product"]))
        nodes.append(helper.make_node("Add", [f"{name}_product", rest], [f"{name}_sum"]))
        nodes.append(helper.make_node("Reshape", [f"{name}_sum", f"{name}_shape"], [name]))
    nodes.append(helper.make_node("Div", list(shapes), [RATIO]))
    return nodes, [constant(f"{name}_shape", np.array(shape, np.int64)) for name, shape in shapes.items()]


def attention_sums(
    kept: tuple[NDArray[np.float32], NDArray[np.float32]],
    removed: tuple[NDArray[np.float32], NDArray[np.float32]],
    rows: tuple[int, ...],
    fixed: tuple[int, ...],
) -> dict[str, NDArray[np.float32]]:
    """Return SUMS from scores `[h, T, T]` and values `[h, T, d]`, with all units kept and with all removed.

    N_j = e_j v_j - e'_j v'_j with e = exp(score - the largest of the row), likewise D_j = e_j - e'_j; what the
    units add when removed, and the tokens that stay, are in the rest.
    """
    scores, gone = (pair[0].reshape(-1, *pair[0].shape[-2:])[:, list(rows)] for pair in (kept, removed))
    values, blank = (pair[1].reshape(-1, *pair[1].shape[-2:]) for pair in (kept, removed))
    most = np.maximum(scores, gone).max(axis=-1, keepdims=True)
    weights, empty = np.exp(scores - most), np.exp(gone - most)
    above = np.einsum("hrt,htd->thrd", weights, values).reshape(scores.shape[-1], -1)
    above_gone = np.einsum("hrt,htd->thrd", empty, blank).reshape(scores.shape[-1], -1)
    below = weights.transpose(2, 0, 1).reshape(scores.shape[-1], -1)
    below_gone = empty.transpose(2, 0, 1).reshape(scores.shape[-1], -1)
    units = np.delete(np.arange(scores.shape[-1]), list(fixed))
    stay = list(fixed)
    return dict(
        zip(
            SUMS,
            (
                above[units] - above_gone[units],
                above_gone[units].sum(0) + above[stay].sum(0),
                below[units] - below_gone[units],
                below_gone[units].sum(0) + below[stay].sum(0),
            ),
            strict=True,
        )
    )

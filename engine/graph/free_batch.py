"""Free a batch that a file fixes to 1: follow it through the graph and rewrite every node that pins it.

Each tensor that depends on the input has a place of the batch: an axis, and how many steps of that axis lie
inside one sample. A rule for each operator says where the batch goes next and appends the node, changed only
where it names the size of the batch. Whatever is computed from a shape keeps its value of batch 1.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .batch_rules import RULES, Rule
from .batch_work import BatchError, Place, Shape, Work, refusal, vector
from .walk import SHAPE_READERS, attribute, integer, integers, reads, subgraphs

__all__ = ["BatchError", "free_batch"]

SYMBOL = "batch"
"""Name of the free dimension of inputs and outputs."""


def free_batch(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> onnx.ModelProto:
    """Return a copy of a model whose input's axis 0, and all that follows from it, takes any batch.

    `shapes` are those of every tensor at batch 1; all sizes but the batch become fixed to them. A batch of n
    gives what n runs of one sample give, unless an operator mixes samples (DynamicQuantizeLinear): compare
    before use. Raises BatchError naming the node that cannot be rewritten. Cost: a copy; nothing is run.
    """
    freed = onnx.ModelProto()
    freed.CopyFrom(model)
    work = begin(model, input_name, shapes)
    for node in model.graph.node:
        visit(work, node)
    del freed.graph.node[:], freed.graph.value_info[:]
    freed.graph.node.extend(batch_count(work, input_name) + work.nodes)
    for value in (*freed.graph.input, *freed.graph.output):
        if value.name in work.places:
            declare(value, work.shape(value.name), work.places[value.name])
    return freed


def begin(model: onnx.ModelProto, input_name: str, shapes: Mapping[str, Shape]) -> Work:
    graph, prefix = model.graph, "free_batch"
    names = {name for node in graph.node for name in node.output} | {i.name for i in graph.initializer}
    while any(name.startswith(prefix) for name in names):
        prefix += "_again"
    constants = {i.name: i for i in graph.initializer} | dict(constant_nodes(graph.node))
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    work = Work(shapes, constants, opset, prefix)
    if work.shape(input_name)[:1] != (1,):
        raise BatchError(
            f"cannot free the batch: {input_name!r} must be [1, ...], it is {list(work.shape(input_name))}; "
            "give the shapes of a run with one sample"
        )
    work.places[input_name] = Place(0)
    return work


def constant_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for node in nodes:
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            yield node.output[0], value
        elif node.op_type == "Constant" and integers(node, "value_ints"):
            yield node.output[0], vector(integers(node, "value_ints"))


def visit(work: Work, node: onnx.NodeProto) -> None:
    """Append a node to the new graph: as its rule says, or as it is where it does not depend on the input."""
    if node.op_type in SHAPE_READERS and node.input[0] in work.places:
        work.nodes.append(measured_shape(work, node))
    elif not any(name in work.places for name in reads(node)):
        work.nodes.append(node)
    else:
        place = rule_for(node)(work, node)
        # Scale and zero point of DynamicQuantizeLinear are one for the whole batch: they have no place of it.
        outputs = node.output[:1] if node.op_type == "DynamicQuantizeLinear" else node.output
        work.places.update((name, place) for name in outputs if name)


def measured_shape(work: Work, node: onnx.NodeProto) -> onnx.NodeProto:
    """Return the constant that a Shape or Size is at batch 1.

    Left as it is, what is made from it (a class token expanded to the batch) would already hold the batch
    without having a place of it.
    """
    shape = work.shape(node.input[0])
    dims = shape[integer(node, "start", 0) : integer(node, "end", len(shape))]
    value = vector(dims) if node.op_type == "Shape" else numpy_helper.from_array(np.array(prod(shape), np.int64))
    return helper.make_node("Constant", [], list(node.output), name=node.name, value=value)


def rule_for(node: onnx.NodeProto) -> Rule:
    if any(subgraphs(node)):
        raise refusal(node, "it has subgraphs")
    if node.domain not in ("", "ai.onnx", "com.microsoft") or node.op_type not in RULES:
        raise refusal(node, "there is no rule for this operator")
    return RULES[node.op_type]


def batch_count(work: Work, input_name: str) -> list[onnx.NodeProto]:
    """Return the nodes that read the batch from the input, none where nothing asks for it."""
    if not any(work.batch in node.input for node in work.nodes):
        return []
    sizes, first = f"{work.prefix}_sizes", f"{work.prefix}_first"
    return [
        helper.make_node("Constant", [], [first], value=vector([0])),
        helper.make_node("Shape", [input_name], [sizes]),
        helper.make_node("Gather", [sizes, first], [work.batch], axis=0),
    ]


def declare(value: onnx.ValueInfoProto, shape: Shape, place: Place) -> None:
    """Declare the batch of an input or output as free."""
    if not value.type.HasField("tensor_type"):
        return
    dims = value.type.tensor_type.shape.dim
    if len(dims) != len(shape):
        del dims[:]
        dims.extend(onnx.TensorShapeProto.Dimension(dim_value=size) for size in shape)
    dims[place.axis].Clear()
    if shape[place.axis] == 1:
        dims[place.axis].dim_param = SYMBOL

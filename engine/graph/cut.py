"""Cut a model at a tensor into backbone and head, and make the head that takes masks.

The extractor is our own: onnx.utils.extract_model forgets names captured by subgraphs and fails where the
head asks for the shape of the picture (both measured).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..errors import SplitError
from ..types import Content, Logits, Measured, Split, Value
from .content import content_of
from .load import opset
from .quantization import Quantization
from .walk import SHAPE_READERS, downstream, initializers, integer, reads

FEATURES, MASK, LOGITS = "ddcam_features", "ddcam_mask", "ddcam_logits"
"""Names of the inputs and the output of a masked head."""
LEAST = 1e-12
"""Added to probabilities before their logarithm is taken, so that a probability of 0 stays finite."""
Proto = onnx.ModelProto
"""A model's content, for those who hand it on and do not look inside."""
Built = tuple[list[onnx.NodeProto], list[onnx.TensorProto]]
"""Nodes and the constants that they read."""


@dataclass(frozen=True)
class Part:
    """What to take out of a graph: from one tensor (exclusive) to some others (inclusive)."""

    source: str
    targets: tuple[str, ...]


def extract(proto: onnx.ModelProto, measured: Measured, part: Part) -> onnx.ModelProto:
    """Take a part out of a model as a model of its own; names stay, weights come along where they are read.

    Raises SplitError when the part needs anything besides its source.
    """
    nodes = part_nodes(proto.graph, measured, part)
    free = measured.batch_two is not None
    inputs = [value_info(part.source, measured.values[part.source], free)]
    outputs = [value_info(name, measured.values[name], free) for name in part.targets]
    return assemble(proto, nodes, inputs, outputs)


def masked_head(
    head: onnx.ModelProto,
    split: Split,
    logits: Logits,
    quantized: Mapping[str, Quantization],
    removed: NDArray[Any] | None = None,
) -> Content:
    """Serialise the graph `ddcam_features [1, ...], ddcam_mask [B, n] -> ddcam_logits [B, classes] float32` of a head.

    A removed unit is 0, or what `removed` (shaped like the split tensor) holds for it. An integer split tensor
    is dequantised, masked and quantised again, which loses nothing; `quantized` holds scale and zero point of
    split tensor and logits where they are integers.
    """
    masking, tensors = mask_nodes(split, quantized.get(split.tensor), removed)
    reading, more = logit_nodes(logits, quantized.get(logits.tensor))
    inputs = [
        value_info(FEATURES, Value(split.shape, split.dtype), free=False),
        helper.make_tensor_value_info(MASK, onnx.TensorProto.FLOAT, ["N", split.count]),
    ]
    outputs = [helper.make_tensor_value_info(LOGITS, onnx.TensorProto.FLOAT, ["N", logits.classes])]
    nodes = [*masking, *head.graph.node, *reading]
    return content_of(assemble(head, nodes, inputs, outputs, [*tensors, *more]))


def mask_nodes(split: Split, quantization: Quantization | None, removed: NDArray[Any] | None) -> Built:
    """Return the nodes that make the split tensor from features and mask, with their constants."""
    nodes, tensors, mask = token_mask(split) if split.units == "token" else ([], [], MASK)
    tensors = [*tensors, constant("ddcam_mask_shape", np.array(mask_shape(split), np.int64))]
    nodes = [*nodes, helper.make_node("Reshape", [mask, "ddcam_mask_shape"], ["ddcam_mask_grid"])]
    if removed is not None and removed.any():
        nodes.append(helper.make_node("Cast", ["ddcam_mask_grid"], ["ddcam_kept_units"], to=onnx.TensorProto.BOOL))
        nodes.append(helper.make_node("Where", ["ddcam_kept_units", FEATURES, "ddcam_removed"], [split.tensor]))
        return nodes, [*tensors, constant("ddcam_removed", removed)]
    if quantization is None:
        element = helper.np_dtype_to_tensor_dtype(np.dtype(split.dtype))
        nodes.append(helper.make_node("Cast", ["ddcam_mask_grid"], ["ddcam_mask_cast"], to=element))
        nodes.append(helper.make_node("Mul", [FEATURES, "ddcam_mask_cast"], [split.tensor]))
        return nodes, tensors
    scale = ["ddcam_scale", "ddcam_zero"]
    nodes.append(helper.make_node("DequantizeLinear", [FEATURES, *scale], ["ddcam_float"]))
    nodes.append(helper.make_node("Mul", ["ddcam_float", "ddcam_mask_grid"], ["ddcam_masked"]))
    nodes.append(helper.make_node("QuantizeLinear", ["ddcam_masked", *scale], [split.tensor]))
    return nodes, [*tensors, *quantization.tensors(*scale)]


def token_mask(split: Split) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto], str]:
    """Place the patches' mask among all tokens: `mask @ placing + kept`, exact since every entry is 0 or 1."""
    tokens = split.shape[split.unit_axis]
    patches = [i for i in range(tokens) if i not in split.fixed]
    placing, kept = np.zeros((split.count, tokens), np.float32), np.zeros(tokens, np.float32)
    placing[range(split.count), patches] = 1
    kept[list(split.fixed)] = 1
    nodes = [
        helper.make_node("MatMul", [MASK, "ddcam_placing"], ["ddcam_patches"]),
        helper.make_node("Add", ["ddcam_patches", "ddcam_kept"], ["ddcam_tokens"]),
    ]
    return nodes, [constant("ddcam_placing", placing), constant("ddcam_kept", kept)], "ddcam_tokens"


def mask_shape(split: Split) -> list[int]:
    """Return the shape that lets `[B, n]` masks multiply the features; -1 is the batch."""
    shape = [-1] + [1] * (len(split.shape) - 1)
    if split.units == "cell":
        spatial = [i for i in (1, 2, 3) if i != split.unit_axis]
        for axis, size in zip(spatial, split.grid, strict=True):
            shape[axis] = size
    else:
        shape[split.unit_axis] = split.shape[split.unit_axis]
    return shape


def logit_nodes(logits: Logits, quantization: Quantization | None) -> Built:
    nodes, tensors, last = [], [], logits.tensor
    if quantization:
        scale, last = ["ddcam_last_scale", "ddcam_last_zero"], "ddcam_last"
        nodes.append(helper.make_node("DequantizeLinear", [logits.tensor, *scale], [last]))
        tensors = quantization.tensors(*scale)
    nodes.append(helper.make_node("Cast", [last], ["ddcam_last_float"], to=onnx.TensorProto.FLOAT))
    last = "ddcam_last_float"
    if logits.holds == "probabilities":
        nodes.append(helper.make_node("Add", [last, "ddcam_least"], ["ddcam_above_zero"]))
        nodes.append(helper.make_node("Log", ["ddcam_above_zero"], ["ddcam_logarithm"]))
        tensors, last = [*tensors, constant("ddcam_least", np.array(LEAST, np.float32))], "ddcam_logarithm"
    nodes.append(helper.make_node("Reshape", [last, "ddcam_last_shape"], [LOGITS]))
    return nodes, [*tensors, constant("ddcam_last_shape", np.array([-1, logits.classes], np.int64))]


def part_nodes(graph: onnx.GraphProto, measured: Measured, part: Part) -> list[onnx.NodeProto]:
    """List the nodes between source and targets; a shape asked of a tensor above is rebuilt from the source's."""
    above = measured.values.keys() - downstream(graph, [part.source])
    needed, kept = set(part.targets), []
    for node in reversed(graph.node):
        if not needed.intersection(node.output) or part.source in node.output:
            continue
        if node.op_type in SHAPE_READERS and node.input[0] in above:
            kept += shape_nodes(node, measured, part.source)[::-1]
            continue
        kept.append(node)
        needed.update(reads(node))
    weights = initializers(graph).keys() | {i.values.name for i in graph.sparse_initializer}
    stray = needed - weights - {name for node in kept for name in node.output} - {part.source}
    if stray:
        raise SplitError(f"cannot split at {part.source!r}: the rest of the model also reads {sorted(stray)}")
    return kept[::-1]


def shape_nodes(node: onnx.NodeProto, measured: Measured, source: str) -> list[onnx.NodeProto]:
    """Replace `Shape(t)` of a tensor above the cut: `rest + growth * batch of the source`, as measured."""
    name, output = node.input[0], node.output[0]
    one = sizes_read(node, measured.values[name].shape)
    two = sizes_read(node, measured.batch_two[name]) if measured.batch_two else one
    if (one == two).all():
        return [constant_node(output, one)]
    prefix = f"{output}_ddcam"
    return [
        helper.make_node("Shape", [source], [f"{prefix}_shape"]),
        constant_node(f"{prefix}_first", np.array(0, np.int64)),
        helper.make_node("Gather", [f"{prefix}_shape", f"{prefix}_first"], [f"{prefix}_batch"]),
        constant_node(f"{prefix}_growth", two - one),
        helper.make_node("Mul", [f"{prefix}_batch", f"{prefix}_growth"], [f"{prefix}_grown"]),
        constant_node(f"{prefix}_rest", one - (two - one)),
        helper.make_node("Add", [f"{prefix}_grown", f"{prefix}_rest"], [output]),
    ]


def sizes_read(node: onnx.NodeProto, shape: tuple[int, ...]) -> NDArray[np.int64]:
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    return np.array(shape[integer(node, "start", 0) : integer(node, "end", len(shape))], np.int64)


def assemble(
    proto: onnx.ModelProto,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    tensors: Iterable[onnx.TensorProto] = (),
) -> onnx.ModelProto:
    """Build a model of some of a model's nodes with the weights that they read."""
    used = {name for node in nodes for name in reads(node)} | {o.name for o in outputs}
    weights = [i for i in proto.graph.initializer if i.name in used and i.name not in {v.name for v in inputs}]
    sparse = [i for i in proto.graph.sparse_initializer if i.values.name in used]
    graph = helper.make_graph(
        nodes, proto.graph.name or "ddcam", inputs, outputs, [*weights, *tensors], sparse_initializer=sparse
    )
    model = helper.make_model(graph, producer_name="ddcam", opset_imports=opset_imports(proto, nodes))
    model.ir_version = max(4, proto.ir_version)  # before 4 every weight had to be listed as an input too
    return model


def opset_imports(proto: onnx.ModelProto, nodes: Sequence[onnx.NodeProto]) -> list[onnx.OperatorSetIdProto]:
    domains = {node.domain for node in nodes} | {""}
    others = [i for i in proto.opset_import if i.domain not in ("", "ai.onnx")]
    standard = helper.make_opsetid("", opset(proto))
    return [standard, *(i for i in others if i.domain in domains or len(domains) > 1)]


def value_info(name: str, value: Value, free: bool) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(value.dtype))
    shape: list[int | str] = list(value.shape)
    if free and shape:
        shape[0] = "N"
    return helper.make_tensor_value_info(name, element, shape)


def constant(name: str, value: np.ndarray) -> onnx.TensorProto:
    return onnx.numpy_helper.from_array(value, name)


def constant_node(name: str, value: np.ndarray) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))


def expose(proto: onnx.ModelProto, names: Iterable[str] | None = None) -> onnx.ModelProto:
    """Return the model with more outputs: the named tensors, or every tensor that a node makes.

    They are declared by name only; ONNX Runtime needs no more, and a wrong declaration cannot get in the way.
    """
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    del model.graph.output[:]
    if names is None:
        names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names))
    return model


def shapes_of(proto: onnx.ModelProto, values: Mapping[str, Value]) -> dict[str, tuple[int, ...]]:
    """Return the measured shapes of a graph's tensors and those of its weights."""
    shapes = {name: value.shape for name, value in values.items()}
    return shapes | {name: tuple(tensor.dims) for name, tensor in initializers(proto.graph).items()}

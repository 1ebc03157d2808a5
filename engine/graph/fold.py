"""Fold what is linear right behind the units: a product with all their values becomes one vector a unit.

Behind a Gemm or MatMul of flattened features, what unit i adds is its own block of the weights times its own values:
computed once a picture, a probe is `mask @ U + c`. A 1x1 convolution has an output at every position, so that its U
would be larger than what it saves; there a probe of few units multiplies those few columns alone.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..types import Content, Logits, Measured, Split
from .content import content_of
from .cut import LOGITS, MASK, Part, assemble, constant, extract, logit_nodes, shapes_of
from .free_batch import free_batch
from .load import opset
from .quantization import Quantization
from .walk import attribute, consumers, initializers, integer, integers

UNITS, BLOCKS = "ddcam_units", "ddcam_blocks"
"""`[n, 1, r]` and `[n, r, O]`: what the units are, and the weights of each; an input, since a graph would copy them."""
PRODUCTS, REST = "ddcam_unit_products", "ddcam_rest"
"""`[n, O]` and `[O]`: what each of the units adds, and what is there without them."""
ROWS, INDEX = "ddcam_unit_rows", "ddcam_index"
"""`[n + 2, positions]`: the maps of the units, one of ones (the bias), one of zeros; the rows of a probe `[B, k]`."""
MAP_AXES, AXES_ARE_INPUT = "ddcam_map_axes", 18
"""The axes of a map, and the first operator set in which a ReduceMean takes them as an input."""
SHAPING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"})


@dataclass(frozen=True)
class Product:
    """A product of the units' values with constant weights: its output, weights `[n, r, O]` and bias `[O]`."""

    output: str
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def find_product(graph: onnx.GraphProto, point: Split, measured: Measured) -> Product | None:
    """Find a Gemm or MatMul of all values of the units in one row; None where something else follows them."""
    name, readers, weights = point.tensor, consumers(graph), initializers(graph)
    size = int(np.prod(point.shape))
    while len(readers.get(name, [])) == 1 and (node := readers[name][0]).op_type in SHAPING:
        name = node.output[0]
    node = readers[name][0] if len(readers.get(name, [])) == 1 else onnx.NodeProto()
    if node.op_type not in ("Gemm", "MatMul") or node.input[0] != name or node.input[1] not in weights:
        return None
    if measured.values[name].shape != (1, size) or not whole_rows(node) or point.dtype != "float32":
        return None
    matrix = numpy_helper.to_array(weights[node.input[1]])
    if matrix.dtype != np.float32 or matrix.ndim != 2 or size == point.count:
        return None
    bias = weights.get(node.input[2]) if len(node.input) > 2 else None
    if len(node.input) > 2 and bias is None:
        return None
    matrix = matrix.T if integer(node, "transB", 0) else matrix
    blocks = np.moveaxis(matrix.reshape(*point.shape[1:], -1), point.unit_axis - 1, 0)
    own = (
        np.zeros(matrix.shape[1])
        if bias is None
        else np.broadcast_to(numpy_helper.to_array(bias).ravel(), matrix.shape[1])
    )
    contiguous = np.ascontiguousarray(blocks, np.float32).reshape(point.count, -1, matrix.shape[1])
    return Product(node.output[0], contiguous, own.astype(np.float32))


def whole_rows(node: onnx.NodeProto) -> bool:
    return not integer(node, "transA", 0) and all(attribute(node, name) in (None, 1.0) for name in ("alpha", "beta"))


def unit_rows(values: NDArray[np.float32], point: Split) -> NDArray[np.float32]:
    """Return the units' own values `[n, r]`."""
    return np.ascontiguousarray(np.moveaxis(values[0], point.unit_axis - 1, 0)).reshape(point.count, -1)


def products_graph(found: Product) -> Content:
    """Serialise `UNITS, BLOCKS -> PRODUCTS`. Cost of a run: one pass over the weights, as for one row in the model."""
    count, length, width = found.weights.shape
    nodes = [
        helper.make_node("MatMul", [UNITS, BLOCKS], ["ddcam_each"]),
        helper.make_node("Reshape", ["ddcam_each", "ddcam_flat"], [PRODUCTS]),
    ]
    inputs = [info(UNITS, count, 1, length), info(BLOCKS, count, length, width)]
    shape = constant("ddcam_flat", np.array([count, width], np.int64))
    graph = helper.make_graph(nodes, "products", inputs, [info(PRODUCTS, count, width)], [shape])
    opsets = [helper.make_opsetid("", 13)]
    return content_of(helper.make_model(graph, opset_imports=opsets, ir_version=8))


def folded_head(rest: onnx.ModelProto, found: Product, reading: "Reading") -> Content:
    """Serialise `mask [B, n], PRODUCTS, REST -> logits [B, classes]`; `rest` leads from the product to the logits."""
    count, _, width = found.weights.shape
    nodes = [
        helper.make_node("MatMul", [MASK, PRODUCTS], ["ddcam_kept_products"]),
        helper.make_node("Add", ["ddcam_kept_products", REST], [found.output]),
    ]
    inputs = [info(MASK, "N", count), info(PRODUCTS, count, width), info(REST, width)]
    return finished(rest, nodes, inputs, [], reading)


@dataclass(frozen=True)
class Reading:
    """How the logits are read at the end of a head."""

    logits: Logits
    quantization: Quantization | None


def finished(
    rest: onnx.ModelProto,
    front: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    tensors: list[onnx.TensorProto],
    reading: Reading,
) -> Content:
    nodes, more = logit_nodes(reading.logits, reading.quantization)
    outputs = [info(LOGITS, "N", reading.logits.classes)]
    model = assemble(rest, [*front, *rest.graph.node, *nodes], inputs, outputs, [*tensors, *more])
    return content_of(model)


def rest_of(proto: onnx.ModelProto, measured: Measured, tensor: str, logits: str) -> onnx.ModelProto:
    """Take what leads from a tensor to the logits, for any batch; raises ModelError (SplitError) where it cannot be."""
    rest = extract(proto, measured, Part(tensor, (logits,)))
    return rest if measured.batch_two else free_batch(rest, tensor, shapes_of(rest, measured.values))


@dataclass(frozen=True)
class Pointwise:
    """A 1x1 convolution of channels: its output, its measured shape `[1, O, h, w]`, weights `[O, n]`, bias `[O]`."""

    output: str
    shape: tuple[int, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


def find_pointwise(graph: onnx.GraphProto, point: Split, measured: Measured) -> Pointwise | None:
    """Find a 1x1 convolution, of stride 1 and without groups, that alone reads the channels; or None."""
    readers, weights = consumers(graph).get(point.tensor, []), initializers(graph)
    if len(readers) != 1 or readers[0].op_type != "Conv" or point.units != "channel" or point.dtype != "float32":
        return None
    node = readers[0]
    if any(name not in weights for name in node.input[1:]) or point.unit_axis != 1:
        return None
    kernel = numpy_helper.to_array(weights[node.input[1]])
    plain = integer(node, "group", 1) == 1 and not any(integers(node, "pads")) and set(integers(node, "strides")) <= {1}
    if not plain or kernel.dtype != np.float32 or kernel.shape[2:] != (1, 1):
        return None
    bias = numpy_helper.to_array(weights[node.input[2]]) if len(node.input) > 2 else np.zeros(len(kernel), np.float32)
    return Pointwise(node.output[0], measured.values[node.output[0]].shape, kernel[:, :, 0, 0], bias)


def sparse_head(rest: onnx.ModelProto, found: Pointwise, reading: Reading, measured: Measured) -> Content:
    """Serialise `INDEX [B, k], ROWS [n + 2, positions] -> logits [B, classes]`: few columns of a 1x1 convolution."""
    count, positions = found.weights.shape[1], int(np.prod(found.shape[2:]))
    columns = np.concatenate([found.weights.T, found.bias[None], np.zeros((1, len(found.bias)), np.float32)])
    nodes = [
        helper.make_node("Gather", [ROWS, INDEX], ["ddcam_maps"], axis=0),
        helper.make_node("Gather", ["ddcam_columns", INDEX], ["ddcam_picked"], axis=0),
        helper.make_node("Transpose", ["ddcam_picked"], ["ddcam_turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["ddcam_turned", "ddcam_maps"], ["ddcam_flat_output"]),
        helper.make_node("Reshape", ["ddcam_flat_output", "ddcam_output_shape"], [found.output]),
    ]
    rest = maps_averaged(rest, measured)
    shape = np.array([-1, *found.shape[1:]], np.int64)
    tensors = [constant("ddcam_columns", columns), constant("ddcam_output_shape", shape)]
    index = helper.make_tensor_value_info(INDEX, onnx.TensorProto.INT64, ["N", "K"])
    return finished(rest, nodes, [index, info(ROWS, count + 2, positions)], tensors, reading)


def maps_averaged(model: onnx.ModelProto, measured: Measured) -> onnx.ModelProto:
    """Return the model with averages over whole maps written as means.

    For a pooling ONNX Runtime reorders the maps, for a mean it does not: three probes of a SqueezeNet took 0.40 ms
    instead of 0.61 (one thread).
    """
    written, inputs = onnx.ModelProto(), opset(model) >= AXES_ARE_INPUT
    written.CopyFrom(model)
    for node in written.graph.node:
        if averages_maps(node, measured):
            given = dict(keepdims=1) if inputs else dict(keepdims=1, axes=[2, 3])
            names = [node.input[0], MAP_AXES] if inputs else node.input[:1]
            node.CopyFrom(helper.make_node("ReduceMean", names, node.output, **given))
    if inputs:
        written.graph.initializer.append(constant(MAP_AXES, np.array([2, 3])))
    return written


def averages_maps(node: onnx.NodeProto, measured: Measured) -> bool:
    """Tell whether a node averages each map `[N, C, h, w]` as a whole."""
    shape = measured.values[node.input[0]].shape if node.input and node.input[0] in measured.values else ()
    if node.op_type == "GlobalAveragePool":
        return len(shape) == 4
    return (
        node.op_type == "AveragePool"
        and integers(node, "kernel_shape") == list(shape[2:])
        and not any(integers(node, "pads"))
        and measured.values[node.output[0]].shape[2:] == (1, 1)
    )


def info(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape))

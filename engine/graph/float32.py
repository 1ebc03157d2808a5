"""A graph that computes in float32 what it computed in float16 or bfloat16: gradients need more than three digits."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

NARROW = {TensorProto.FLOAT16, TensorProto.BFLOAT16}
TYPE_ATTRIBUTES = {"Cast": "to", "RandomNormalLike": "dtype", "RandomUniformLike": "dtype", "EyeLike": "dtype"}
"""Operators that name an element type in an attribute."""


def widened(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every float16 and bfloat16 tensor, input and output as float32; others as they are.

    Values that 16 bits would have rounded or clipped on the way are not: compare the logits before they are used.
    """
    if not uses_narrow(proto.graph):
        return proto
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    widen_graph(wide.graph)
    return wide


def uses_narrow(graph: onnx.GraphProto) -> bool:
    held = any(tensor.data_type in NARROW for tensor in graph.initializer)
    fed = any(info.type.tensor_type.elem_type in NARROW for info in (*graph.input, *graph.output))
    return held or fed or any(narrow_attribute(node) is not None for node in graph.node)


def narrow_attribute(node: onnx.NodeProto) -> onnx.AttributeProto | None:
    """Return the attribute of a node that makes 16-bit floats."""
    attributes: list[onnx.AttributeProto] = list(node.attribute)
    for item in attributes:
        if item.HasField("t") and item.t.data_type in NARROW:
            return item
        if TYPE_ATTRIBUTES.get(node.op_type) == item.name and item.i in NARROW:
            return item
    return None


def widen_graph(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        widen_tensor(tensor)
    for info in (*graph.input, *graph.output, *graph.value_info):
        if info.type.tensor_type.elem_type in NARROW:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    for node in graph.node:
        found = narrow_attribute(node)
        if found is not None and found.HasField("t"):
            widen_tensor(found.t)
        elif found is not None:
            found.i = TensorProto.FLOAT


def widen_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_type in NARROW:
        array = np.asarray(numpy_helper.to_array(tensor)).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))

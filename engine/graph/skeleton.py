"""A model without its large weights, for questions about shapes: inference copies what it is given several times."""

import math

import onnx

LARGEST = 1024
"""Elements; smaller constants may be shapes, axes or sizes, whose values inference needs."""


def skeleton(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model whose large initializers are inputs of the same type and shape."""
    bare = onnx.ModelProto(ir_version=max(4, proto.ir_version))
    bare.opset_import.extend(proto.opset_import)
    bare.functions.extend(proto.functions)
    graph, listed = proto.graph, {i.name for i in proto.graph.input}
    bare.graph.name = graph.name or "skeleton"
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(bare.graph, field).extend(getattr(graph, field))
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= LARGEST:
            bare.graph.initializer.append(tensor)
        elif tensor.name not in listed:
            kind = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            bare.graph.input.append(kind)
    return bare

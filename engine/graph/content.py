"""A graph as ONNX Runtime loads it: its bytes, and beside them the weights that one message cannot hold."""

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from ..errors import ModelError
from ..types import BESIDE, Content, Parted
from .external import size_of

MOST = 2**31 - 2**24
"""Bytes of weights that are serialised: protobuf cannot hold more than 2 GB, and the graph itself needs some room."""
LARGE = 2**20
"""Bytes from which on a weight of a larger model is kept beside it."""
PLAIN = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT8, TensorProto.UINT8})
"""Types of large weights that NumPy has too."""


def content_of(proto: onnx.ModelProto) -> Content:
    """Serialise a graph; where its weights are over 2 GB, the large ones are arrays beside it.

    Raises ModelError where what is left is over 2 GB still. Cost: a copy of the weights.
    """
    if not is_heavy(proto):
        content: bytes = proto.SerializeToString()
        return content
    light, weights, offset = without_weights(proto), dict[str, NDArray[Any]](), 0
    for tensor in proto.graph.initializer:
        if tensor.data_type not in PLAIN or size_of(tensor) < LARGE:
            light.graph.initializer.append(tensor)
            continue
        weights[tensor.name] = numpy_helper.to_array(tensor)
        light.graph.initializer.append(reference(tensor, offset))
        offset += weights[tensor.name].nbytes
    try:
        return Parted(light.SerializeToString(), weights)
    except Exception as error:  # protobuf's EncodeError has no public home that is stable across backends
        raise ModelError(
            "the model has over 2 GB in constants of its nodes, which cannot be loaded; export them as weights"
        ) from error


def is_heavy(proto: onnx.ModelProto) -> bool:
    return sum(map(size_of, proto.graph.initializer)) > MOST


def require_light(proto: onnx.ModelProto, what: str) -> None:
    """Raise ModelError where what is to be written as one file is over 2 GB."""
    if is_heavy(proto):
        raise ModelError(f"{what} would be over 2 GB, and ddcam writes files up to that; take a smaller variant of it")


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model without initializers; nothing large is copied."""
    light = onnx.ModelProto(ir_version=proto.ir_version, producer_name=proto.producer_name)
    for field in ("opset_import", "functions", "metadata_props"):
        getattr(light, field).extend(getattr(proto, field))
    light.graph.name = proto.graph.name
    for field in ("node", "input", "output", "value_info", "sparse_initializer"):
        getattr(light.graph, field).extend(getattr(proto.graph, field))
    return light


def reference(tensor: onnx.TensorProto, offset: int) -> onnx.TensorProto:
    """Return a tensor of the same name, type and shape whose data lie in the file BESIDE."""
    outside = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    outside.data_location = TensorProto.EXTERNAL
    for key, value in (("location", BESIDE), ("offset", offset), ("length", size_of(tensor))):
        outside.external_data.add(key=key, value=str(value))
    return outside

"""Put the nodes of one graph into another, on the tensors that are there, without what is computed there already."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from ..errors import ModelError
from .build import Builder, Var
from .walk import subgraphs

Content = tuple[str, tuple[int, ...], bytes]
Weights = Mapping[Content, str]
Identity = tuple[str, str, tuple[str, ...], tuple[bytes, ...]]


@dataclass(frozen=True)
class Host:
    """The graph that others are put into: its weights by what they hold, its tensors by what computes them."""

    weights: Weights
    made: Mapping[Identity, Sequence[str]]


@dataclass(frozen=True)
class Guest:
    """A graph that is put into others, once or several times, and what its weights hold, by their names."""

    graph: onnx.GraphProto
    contents: Mapping[str, Content]


def host(graph: onnx.GraphProto) -> Host:
    """Read a graph that others are to be put into. Cost: its weights are read once."""
    weights = {content(tensor): tensor.name for tensor in graph.initializer}
    return Host(weights, {identity(node, list(node.input)): list(node.output) for node in graph.node})


def guest(graph: onnx.GraphProto) -> Guest:
    """Read a graph that is to be put into others. Cost: its weights are read once."""
    return Guest(graph, {tensor.name: content(tensor) for tensor in graph.initializer})


def spliced(op: Builder, added: Guest, feeds: Mapping[str, Var], into: Host) -> dict[str, str]:
    """Append a graph's nodes under names of their own, its inputs fed by `feeds`; return the names of its tensors.

    Nodes that the host has, on the same tensors and weights, are taken from there. Raises ModelError for a node with
    a graph inside.
    """
    prefix = f"{op.name('part')}_"
    names = {name: value.name for name, value in feeds.items()} | {"": ""} | kept_weights(op, prefix, added, into)
    for node in added.graph.node:
        if next(subgraphs(node), None) is not None:
            raise ModelError(f"the explanation needs {node.op_type} {node.name!r}, which cannot be embedded")
        inputs = [names[name] for name in node.input]
        known = into.made.get(identity(node, inputs), [])
        if len(known) == len(node.output):
            names.update(zip(node.output, known, strict=True))
            continue
        names.update({name: f"{prefix}{name}" for name in node.output if name})
        op.nodes.append(renamed(node, prefix, inputs, [names[name] for name in node.output]))
    return names


def kept_weights(op: Builder, prefix: str, added: Guest, into: Host) -> dict[str, str]:
    """Give every weight of a graph a name: the host's where that has the same numbers, else a new one."""
    names = {}
    for tensor in added.graph.initializer:
        known = into.weights.get(added.contents[tensor.name])
        names[tensor.name] = known or f"{prefix}{tensor.name}"
        if known is None:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[tensor.name]
            op.tensors[copy.name] = copy
    return names


def content(tensor: onnx.TensorProto) -> Content:
    return content_of(numpy_helper.to_array(tensor))


def content_of(array: NDArray[Any]) -> Content:
    """Say what a weight holds: two of the same content can be one."""
    return array.dtype.str, array.shape, hashlib.sha256(np.ascontiguousarray(array).tobytes()).digest()


def identity(node: onnx.NodeProto, inputs: Sequence[str]) -> Identity:
    """Say what a node computes: nodes of the same identity give the same."""
    attributes = sorted((item.name, item.SerializeToString(deterministic=True)) for item in node.attribute)
    return node.domain.replace("ai.onnx", ""), node.op_type, tuple(inputs), tuple(value for _, value in attributes)


def renamed(node: onnx.NodeProto, prefix: str, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
    other = onnx.NodeProto()
    other.CopyFrom(node)
    other.name = f"{prefix}{node.name}" if node.name else ""
    other.input[:], other.output[:] = inputs, outputs
    return other


def weights_shaped(proto: onnx.ModelProto, shape: tuple[int, int]) -> Iterator[NDArray[np.float32]]:
    """Yield the float32 weights of a shape, those of 1x1 convolutions too, and those of the transposed shape turned."""
    for tensor in proto.graph.initializer:
        dims = tuple(tensor.dims)
        if tensor.data_type == onnx.TensorProto.FLOAT and dims in (shape, (*shape, 1, 1), shape[::-1]):
            array = numpy_helper.to_array(tensor)
            yield array.T if dims == shape[::-1] else array.reshape(shape)

"""Put a map's graph into the model that it explains: one more output, which an input switches off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import ModelError
from .build import Builder, Var, builder_for
from .load import opset, valid_bytes
from .opset import raised
from .walk import subgraphs

MAP, EXPLAIN = "saliency_map", "explain"
"""Names of the output and of the input that an embedded explanation adds."""
IR = 8
"""From this version of the format on the operator sets that gradients need are valid."""
PREFIX = "ddcam_map_"


@dataclass(frozen=True)
class MapGraph:
    """The graph of a map: `source` [N, ...] and `target` (one-hot, [N, classes]) in, `result` [N, h, w] out.

    Serialised, all of it float32; `dtype` is what the source holds in the model.
    """

    content: bytes
    source: str
    dtype: str
    target: str
    result: str
    grid: tuple[int, int]


@dataclass(frozen=True)
class Explained:
    """What is explained and how it is shown: the class (None: the one decided for), and down [H, h] and across [W, w].

    Down and across bring a map to the size of the model input, None leaves it on its grid.
    """

    logits: str
    classes: int
    target: int | None
    enlarging: tuple[NDArray[np.float32], NDArray[np.float32]] | None


def embed(proto: onnx.ModelProto, graph: MapGraph, shown: Explained, metadata: Mapping[str, str]) -> bytes:
    """Serialise the model with the output MAP `[N, 1, H, W]` in 0..1 and the input EXPLAIN, a bool.

    EXPLAIN is true by default. Where it is false the map is not computed, and zeros of its shape come out. The model's
    own nodes stay as they are, raised to the operator set of the map's graph; what that does again of them (a forward
    pass of its own) is taken from them. Raises ModelError where names clash, GradientError where the operator set
    cannot be raised.
    """
    model, added = raised(proto), onnx.load_from_string(graph.content)
    if opset(model) != opset(added):
        raise ModelError(f"the model is at operator set {opset(model)} and cannot be brought to {opset(added)}")
    require_free_names(model.graph)
    on = builder_for(model, PREFIX)
    off = Builder(f"{on.prefix}off_", on.opset)
    target = one_hot(shown, on)
    finished(inlined(model.graph, added.graph, graph, target, on), graph.grid, shown, on)
    zeros(map_size(graph, shown), shown, off)
    explained = onnx.ModelProto()
    explained.CopyFrom(model)
    add(explained.graph, on, off, map_size(graph, shown))
    explained.ir_version = max(explained.ir_version, IR)
    helper.set_model_props(explained, {p.key: p.value for p in model.metadata_props} | dict(metadata))
    return valid_bytes(explained, "the model with its explanation")


def require_free_names(graph: onnx.GraphProto) -> None:
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {i.name for i in graph.input}
    for name in (MAP, EXPLAIN):
        if name in taken:
            raise ModelError(f"the model has a tensor {name!r} of its own; rename it before an explanation is embedded")


def map_size(graph: MapGraph, shown: Explained) -> tuple[int, int]:
    if shown.enlarging is None:
        return graph.grid
    down, across = shown.enlarging
    return len(down), len(across)


# ----- the map's nodes, on the model's own tensors -----


def inlined(model: onnx.GraphProto, added: onnx.GraphProto, graph: MapGraph, target: Var, op: Builder) -> Var:
    """Append the map's nodes under names of their own, without those that the model computes already."""
    fed = Var(op, graph.source, graph.dtype).cast("float32")
    names = {graph.source: fed.name, graph.target: target.name, "": ""}
    names |= kept_weights(model, added, op)
    made = {identity(node, list(node.input)): list(node.output) for node in model.node}
    for node in added.node:
        if next(subgraphs(node), None) is not None:
            raise ModelError(f"the map needs {node.op_type} {node.name!r}, which cannot be embedded")
        inputs = [names[name] for name in node.input]
        known = made.get(identity(node, inputs), [])
        if len(known) == len(node.output):
            names.update(zip(node.output, known, strict=True))
            continue
        names.update({name: f"{op.prefix}{name}" for name in node.output if name})
        op.nodes.append(renamed(node, inputs, [names[name] for name in node.output]))
    return Var(op, names[graph.result], "float32", (None, *graph.grid))


def kept_weights(model: onnx.GraphProto, graph: onnx.GraphProto, op: Builder) -> dict[str, str]:
    """Give every weight of the map's graph a name: the model's where that has the same numbers, else a new one."""
    own = {content(tensor): tensor.name for tensor in model.initializer}
    names = {}
    for tensor in graph.initializer:
        known = own.get(content(tensor))
        names[tensor.name] = known or f"{op.prefix}{tensor.name}"
        if known is None:
            copy = onnx.TensorProto()
            copy.CopyFrom(tensor)
            copy.name = names[tensor.name]
            op.tensors[copy.name] = copy
    return names


def content(tensor: onnx.TensorProto) -> tuple[int, tuple[int, ...], bytes]:
    return tensor.data_type, tuple(tensor.dims), numpy_helper.to_array(tensor).tobytes()


def identity(node: onnx.NodeProto, inputs: Sequence[str]) -> tuple[str, str, tuple[str, ...], tuple[bytes, ...]]:
    """Say what a node computes: nodes of the same identity give the same."""
    attributes = sorted((item.name, item.SerializeToString(deterministic=True)) for item in node.attribute)
    return node.domain.replace("ai.onnx", ""), node.op_type, tuple(inputs), tuple(value for _, value in attributes)


def renamed(node: onnx.NodeProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.NodeProto:
    other = onnx.NodeProto()
    other.CopyFrom(node)
    other.name = f"{PREFIX}{node.name}" if node.name else ""
    other.input[:], other.output[:] = inputs, outputs
    return other


# ----- what comes before it and after it, and what without it -----


def one_hot(shown: Explained, op: Builder) -> Var:
    """Make the target `[N, classes]`: the class decided for, or one that was chosen."""
    rows = op.Reshape(Var(op, shown.logits, "float32"), op.ints([-1, shown.classes]))
    if shown.target is None:
        classes = op.ints(range(shown.classes))
        return classes.equals(op.ArgMax(rows, axis=1, keepdims=1)).cast("float32")
    row = np.eye(shown.classes, dtype=np.float32)[[shown.target]]
    return op.Expand(op.constant(row), op.Shape(rows))


def finished(result: Var, grid: tuple[int, int], shown: Explained, op: Builder) -> None:
    """Scale the positive part of a map by its maximum and bring it to the size of the model input."""
    positive = op.Relu(result.reshape([-1, 1, *grid]))
    peak = positive.max((2, 3))
    scaled = positive / (peak > 0).where(peak, 1.0)
    if shown.enlarging is not None:
        down, across = shown.enlarging
        scaled = op.MatMul(op.MatMul(op.constant(down), scaled), op.constant(np.ascontiguousarray(across.T)))
    op.Identity(scaled)


def zeros(size: tuple[int, int], shown: Explained, op: Builder) -> None:
    """Make zeros of the shape of the map."""
    batch = op.Shape(Var(op, shown.logits, "float32"), start=0, end=1)
    op.node("ConstantOfShape", [op.Concat(batch, op.ints([1, *size]), axis=0)], dtype="float32")


def add(graph: onnx.GraphProto, on: Builder, off: Builder, size: tuple[int, int]) -> None:
    """Append the choice between both, its switch and its output."""
    bodies = {}
    for branch, op in (("then_branch", on), ("else_branch", off)):
        last = helper.make_tensor_value_info(op.nodes[-1].output[0], onnx.TensorProto.FLOAT, None)
        bodies[branch] = helper.make_graph(op.nodes, f"{op.prefix}{branch}", [], [last])
        graph.initializer.extend(op.tensors.values())
    graph.initializer.append(numpy_helper.from_array(np.array(True), EXPLAIN))
    graph.input.append(helper.make_tensor_value_info(EXPLAIN, onnx.TensorProto.BOOL, []))
    graph.node.append(helper.make_node("If", [EXPLAIN], [MAP], name=f"{on.prefix}if", **bodies))
    graph.output.append(helper.make_tensor_value_info(MAP, onnx.TensorProto.FLOAT, ["N", 1, *size]))

"""Put an explanation into the model that it explains: outputs more, which an input switches off."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ..errors import ModelError
from ..types import Measured
from .build import Builder, Var, builder_for
from .load import Graph, opset, valid_bytes
from .loops import info
from .opset import raised
from .splice import guest, host, spliced
from .walk import reads

MAP, UNITS, SUFFICIENT, MINIMAL = "saliency_map", "units", "sufficient", "minimal"
"""Names of the outputs that an embedded explanation adds; the last three are those of a search."""
EXPLAIN = "explain"
"""Name of the input that switches it."""
LOWEST = 13
"""The operator set from which a search can be written."""
IR = 8
"""From this version of the format on the operator sets that gradients need are valid."""
PREFIX = "ddcam_map_"
METHOD = "ddcam_method"
"""The metadata that tells an exported file."""
Enlarging = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Down `[H, h]` and across `[W, w]`, which bring a map over the grid to the size of the model input."""


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
class Shown:
    """What is explained and how it is shown: the class (None: the one decided for), and what enlarges the map.

    Without that it stays on its grid.
    """

    logits: str
    classes: int
    target: int | None
    enlarging: Enlarging | None


@dataclass(frozen=True)
class Output:
    """An output that is added: its value `[N, ...]`, what it is called, and its shape behind the batch."""

    name: str
    value: Var
    shape: tuple[int, ...]


def with_formula(proto: onnx.ModelProto, graph: MapGraph, shown: Shown, metadata: Mapping[str, str]) -> bytes:
    """Serialise the model with the output MAP `[N, 1, H, W]` in 0..1 of a graph, and the input EXPLAIN.

    The model's own nodes stay as they are, raised to the operator set of the map's graph; what that does again of
    them (a forward pass of its own) is taken from them. Raises what `embed` raises, GradientError where the operator
    set cannot be raised.
    """
    model, added = raised(proto), onnx.load_from_string(graph.content)
    if opset(model) != opset(added):
        raise ModelError(f"the model is at operator set {opset(model)} and cannot be brought to {opset(added)}")
    op = builder_for(model, PREFIX)
    fed = {graph.source: Var(op, graph.source, graph.dtype).cast("float32"), graph.target: one_hot(shown, op)}
    names = spliced(op, guest(added.graph), fed, host(model.graph))
    result = Var(op, names[graph.result], "float32", (None, *graph.grid))
    nothing = Builder(f"{op.prefix}always_", op.opset)
    return embed(model, (nothing, op), [finished(result, graph.grid, shown.enlarging)], shown.logits, metadata)


def embed(
    model: onnx.ModelProto,
    made: tuple[Builder, Builder],
    outputs: Sequence[Output],
    logits: str,
    metadata: Mapping[str, str],
) -> bytes:
    """Serialise a model with outputs more, and with the input EXPLAIN, a bool.

    `made` hold nodes that depend on no picture, and those that run where EXPLAIN is true. It is so by default; where
    it is false nothing is computed, and zeros of their shapes come out. `logits` is a tensor `[N, ...]` of the model.
    Raises ModelError where names clash.
    """
    require_free_names(model.graph, [output.name for output in outputs])
    always, on = made
    off = Builder(f"{on.prefix}off_", on.opset)
    nothing = [zeros(output, logits, off) for output in outputs]
    explained = onnx.ModelProto()
    explained.CopyFrom(model)
    explained.graph.node.extend(always.nodes)
    add(explained.graph, branch(on, [output.value for output in outputs]), branch(off, nothing), outputs)
    for op in (always, on, off):
        explained.graph.initializer.extend(op.tensors.values())
    explained.ir_version = max(explained.ir_version, IR)
    helper.set_model_props(explained, {p.key: p.value for p in model.metadata_props} | dict(metadata))
    return valid_bytes(explained, "the model with its explanation")


def plain(graph: Graph) -> Graph:
    """Return a model without the explanation that was put into it, which is no part of what is explained."""
    proto = graph.proto
    switches = [node for node in proto.graph.node if node.op_type == "If" and list(node.input) == [EXPLAIN]]
    if METHOD not in graph.metadata or not switches:
        return graph
    left = onnx.ModelProto()
    left.CopyFrom(proto)
    added = {EXPLAIN, *(name for node in switches for name in node.output)}
    for values in (left.graph.input, left.graph.output):
        keep(values, lambda value: value.name not in added)
    keep(left.graph.node, lambda node: not added.intersection(node.output))
    used = {value.name for value in left.graph.output} | {name for node in left.graph.node for name in reads(node)}
    keep(left.graph.node, lambda node: not node.output[0].startswith(PREFIX) or not used.isdisjoint(node.output))
    keep(left.graph.initializer, lambda tensor: tensor.name in used)
    note = f"the explanation inside ({graph.metadata[METHOD]}) is left out; it is no part of what is explained"
    return replace(graph, proto=left, notes=(*graph.notes, note))


def keep(items: Any, holds: Callable[[Any], bool]) -> None:
    """Keep those of a protobuf's items for which a condition holds."""
    kept = [item for item in items if holds(item)]
    del items[:]
    items.extend(kept)


def require_free_names(graph: onnx.GraphProto, wanted: Sequence[str]) -> None:
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | {i.name for i in graph.input}
    for name in (*wanted, EXPLAIN):
        if name in taken:
            raise ModelError(f"the model has a tensor {name!r} of its own; rename it before an explanation is embedded")


def with_true_shapes(proto: onnx.ModelProto, measured: Measured) -> onnx.ModelProto:
    """Return a model without the shapes that it declares and does not keep: runtimes lay out memory by them.

    Some files name the batch that they were trained with (128) for an output; the plain model runs all the same, what
    is put behind it does not. What changes with the batch becomes free.
    """
    if next(untrue_sizes(proto, measured), None) is None:
        return proto
    told = onnx.ModelProto()
    told.CopyFrom(proto)
    for dim in untrue_sizes(told, measured):
        dim.Clear()
    return told


def untrue_sizes(proto: onnx.ModelProto, measured: Measured) -> Iterator[Any]:
    """Yield the sizes that outputs and inner tensors declare and were not seen to have, at both batches."""
    for value in (*proto.graph.output, *proto.graph.value_info):
        seen = measured.values.get(value.name)
        dims = value.type.tensor_type.shape.dim
        if seen is None or len(dims) != len(seen.shape):
            continue
        sizes = zip(dims, seen.shape, (measured.batch_two or {}).get(value.name, seen.shape), strict=True)
        yield from (dim for dim, one, two in sizes if dim.HasField("dim_value") and not dim.dim_value == one == two)


# ----- what comes before a formula and after it -----


def one_hot(shown: Shown, op: Builder) -> Var:
    """Make the target `[N, classes]`: the class decided for, or one that was chosen."""
    rows = op.Reshape(Var(op, shown.logits, "float32"), op.ints([-1, shown.classes]))
    if shown.target is None:
        classes = op.ints(range(shown.classes))
        return classes.equals(op.ArgMax(rows, axis=1, keepdims=1)).cast("float32")
    row = np.eye(shown.classes, dtype=np.float32)[[shown.target]]
    return op.Expand(op.constant(row), op.Shape(rows))


def finished(maps: Var, grid: tuple[int, int], enlarging: Enlarging | None) -> Output:
    """Scale the positive part of maps `[N, h, w]` by their maxima and bring them to the size of the model input."""
    op = maps.op
    positive = op.Relu(maps.reshape([-1, 1, *grid]))
    peak = positive.max((2, 3))
    scaled = positive / (peak > 0).where(peak, 1.0)
    if enlarging is None:
        return Output(MAP, scaled, (1, *grid))
    down, across = enlarging
    larger = op.MatMul(op.MatMul(op.constant(down), scaled), op.constant(np.ascontiguousarray(across.T)))
    return Output(MAP, larger, (1, len(down), len(across)))


# ----- the switch -----


def zeros(output: Output, logits: str, op: Builder) -> Var:
    """Make zeros of the shape of an output."""
    batch = op.Shape(Var(op, logits, "float32")).slice(0, 0, 1)
    shape = op.Concat(batch, op.ints(output.shape), axis=0) if output.shape else batch
    kind = output.value.dtype
    value = numpy_helper.from_array(np.zeros(1, kind))
    return op.node("ConstantOfShape", [shape], dtype=kind, value=value)


def branch(op: Builder, values: Sequence[Var]) -> onnx.GraphProto:
    """Return the graph of a branch, which hands on what it made."""
    made = [op.Identity(Var(op, value.name, value.dtype)) for value in values]
    return helper.make_graph(op.nodes, op.prefix, [], [info(value) for value in made])


def add(graph: onnx.GraphProto, then: onnx.GraphProto, other: onnx.GraphProto, outputs: Sequence[Output]) -> None:
    """Append the choice between both, its switch and its outputs."""
    graph.initializer.append(numpy_helper.from_array(np.array(True), EXPLAIN))
    graph.input.append(helper.make_tensor_value_info(EXPLAIN, onnx.TensorProto.BOOL, []))
    names = [output.name for output in outputs]
    graph.node.append(helper.make_node("If", [EXPLAIN], names, name=then.name, then_branch=then, else_branch=other))
    for output in outputs:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(output.value.dtype))
        graph.output.append(helper.make_tensor_value_info(output.name, kind, ["N", *output.shape]))

"""Make a graph ready to be differentiated: float32, a recent operator set, simplified, every shape known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from ..graph.build import Builder, Shape, builder_for
from ..graph.content import require_light
from ..graph.cut import expose
from ..graph.float32 import widened
from ..graph.opset import raised
from ..graph.walk import ancestors, downstream, feeds, reads
from ..runtime.simplify import simplified
from ..runtime.trace import Trace, trace
from .node import Known

Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Forward:
    """A graph that rules can read, and what is known of its tensors."""

    model: onnx.ModelProto
    known: Known

    def builder(self, prefix: str) -> Builder:
        """Return a builder whose nodes can join this graph; its names start with the prefix, or more of it."""
        return builder_for(self.model, prefix)


def prepare_forward(model: onnx.ModelProto, keep: Sequence[str], one: Feeds, two: Feeds | None) -> Forward:
    """Rewrite a model so that it can be differentiated; inputs and the tensors `keep`, its outputs, keep their names.

    `one` and `two` are feeds of one and of two pictures, `two` None where the batch is fixed. 16-bit floats become
    float32. Raises GradientError where the operator set cannot be raised, RunError where the graph does not run.
    Cost: two loads and a forward for each of the feeds.
    """
    require_light(model, "the backward graph")
    exposed = expose(raised(widened(model)), keep)
    ready = onnx.load_from_string(simplified(exposed.SerializeToString()))
    return Forward(ready, known_of(ready, one, two))


def known_of(model: onnx.ModelProto, one: Feeds, two: Feeds | None) -> Known:
    """Run a model and return what is known of its tensors, also of those that it only makes on the way."""
    content = expose(model).SerializeToString()
    first = trace(content, float_feeds(model, one))
    second = first if two is None else trace(content, float_feeds(model, two))
    shapes = {name: common(first.shapes[name], second.shapes[name]) for name in first.shapes}
    return Known(shapes, first.dtypes, fixed_numbers(model.graph, first, second))


def float_feeds(model: onnx.ModelProto, given: Feeds) -> Feeds:
    """Return the feeds in the types that a widened model takes."""
    wide = {i.name for i in model.graph.input if i.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    return {name: value.astype(np.float32) if name in wide else value for name, value in given.items()}


def common(one: tuple[int, ...], two: tuple[int, ...]) -> Shape:
    """Return the sizes on which two runs agree, None where they do not."""
    return tuple(a if a == b else None for a, b in zip(one, two, strict=True))


def fixed_numbers(graph: onnx.GraphProto, first: Trace, second: Trace) -> dict[str, NDArray[Any]]:
    """Return the whole numbers that are the same whatever is fed: made of constants and of fixed sizes alone."""
    changing = downstream(graph, [item.name for item in feeds(graph)])
    return {
        name: value
        for name, value in first.numbers.items()
        if name not in changing and name in second.numbers and np.array_equal(value, second.numbers[name])
    }


def joined(
    forward: Forward,
    op: Builder,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Put a forward graph and what was built upon it into one model, without what its outputs do not need."""
    model = onnx.ModelProto()
    model.CopyFrom(forward.model)
    graph = model.graph
    del graph.input[:], graph.output[:], graph.value_info[:]
    graph.input.extend(inputs)
    name_batch(graph.input)
    graph.output.extend(outputs)
    graph.node.extend(op.nodes)
    graph.initializer.extend(op.tensors.values())
    nodes = ancestors(graph, [item.name for item in outputs])
    used = {name for node in nodes for name in reads(node)} | {item.name for item in outputs}
    domains = {node.domain or "" for node in nodes} | {""}
    imports = [item for item in model.opset_import if item.domain in domains]  # the simplifier lists its own too
    del model.opset_import[:]
    model.opset_import.extend(imports)
    weights = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    return model


def name_batch(inputs: Iterable[onnx.ValueInfoProto]) -> None:
    """Give the free first axis of all inputs one name.

    Only what ONNX Runtime sees to be of one batch does it add and multiply in the blocked layout of its convolutions.
    """
    for item in inputs:
        for size in item.type.tensor_type.shape.dim[:1]:
            if not size.HasField("dim_value"):
                size.dim_param = "N"

"""What a picture classifier has no business with: foreign operators, deep nesting, gigantic tensors."""

import math
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter

import onnx

from ..errors import ModelError, UnsafeModelError
from .skeleton import skeleton
from .walk import subgraphs

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""Operator domains whose kernels are part of ONNX Runtime itself."""
FORBIDDEN = frozenset({"EPContext"})
"""Operators that hold compiled code for a device."""
DEEPEST = 8
MOST_GROWTH = 2**26
"""Bytes that inlining may add: a million nodes."""
LARGEST_TENSOR = 2**31
"""Bytes; the largest activation of the usual classifiers at batch 1 is under 2**28."""


def refuse_unsafe(proto: onnx.ModelProto) -> None:
    """Raise when the model uses operators without a kernel, nests too deep or declares a gigantic tensor."""
    local = {(f.domain, f.name) for f in proto.functions}
    refuse_explosion(proto)
    bodies: list[Iterable[onnx.NodeProto]] = [proto.graph.node, *(f.node for f in proto.functions)]
    for body in bodies:
        refuse_nodes(body, local, 0)
    refuse_gigantic(proto)


def refuse_nodes(nodes: Iterable[onnx.NodeProto], local: set[tuple[str, str]], depth: int) -> None:
    if depth > DEEPEST:
        raise UnsafeModelError(f"the model nests subgraphs deeper than {DEEPEST}; no classifier needs that")
    for node in nodes:
        if node.op_type in FORBIDDEN:
            raise UnsafeModelError(f"node {node.name!r} is {node.op_type}, compiled code; export plain ONNX")
        if node.domain not in DOMAINS and (node.domain, node.op_type) not in local:
            raise ModelError(
                f"node {node.name!r} is the custom operator {node.domain}::{node.op_type}, for which ONNX "
                "Runtime has no kernel; export the model with standard operators"
            )
        for graph in subgraphs(node):
            refuse_nodes(graph.node, local, depth + 1)


def refuse_explosion(proto: onnx.ModelProto) -> None:
    """Raise when local functions call themselves, or when a few of them would become a gigantic graph."""
    if not proto.functions:
        return
    bodies = {(f.domain, f.name): f.node for f in proto.functions}
    calls = {name: [c for c in callees(body) if c in bodies] for name, body in bodies.items()}
    sizes: dict[tuple[str, str], int] = {}
    try:
        for name in TopologicalSorter(calls).static_order():
            sizes[name] = sum(n.ByteSize() for n in bodies[name]) + sum(sizes[c] for c in calls[name])
    except CycleError as error:
        looping = "::".join(error.args[1][0])
        raise UnsafeModelError(f"the model's local function {looping} calls itself; none may recurse") from error
    size = sum(sizes.get(c, 0) for c in callees(proto.graph.node))
    if size > proto.ByteSize() + MOST_GROWTH:
        raise UnsafeModelError(
            f"the model's local functions would become a graph of {size / 2**30:.1f} GiB; export it without them"
        )


def callees(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, str]]:
    """Name what the nodes call, those inside subgraphs included."""
    for node in nodes:
        yield node.domain, node.op_type
        for graph in subgraphs(node):
            yield from callees(graph.node)


def refuse_gigantic(proto: onnx.ModelProto) -> None:
    """Raise when a tensor whose size the file fixes would not fit in `LARGEST_TENSOR` bytes."""
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton(proto), data_prop=True).graph
    except Exception:  # what inference cannot do, the trial run under a memory limit decides
        return
    for value in [*inferred.value_info, *inferred.input, *inferred.output]:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        size = math.prod(max(d, 1) for d in dims) * 4
        if size > LARGEST_TENSOR:
            raise UnsafeModelError(
                f"tensor {value.name!r} has the shape {dims}, {size / 2**30:.1f} GiB; "
                f"ddcam runs models whose tensors stay under {LARGEST_TENSOR / 2**30:.0f} GiB"
            )

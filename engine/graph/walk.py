"""Who produces and who reads each tensor of a graph, and which tensors everything passes through."""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import onnx

SHAPE_READERS = frozenset({"Shape", "Size"})
"""Operators that read how large a tensor is, not what is in it: no data flows through them."""


def attribute(node: onnx.NodeProto, name: str) -> object:
    """Return the value of a node's attribute, or None."""
    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return None


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    value = attribute(node, name)
    return value if isinstance(value, int) else default


def integers(node: onnx.NodeProto, name: str) -> list[int]:
    value = attribute(node, name)
    return [int(item) for item in value] if isinstance(value, list) else []


def axes_given(
    node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto], index: int = 1, name: str = "axes"
) -> list[int]:
    """Return a node's axes: its attribute, or, as newer operator sets have it, the constant input of that index."""
    if attribute(node, name) is None and len(node.input) > index and node.input[index] in constants:
        return [int(axis) for axis in onnx.numpy_helper.to_array(constants[node.input[index]]).ravel()]
    return integers(node, name)


def reads(node: onnx.NodeProto) -> list[str]:
    """List every tensor of the surrounding graph that a node reads, those captured by its subgraphs included."""
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += captured(graph)
    return names


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for item in node.attribute:
        if item.HasField("g"):
            yield item.g
        yield from item.graphs


def captured(graph: onnx.GraphProto) -> list[str]:
    """List the outer names that a subgraph reads."""
    local = {i.name for i in graph.input} | {i.name for i in graph.initializer}
    local |= {i.values.name for i in graph.sparse_initializer}
    names: list[str] = []
    for node in graph.node:
        names += [name for name in reads(node) if name not in local]
        local.update(node.output)
    return names + [o.name for o in graph.output if o.name not in local]


def producers(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in dict.fromkeys(reads(node)):
            readers.setdefault(name, []).append(node)
    return readers


def initializers(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    return {i.name: i for i in graph.initializer}


def constants_of(graph: onnx.GraphProto) -> dict[str, onnx.TensorProto]:
    """Return the weights and what Constant nodes hold."""
    held = {node.output[0]: attribute(node, "value") for node in graph.node if node.op_type == "Constant"}
    return initializers(graph) | {name: value for name, value in held.items() if isinstance(value, onnx.TensorProto)}


def feeds(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs that a caller must feed (files before IR 4 list the weights as inputs too)."""
    own = initializers(graph).keys() | {i.values.name for i in graph.sparse_initializer}
    return [i for i in graph.input if i.name not in own]


def sort_nodes(graph: onnx.GraphProto) -> None:
    """Put the nodes of a graph into topological order, in place; a graph with a cycle stays as it is.

    Some converters append nodes out of order (onnxconverter-common's float16 does), and runtimes accept that.
    """
    maker = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    needs = [{maker[name] for name in reads(node) if name in maker} for node in graph.node]
    if all(max(makers, default=-1) < i for i, makers in enumerate(needs)):
        return
    try:
        order = list(TopologicalSorter(dict(enumerate(needs))).static_order())
    except CycleError:
        return
    nodes = [graph.node[i] for i in order]
    del graph.node[:]
    graph.node.extend(nodes)


def downstream(graph: onnx.GraphProto, sources: Iterable[str]) -> set[str]:
    """Return every tensor whose content depends on the sources (which are included)."""
    reached = set(sources)
    for node in graph.node:
        if node.op_type not in SHAPE_READERS and any(name in reached for name in reads(node)):
            reached.update(name for name in node.output if name)
    return reached


def path_nodes(graph: onnx.GraphProto, source: str, target: str) -> list[onnx.NodeProto]:
    """List the nodes through which data flows from `source` to `target`, in the file's order."""
    below = downstream(graph, [source])
    needed, path = {target}, []
    for node in reversed(graph.node):
        if node.op_type in SHAPE_READERS or not needed.intersection(node.output):
            continue
        inputs = [name for name in reads(node) if name in below]
        if inputs:
            path.append(node)
            needed.update(inputs)
    return path[::-1]


def separators(graph: onnx.GraphProto, source: str, target: str) -> list[str]:
    """List the tensors that every path from `source` to `target` passes through, from source to target.

    After each node of the path, a tensor separates if it is the only one that later nodes still read.
    """
    nodes = path_nodes(graph, source, target)
    last_read = {name: i for i, node in enumerate(nodes) for name in reads(node)}
    last_read[target] = len(nodes)
    found, live = [source], {source}
    for i, node in enumerate(nodes):
        live.update(name for name in node.output if last_read.get(name, -1) > i)
        live = {name for name in live if last_read.get(name, -1) > i}
        if len(live) == 1:
            found += [name for name in live if name != found[-1]]
    return found


def ancestors(graph: onnx.GraphProto, targets: Iterable[str], stop: Iterable[str] = ()) -> list[onnx.NodeProto]:
    """List the nodes that the targets need, in the file's order, not looking above the tensors in `stop`."""
    needed, found = set(targets) - set(stop), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            found.append(node)
            needed.update(name for name in reads(node) if name not in set(stop))
    return found[::-1]

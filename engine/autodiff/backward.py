"""Reverse-mode differentiation of an ONNX graph into more ONNX nodes, in one reverse pass over a table of rules."""

from collections.abc import Iterable, Sequence

import onnx

from ..errors import GradientError
from ..graph.build import Var
from ..graph.quantization import is_quantising
from ..graph.split import MIXING
from ..graph.walk import ancestors, path_nodes, reads, subgraphs
from .forward import Forward
from .node import Known, Node, Operands
from .registry import ELSE, FLAT, INSTEAD, READS_ALL, Rule, Rules
from .rules import VJP
from .summing import summed


def backward(forward: Forward, of: str, wrt: Sequence[str], seed: Var, rules: Rules = VJP) -> list[Var]:
    """Append the gradient of `sum(seed * of)` with respect to each of the tensors `wrt`, and return the gradients.

    They are appended to the builder of `seed`, the cotangent of `of` and of its shape. The nodes read tensors of
    `forward` by name, so both belong into one graph. `rules` may replace gradients by other backward rules (guided
    backpropagation, relevance). What no gradient needs may be appended too: `joined` leaves it out. Raises
    GradientError where an operator on the way has no rule, where the way is quantised, and where `of` does not depend
    on a tensor. Cost: one visit a node; nothing is run.
    """
    operands = Operands(seed.op, forward.model.graph, forward.known)
    nodes = ancestors(forward.model.graph, [of])
    active = moving(nodes, forward.known, wrt, rules)
    first = before_layers(nodes, active, wrt)
    cotangents: dict[str, list[Var]] = {of: [seed]}
    for proto in reversed(nodes):
        needs = frozenset(i for i, name in enumerate(proto.input) if name in active)
        gs = [total(cotangents, name) for name in proto.output]
        if not needs or not any(gs) or proto.op_type in FLAT:
            continue
        node = operands.node(proto, gs, needs, first=first.issuperset(proto.input[i] for i in needs))
        for position, given in zip(range(len(proto.input)), apply(rules, node), strict=False):
            if given is not None and position in needs:
                cotangents.setdefault(proto.input[position], []).append(given)
    return [gradient_of(cotangents, name, of, operands) for name in wrt]


def apply(rules: Rules, node: Node) -> Sequence[Var | None]:
    """Ask the rule of a node for the cotangents of its inputs."""
    rule = rule_for(rules, node)
    if node.kind in READS_ALL:
        return rule(node, next(g for g in node.gs if g is not None))
    first = node.gs[0]
    if first is None or any(node.gs[1:]):
        raise GradientError(f"no gradient through the further outputs of {node.label}: only the first is covered")
    return rule(node, first)


def rule_for(rules: Rules, node: Node) -> Rule:
    if node.proto.domain not in ("", "ai.onnx") or node.kind not in rules:
        named = f"{node.proto.domain}.{node.kind}" if node.proto.domain else node.kind
        raise GradientError(
            f"no gradient rule for {named} (node {node.proto.name or node.proto.output[0]!r}); add one in "
            f"engine/autodiff/rules/, or {INSTEAD}"
        )
    return rules[node.kind]


def moving(nodes: Iterable[onnx.NodeProto], known: Known, wrt: Iterable[str], rules: Rules) -> set[str]:
    """Return the tensors of real numbers that change, to first order, when those of `wrt` do."""
    active = set(wrt)
    for node in nodes:
        if node.op_type in FLAT or not active.intersection(reads(node)):
            continue
        refuse(node, rules)
        quantised = node.op_type in rules and is_quantising(node)
        active.update(name for name in node.output if quantised or known.dtypes.get(name, "")[:5] in ("float", "bfloa"))
    return active


def before_layers(nodes: Iterable[onnx.NodeProto], active: set[str], wrt: Iterable[str]) -> set[str]:
    """Return the tensors that follow from those of `wrt` without a layer with weights."""
    found = set(wrt)
    for node in nodes:
        if node.op_type not in MIXING and found.issuperset(active.intersection(reads(node))):
            found.update(active.intersection(node.output))
    return found


def refuse_path(graph: onnx.GraphProto, source: str, of: str, rules: Rules = VJP) -> None:
    """Raise GradientError early where the way from a tensor to another has no derivative to speak of."""
    path = path_nodes(graph, source, of)
    if not path and source != of:
        raise no_path(source, of)
    for node in path:
        refuse(node, rules)


def refuse(node: onnx.NodeProto, rules: Rules) -> None:
    """Raise GradientError where a node has no derivative to speak of."""
    named = f"{node.op_type} (node {node.name or node.output[0]!r})"
    if any(subgraphs(node)):
        raise GradientError(f"no gradient through {named}, which holds a graph of its own{ELSE}")
    if is_quantising(node) and node.op_type not in rules:
        raise GradientError(
            f"the model is quantised: the gradient through {named} is zero wherever it exists{ELSE}, "
            "or take --straight-through where QuantizeLinear and DequantizeLinear are apart"
        )


def total(cotangents: dict[str, list[Var]], name: str) -> Var | None:
    """Sum what reached a tensor on all ways, once."""
    found = cotangents.get(name, [])
    if len(found) > 1:
        cotangents[name] = found = [summed(found)]
    return found[0] if found else None


def gradient_of(cotangents: dict[str, list[Var]], name: str, of: str, operands: Operands) -> Var:
    found, var = total(cotangents, name), operands.var(name)
    if found is None or var is None:
        raise no_path(name, of)
    return found.shaped(var.shape)


def no_path(source: str, of: str) -> GradientError:
    return GradientError(
        f"{of!r} does not depend on {source!r} by a path with a derivative, so there is no gradient; name a tensor "
        f"between the input and the scores, or {INSTEAD}"
    )

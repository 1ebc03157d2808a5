"""DD-CAM inside an exported model: what the engine knows of the head, as the search's graph needs it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CheckError, OptionError, PictureError
from .find import find
from .graph.attention import Attention, find_attention
from .graph.build import Builder, Var, builder_for
from .graph.cut import LOGITS, MASK, Part, extract
from .graph.embed import (
    LOWEST,
    MINIMAL,
    PREFIX,
    SUFFICIENT,
    UNITS,
    Enlarging,
    Output,
    embed,
    finished,
    with_true_shapes,
)
from .graph.fold import Reading, find_product, folded_head, rest_of
from .graph.fold_attention import fold_attention
from .graph.load import read_graph
from .graph.opset import raised_to
from .graph.splice import Host, guest, host, spliced, weights_shaped
from .head import SAME, batched_graph, masked, plain_head
from .ingraph.heads import Fixed, Head, Run, attending, multiplying, selecting
from .ingraph.search_graph import Asked, Plan, Splice, search_graph
from .labels import find_label
from .methods.dd_cam import from_found
from .model import Model
from .preserved import fitting_predicate
from .problem import Problem
from .search.gate import TOGETHER
from .search.kinds import KINDS
from .search.predicate import parse
from .types import Content, Floats, Question

SEARCH = "dd-cam"
"""The search that can be put into a model; every other method there is a formula."""


def with_search(
    model: Model, preserve: str | None, target: str | None, enlarging: Enlarging | None, metadata: Mapping[str, str]
) -> bytes:
    """Serialise a model with DD-CAM inside: a map, the mask of units, and whether they suffice and none can go.

    Raises OptionError for a predicate or a head that has no graph, ModelError where the model cannot be written so.
    """
    opened = model.opened
    whole = raised_to(with_true_shapes(opened.graph.proto, opened.measured), LOWEST)
    op, into = builder_for(whole, PREFIX), host(whole.graph)
    always = Builder(f"{op.prefix}always_", op.opset)
    plan, asked = plan_of(model, into), asked_of(model, preserve, target)
    found = search_graph(op, always, plan, asked, splice_of(model, plan.head, into), into)
    outputs = [
        finished(found.maps, plan.split.grid, enlarging),
        Output(UNITS, found.units, (plan.split.count,)),
        Output(SUFFICIENT, found.sufficient, ()),
        Output(MINIMAL, found.minimal, ()),
    ]
    return embed(whole, (always, op), outputs, opened.logits.tensor, metadata)


def asked_of(model: Model, preserve: str | None, target: str | None) -> Asked:
    kind, value = parse(fitting_predicate(model.opened, preserve, target))
    return Asked(kind, value, KINDS[kind].weighs, None if target is None else find_label(model.opened.labels, target))


def plan_of(model: Model, into: Host) -> Plan:
    """Say what the search is made of; OptionError for a head whose probes have no graph."""
    split, quantized, known = model.split, model.head.quantized, model.effects_by_class
    if split.units == "channel" and math.prod(split.shape) != split.count * math.prod(split.grid):
        raise OptionError(f"expected maps over a grid at {split.tensor!r}, got the shape {list(split.shape)}")
    return Plan(
        split=split,
        logits=model.opened.logits,
        head=head_of(model, into),
        nothing=model.logits_of_nothing,
        effects=None if known is None else as_weight(model, known[:-1]),
        mean=None if known is None else known[-1],
        additive=model.head_class[0] == "additive",
        tried=model.removals,
        ahead=TOGETHER if model.probe.batchable else 1,
        features_as=quantized.get(split.tensor),
        logits_as=quantized.get(model.opened.logits.tensor),
    )


def as_weight(model: Model, effects: Floats) -> Floats:
    """Return effects `[C, n]` as the model's own weight where that is the same but for rounding, to be stored once."""
    allowed = SAME * float(np.abs(effects).max(initial=0))
    for weight in weights_shaped(model.opened.graph.proto, effects.shape):
        if float(np.abs(weight - effects).max(initial=0)) <= allowed:
            return weight
    return effects


def head_of(model: Model, into: Host) -> Head:
    """Return the head as a graph runs it, as the model's probes go."""
    opened, probe, split = model.opened, model.probe, model.split
    proto, measured = opened.graph.proto, opened.measured
    removed = np.zeros(()) if probe.removed is None else probe.removed
    reading = Reading(opened.logits, model.head.quantized.get(opened.logits.tensor))
    match probe.kind:
        case "apart" | "whole head":
            return selecting(probe.point, removed, head_graph(model))
        case "folded":
            product = find_product(proto.graph, probe.point, measured)
            assert product is not None
            behind = rest_of(proto, measured, product.output, opened.logits.tensor)
            return multiplying(probe.point, removed, product, folded_head(behind, product, reading))
        case "attention":
            attention = find_attention(proto.graph, split, opened.logits.tensor, measured.values)
            assert attention is not None
            content = fold_attention(proto, attention, split, opened.logits, measured.values)
            width = measured.values[attention.values].shape[-1]
            return attending(split, attention, width, running(model, attention, into), content)
    raise OptionError(
        f"expected units inside the model, those of this search are selected in front of it ({probe.kind}), which "
        "would run the model once a probe; explain with ddcam explain, or export a method that is a formula"
    )


def running(model: Model, found: Attention, into: Host) -> Run:
    """Return what writes the way from the split to what an attention reads."""
    opened, split = model.opened, model.split
    names = tuple(name for name in (found.scores, found.values, *found.sides) if name != split.tensor)
    before = extract(opened.graph.proto, opened.measured, Part(split.tensor, names))
    graph = guest(raised_to(before, LOWEST).graph)

    def run(x: Var) -> Mapping[str, Var]:
        made = spliced(x.op, graph, {split.tensor: x}, into)
        return {split.tensor: x} | {name: Var(x.op, made[name], "float32") for name in names}

    return run


def splice_of(model: Model, head: Head, into: Host) -> Splice:
    """Return what writes the masked head of a model into a graph."""
    graph = guest(raised_to(read_graph(head.content), LOWEST).graph)

    def splice(op: Builder, fixed: Fixed, masks: Var) -> Var:
        names = spliced(op, graph, {**fixed, MASK: masks}, into)
        return Var(op, names[LOGITS], "float32", (None, model.opened.logits.classes))

    return splice


def head_graph(model: Model) -> Content:
    """Serialise the masked head at the point where units are selected, for many masks where it takes them."""
    opened, probe = model.opened, model.probe
    if probe.batchable and opened.measured.batch_two is None:
        return batched_graph(opened, probe.point, probe.removed)
    return masked(plain_head(opened, probe.point), opened, probe.point, probe.removed)


# ----- compared with the engine -----


def compare_search(
    outputs: Mapping[str, NDArray[Any]],
    model: Model,
    inputs: NDArray[Any],
    preserve: str | None,
    target: str | None,
) -> tuple[Floats | None, bool]:
    """Compare what a search inside an exported model gave for inputs `[1, ...]`, its `outputs`, with the engine's.

    Return the engine's map `[h, w]` for its subset, and whether that is another subset than the engine's: then the
    engine's certificate decides. No map where two classes tie for one of them, so that it has nothing to preserve: in
    integer models a step of rounding can make or break a tie. Raises CheckError.
    """
    subset = tuple(np.flatnonzero(outputs[UNITS][0]).tolist())
    flags = bool(outputs[SUFFICIENT][0]), bool(outputs[MINIMAL][0])
    question = Question(search="sweep")
    try:
        problem = Problem(model, inputs, target=target, preserve=preserve, question=question)
    except OptionError:  # this picture is not decided so
        return nothing_found(model, subset, flags), False
    try:
        found = find(problem)
    except PictureError:
        if problem.predicate.close(problem.logits[None])[0]:  # a tie, of which rounding makes a decision elsewhere
            return None, bool(subset)
        return nothing_found(model, subset, flags), False
    if not any(flags) and tied(outputs[model.opened.logits.output]):
        return None, True
    attribution = from_found(problem, replace(found, subset=subset), 0.0)
    require(attribution.subset == subset, "a subset that the unfolded head does not certify", subset)
    require(flags == (True, True), f"a certified subset and calls it sufficient, minimal = {flags}", subset)
    return attribution.grid_map, subset != found.subset


def tied(scores: NDArray[Any]) -> bool:
    """Tell whether scores have several largest ones."""
    return int((scores == scores.max()).sum()) > 1


def nothing_found(model: Model, subset: tuple[int, ...], flags: tuple[bool, bool]) -> Floats:
    """Return the map of nothing; CheckError where something was found although there is nothing to preserve."""
    require(not subset and not any(flags), "a subset where there is nothing to preserve", subset)
    return np.zeros(model.split.grid, np.float32)


def require(holds: bool, what: str, subset: tuple[int, ...]) -> None:
    if not holds:
        raise CheckError(f"the exported model gives {what}: {len(subset)} units {list(subset)[:8]}; please report this")

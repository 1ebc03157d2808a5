"""Formulas on an opened model: their graphs are written, compared with the model, and run in batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .autodiff.backward import refuse_path
from .autodiff.formula import LOGITS, RESULT, TARGET, Formula, Written, one_logit, write_formula
from .autodiff.forward import prepare_forward
from .autodiff.rules import VJP
from .check import coarsest_of, require_equal
from .errors import ModelError, OptionError
from .graph.attention_maps import attention_layers
from .graph.content import content_of
from .graph.cut import Part, Proto, extract
from .graph.fold import rest_of
from .graph.interface import real_picture
from .graph.patches import without_map
from .graph.walk import path_nodes
from .head import logits_of
from .open_model import Opened
from .runtime.batching import batches, fit_batch
from .runtime.session import Session
from .slopes import Change, between, change, random_moves, require_across, require_slopes
from .types import Candidate, Device, Floats, Split
from .whole import ACTIVATIONS, bytes_alive, inputs_at

BACKWARD = 3
"""A backward pass keeps the forward pass's activations and makes as many and more of its own."""


@dataclass(frozen=True)
class Running:
    """A formula that can be asked: its session, what it is fed, and how many pictures a run may hold."""

    formula: Formula
    session: Session
    source: str
    written: Written
    classes: int
    batch: int

    def run(self, inputs: NDArray[Any], targets: Floats) -> Floats:
        """Return the result `[B, ...]` for inputs `[B, ...]` and one-hot targets `[B, C]` (or `[1, C]` for all)."""
        targets = np.broadcast_to(targets, (len(inputs), self.classes))
        together = zip(batches(inputs, self.batch), batches(targets, self.batch), strict=True)
        return np.concatenate([self.ask(x, t, [RESULT])[0] for x, t in together])

    def ask(self, inputs: NDArray[Any], targets: Floats, names: Sequence[str]) -> list[NDArray[Any]]:
        feeds = {self.source: np.ascontiguousarray(inputs, np.float32), TARGET: targets.astype(np.float32)}
        return self.session.run(feeds, names)


def open_formula(
    opened: Opened, split: Split, formula: Formula, *, device: Device = "cpu", threads: int = 0
) -> Running:
    """Write a formula for a model, open it, and compare it with the model on a photograph before it is used.

    The logits must be the model's own, and the gradient of every layer must foretell how they change. Raises
    GradientError with the reason where the model has no gradient, CheckError where a comparison fails. Cost: three
    loads, and about ten forwards.
    """
    before = split.tensor if formula.where == "split" else opened.picture.name
    refuse_path(opened.graph.proto.graph, before, opened.logits.tensor, formula.rules)
    formula.require(path_nodes(opened.graph.proto.graph, before, opened.logits.tensor))
    source, layers = layers_of(opened, split, formula)
    graph, batch = differentiable(opened, source, opened.logits.tensor)
    samples = inputs_at(opened, source)
    feeds = [{source: samples[:1]}, {source: samples[:2]}]
    keep = [opened.logits.tensor, *(c.tensor.name for c in layers if c.tensor.name != source)]
    forward = prepare_forward(graph, list(dict.fromkeys(keep)), feeds[0], feeds[1] if batch > 1 else None)
    written = write_formula(forward, formula, layers, opened.logits)
    session = Session(written.graph, device=device, threads=threads, without=opened.without)
    most = fit_batch(BACKWARD * bytes_alive(opened), device, budget=ACTIVATIONS[device] * BACKWARD) if batch > 1 else 1
    running = Running(formula, session, source, written, opened.logits.classes, formula.together or most)
    check_running(opened, running, samples)
    return running


def layers_of(opened: Opened, split: Split, formula: Formula) -> tuple[str, list[Candidate]]:
    """Return the tensor that a formula is fed and the layers that it reads."""
    if formula.where in ("input", "biases"):
        return picture_layer(opened).tensor.name, [picture_layer(opened)]
    if formula.where == "attention":
        ends, values = (opened.picture.name, opened.logits.tensor), opened.measured.values
        layers = attention_layers(opened.graph.proto.graph, ends, opened.candidates, values)
        return picture_layer(opened).tensor.name, layers
    candidates = {c.tensor.name: c for c in opened.candidates}
    if split.tensor not in candidates:
        raise OptionError(f"method {formula.name} reads a feature map, and {without_map(split)}")
    if formula.where in ("split", "through"):
        fed = split.tensor if formula.where == "split" else picture_layer(opened).tensor.name
        return fed, [candidates[split.tensor]]
    return picture_layer(opened).tensor.name, stages(opened.candidates, candidates[split.tensor])


def picture_layer(opened: Opened) -> Candidate:
    return real_picture(opened.graph.proto, opened.picture, opened.measured)


def stages(candidates: Sequence[Candidate], last: Candidate) -> list[Candidate]:
    """Return the last map of every size up to the split, from the picture on: where a network's stages end."""
    names = [c.tensor.name for c in candidates]
    before = [c for c in candidates[: names.index(last.tensor.name) + 1] if c.form == last.form]
    return list({c.grid: c for c in before}.values())


def differentiable(opened: Opened, source: str, target: str) -> tuple[Proto, int]:
    """Return what leads from a tensor to another, and 2 where its batch is free or could be freed, else 1."""
    try:
        return rest_of(opened.graph.proto, opened.measured, source, target), 2
    except ModelError:
        return extract(opened.graph.proto, opened.measured, Part(source, (target,))), 1


def check_running(opened: Opened, running: Running, samples: Floats) -> None:
    """Compare the logits with the model's, and slopes along the gradients with differences."""
    logits = opened.logits.tensor
    whole = Session(
        content_of(extract(opened.graph.proto, opened.measured, Part(opened.picture.name, (logits,)))),
        without=opened.without,
    )
    [value] = whole.run({opened.picture.name: opened.samples[:1]}, [logits])
    expected = logits_of(value, opened.logits, None)
    target = np.eye(running.classes, dtype=np.float32)[[int(np.argmax(expected))]]
    [got] = running.ask(samples[:1], target, [LOGITS])
    precision = coarsest_of(value.dtype for value in opened.measured.values.values() if "float" in value.dtype)
    require_equal(got[0], expected, f"the graph of method {running.formula.name}", precision)
    if running.formula.rules is VJP and running.formula.seed is one_logit:
        check_slopes(running, samples[:1], target)


def check_slopes(running: Running, x: Floats, target: Floats) -> None:
    """Raise CheckError where a layer's gradient does not foretell how the target's logit changes with the input.

    All data passes through every layer, so the layer's change and its gradient tell the change of the logit.
    """
    here = running.ask(x, target, running.written.gradients)
    fed = running.written.layers == (running.source,)

    def gradients(move: Floats) -> list[Floats]:
        return running.ask(x + move, target, running.written.gradients) if move.any() else here

    def secant(move: Floats, points: int) -> Change:
        names = [LOGITS] if fed else [LOGITS, *running.written.layers]
        times = np.linspace(-1, 1, 2 if fed else points + 1)  # layers must be looked at on the way
        knots = [running.ask(x + t * move, target, names) for t in times]
        moved = [[2 / points * move]] * points if fed else [moves(*pair) for pair in pairwise(knots)]
        told = np.zeros(len(here))
        for t, pieces in zip(between(points), moved, strict=True):
            told += [float((piece * g).sum()) for piece, g in zip(pieces, gradients(t * move), strict=True)]
        return change(knots[0][0], knots[-1][0], target, told)

    what, scale = f"the gradient of method {running.formula.name}", float(np.abs(x).mean())
    if fed:
        require_slopes(secant, here[0], scale, what)
    else:  # which moves of the picture are steep is not known here
        require_across(secant, random_moves(x.shape, scale), what)


def moves(before: Sequence[Floats], after: Sequence[Floats]) -> list[Floats]:
    """Return by how much each layer changes; the logits come first and are left out."""
    return [np.subtract(a, b, dtype=np.float64) for a, b in zip(after[1:], before[1:], strict=True)]

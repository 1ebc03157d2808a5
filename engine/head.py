"""The head that takes masks: free its batch where the file fixes it, and prove that a batch changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .errors import ModelError, RunError
from .graph.advance import advance
from .graph.cut import FEATURES, LEAST, LOGITS, MASK, Part, extract, masked_head, shapes_of
from .graph.free_batch import free_batch
from .graph.quantization import Quantization, quantization_of
from .graph.walk import path_nodes
from .open_model import Opened
from .runtime.binding import MaskedHead
from .runtime.session import Session
from .types import Floats, Logits, Masks, Split

SAME = 1e-4
"""Largest relative difference between a mask asked alone and in a batch, and between a sum and its parts."""
NAMES = (FEATURES, MASK, LOGITS)
SELECTING = 9
"""The first operator set that can select (Where); before, a removed unit can only be 0."""


@dataclass(frozen=True)
class Head:
    """A masked head graph, the integers at its ends, and whether many masks may go through it at once."""

    graph: bytes
    quantized: dict[str, Quantization]
    batchable: bool
    reason: str


def make_head(opened: Opened, split: Split, features: NDArray[Any], removed: NDArray[Any] | None = None) -> Head:
    """Make the masked head of a split; `features` are those of one photograph, on which batches are proved.

    A removed unit is 0, or what `removed` holds for it. A fixed batch is freed by rewriting the graph. Where that
    fails, or where masks in a batch influence each other (dynamic quantisation), masks go through one at a time,
    and the reason says so.
    """
    proto, logits, measured = opened.graph.proto, opened.logits, opened.measured
    quantized = quantizations(opened, split)
    plain = extract(proto, measured, Part(split.tensor, (logits.tensor,)))
    masked = partial(masked_head, split=split, logits=logits, quantized=quantized, removed=removed)
    mixing = mixes_batch(opened, split)
    if mixing:
        return Head(masked(plain), quantized, False, f"{mixing} takes its scale from the whole batch")
    if measured.batch_two is not None:
        graph = masked(plain)
        problem = batch_problem(graph, split, features, opened.without)
        return Head(graph, quantized, problem is None, problem or "the file's batch is free")
    try:
        freed = masked(free_batch(plain, split.tensor, shapes_of(plain, measured.values)))
    except ModelError as error:
        return Head(masked(plain), quantized, False, f"the batch is fixed and cannot be freed: {error}")
    problem = batch_problem(freed, split, features, opened.without)
    if problem:
        return Head(masked(plain), quantized, False, f"the batch is fixed, and freeing it failed: {problem}")
    return Head(freed, quantized, True, "the file fixes the batch to 1; it was freed and compared with single runs")


@dataclass(frozen=True)
class Probe:
    """The head that probes go through: from the split, or from the last tensor up to which units stay apart.

    `apart` is the graph that leads there and `removed` what a removed unit is there; both None at the split.
    """

    head: Head
    apart: bytes | None = None
    removed: NDArray[Any] | None = None


def make_probe(opened: Opened, split: Split, head: Head, features: NDArray[Any]) -> Probe:
    """Compute once what every unit does on its own, so that a probe only selects and runs the rest of the head.

    Up to the last tensor that units reach apart (pooling, activations, batch norm; for tokens layer norm and
    projections too) a kept and a removed unit are computed once each. Compared with the head on random masks
    of a photograph before it is used.
    """
    proto, measured = opened.graph.proto, opened.measured
    point = advance(proto.graph, split, opened.logits.tensor, measured.values)
    if point.tensor == split.tensor:
        return Probe(head)
    apart = extract(proto, measured, Part(split.tensor, (point.tensor,))).SerializeToString()
    session = Session(apart, threads=1, without=opened.without)
    quantization = head.quantized.get(split.tensor)
    nothing = np.full_like(features, quantization.zero if quantization else 0)
    kept, removed = (session.run({split.tensor: value})[0] for value in (features, nothing))
    if removed.any() and opened.graph.opset < SELECTING:
        return Probe(head)
    shorter = make_head(opened, point, kept, removed)
    masks = telling_masks(split.count)
    expected = MaskedHead(Session(head.graph, threads=1, without=opened.without), NAMES, features, 1).score(masks)
    got = MaskedHead(Session(shorter.graph, threads=1, without=opened.without), NAMES, kept, 1).score(masks)
    if shorter.batchable < head.batchable or not difference(got, expected) <= SAME:
        return Probe(head)
    return Probe(shorter, apart, removed)


def quantizations(opened: Opened, split: Split) -> dict[str, Quantization]:
    names = (split.tensor, opened.logits.tensor)
    found = {name: quantization_of(opened.graph.proto.graph, name, opened.measured) for name in names}
    return {name: quantization for name, quantization in found.items() if quantization}


def mixes_batch(opened: Opened, split: Split) -> str | None:
    """Name an operator of the head that quantises a batch by its common range, or return None.

    On a few masks it can agree with single runs by luck, so the graph decides.
    """
    path = path_nodes(opened.graph.proto.graph, split.tensor, opened.logits.tensor)
    return next((node.op_type for node in path if node.op_type.startswith("Dynamic")), None)


def batch_problem(head: bytes, split: Split, features: NDArray[Any], without: Sequence[str] = ()) -> str | None:
    """Say how masks in a batch differ from the same masks asked alone, or None where they do not."""
    masks = telling_masks(split.count)
    try:
        session = Session(head, threads=1, without=without)
        together = MaskedHead(session, NAMES, features, len(masks)).score(masks)
        alone = MaskedHead(session, NAMES, features, 1).score(masks)
    except RunError as error:
        return str(error)
    if together.shape != alone.shape or not difference(together, alone) <= SAME:
        return "masks in one batch influence each other"
    return None


def additivity_error(bound: MaskedHead, units: int) -> float:
    """Return the largest relative |z(S) + z(T) - z(S u T) - z(none)| over random disjoint S and T."""
    first, second = random_masks(units, 8), random_masks(units, 8, seed=1)
    second = second * (1 - first)
    parts = bound.score(first) + bound.score(second)
    whole = bound.score(first + second) + bound.score(np.zeros((1, units), np.float32))
    return difference(parts, whole)


def telling_masks(units: int) -> Masks:
    """Return everything, two random halves and two single units: masks of very different ranges."""
    return np.concatenate([np.ones((1, units)), random_masks(units, 2), np.eye(2, units)]).astype(np.float32)


def random_masks(units: int, count: int, seed: int = 0) -> Masks:
    return np.random.default_rng(seed).integers(0, 2, (count, units)).astype(np.float32)


def bytes_per_mask(opened: Opened, split: Split) -> int:
    """Estimate what one mask of a batch needs: every tensor between the split and the logits."""
    path = path_nodes(opened.graph.proto.graph, split.tensor, opened.logits.tensor)
    names = {split.tensor} | {name for node in path for name in node.output}
    values = [opened.measured.values[name] for name in names if name in opened.measured.values]
    return sum(4 * int(np.prod(value.shape)) for value in values)


def logits_of(value: NDArray[Any], logits: Logits, quantization: Quantization | None) -> Floats:
    """Return `[classes]` float32 of the logits tensor as the original graph gives it."""
    real = (quantization.real(value) if quantization else value.astype(np.float32)).ravel()
    return np.log(real + np.float32(LEAST)) if logits.holds == "probabilities" else real

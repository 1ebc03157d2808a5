"""The head that takes masks: free its batch where the file fixes it, and prove that a batch changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .errors import ModelError, RunError
from .graph.cut import FEATURES, LEAST, LOGITS, MASK, Part, Proto, extract, masked_head
from .graph.fold import rest_of
from .graph.patches import masked_model
from .graph.quantization import Quantization, quantization_of
from .graph.walk import path_nodes
from .open_model import Opened
from .runtime.binding import Bound, MaskedHead
from .runtime.session import Session
from .types import Content, Floats, Logits, Masks, Split

Open = Callable[[Content], Session]
"""Opens a session for a graph."""
SAME = 1e-4
"""Largest relative difference between a mask asked alone and in a batch, and between a sum and its parts."""


@dataclass(frozen=True)
class Head:
    """A masked head graph for one mask at a time, as the file has it, and the integers at its ends."""

    graph: Content
    quantized: dict[str, Quantization]


@dataclass(frozen=True)
class Batched:
    """A session of a masked head, and whether many masks may go through it at once."""

    session: Session
    batchable: bool
    reason: str


def make_head(opened: Opened, split: Split) -> Head:
    """Make the masked head of a split, in which a removed unit is 0 (a removed patch its baseline)."""
    return Head(masked(plain_head(opened, split), opened, split), quantizations(opened, split))


def masked(plain: Proto, opened: Opened, split: Split, removed: NDArray[Any] | None = None) -> Content:
    """Give a head an input for masks; for patches the head is the whole model."""
    quantized = quantizations(opened, split)
    if split.units == "patch":
        return masked_model(plain, split, opened.logits, quantized)
    return masked_head(plain, split, opened.logits, quantized, removed)


def plain_head(opened: Opened, split: Split) -> Proto:
    return extract(opened.graph.proto, opened.measured, Part(split.tensor, (opened.logits.tensor,)))


def open_batched(
    opened: Opened, split: Split, features: NDArray[Any], open_session: Open, removed: NDArray[Any] | None = None
) -> Batched:
    """Open the masked head of a split for many masks; proved on `features`, which are those of one photograph.

    A removed unit is 0, or what `removed` holds for it. A fixed batch is freed by rewriting the graph. Where that
    fails, or where masks in a batch influence each other (dynamic quantisation), masks go through one at a time,
    and the reason says so.
    """
    plain, mask = plain_head(opened, split), partial(masked, opened=opened, split=split, removed=removed)
    mixing = mixes_batch(opened, split.tensor)
    if mixing:
        return Batched(open_session(mask(plain)), False, f"{mixing} takes its scale from the whole batch")
    if opened.measured.batch_two is not None:
        session = open_session(mask(plain))
        problem = batch_problem(session, split, features)
        return Batched(session, problem is None, problem or "the file's batch is free")
    try:
        session = open_session(batched_graph(opened, split, removed))
        problem = batch_problem(session, split, features)
    except (ModelError, RunError) as error:
        return Batched(open_session(mask(plain)), False, f"the batch is fixed and cannot be freed: {error}")
    if problem:
        return Batched(open_session(mask(plain)), False, f"the batch is fixed, and freeing it failed: {problem}")
    return Batched(session, True, "the file fixes the batch to 1; it was freed and compared with single runs")


def batched_graph(opened: Opened, split: Split, removed: NDArray[Any] | None = None) -> Content:
    """Serialise the masked head for many masks; raises ModelError where a fixed batch cannot be freed."""
    rest = rest_of(opened.graph.proto, opened.measured, split.tensor, opened.logits.tensor)
    return masked(rest, opened, split, removed)


def quantizations(opened: Opened, split: Split) -> dict[str, Quantization]:
    ends = (split.tensor, opened.logits.tensor)
    names = ends[1:] if split.units == "patch" else ends  # the picture is put together as it is
    found = {name: quantization_of(opened.graph.proto.graph, name, opened.measured) for name in names}
    return {name: quantization for name, quantization in found.items() if quantization}


def mixes_batch(opened: Opened, source: str) -> str | None:
    """Name an operator behind a tensor that quantises a batch by its common range, or return None.

    On a few masks it can agree with single runs by luck, so the graph decides.
    """
    path = path_nodes(opened.graph.proto.graph, source, opened.logits.tensor)
    return next((node.op_type for node in path if node.op_type.startswith("Dynamic")), None)


def batch_problem(session: Session, split: Split, features: NDArray[Any]) -> str | None:
    """Say how masks in a batch differ from the same masks asked alone, or None where they do not."""
    masks = telling_masks(split.count)
    try:
        together, alone = (bind_head(session, features, size).score(masks) for size in (len(masks), 1))
    except RunError as error:
        return str(error)
    if together.shape != alone.shape or not difference(together, alone) <= SAME:
        return "masks in one batch influence each other"
    return None


def bind_head(session: Session, features: Any, batch: int) -> MaskedHead:
    """Bind features, an array or uploaded, to the session of a masked head."""
    return MaskedHead(Bound(session, {FEATURES: features}, MASK, LOGITS), batch)


def telling_masks(units: int) -> Masks:
    """Return everything, two random halves and two single units: masks of very different ranges."""
    return np.concatenate([np.ones((1, units)), random_masks(units, 2), np.eye(2, units)]).astype(np.float32)


def random_masks(units: int, count: int, seed: int = 0) -> Masks:
    return np.random.default_rng(seed).integers(0, 2, (count, units)).astype(np.float32)


def bytes_per_mask(opened: Opened, tensor: str) -> int:
    """Estimate what one mask of a batch needs behind a tensor: that tensor and all up to the logits."""
    path = path_nodes(opened.graph.proto.graph, tensor, opened.logits.tensor)
    names = {tensor} | {name for node in path for name in node.output}
    values = [opened.measured.values[name] for name in names if name in opened.measured.values]
    return sum(4 * int(np.prod(value.shape)) for value in values)


def logits_of(value: NDArray[Any], logits: Logits, quantization: Quantization | None) -> Floats:
    """Return `[classes]` float32 of the logits tensor as the original graph gives it."""
    real = (quantization.real(value) if quantization else value.astype(np.float32)).ravel()
    return np.log(real + np.float32(LEAST)) if logits.holds == "probabilities" else real

"""The whole model, or its head, on many inputs at once: for whatever perturbs the picture or the features."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .chosen import ChosenBox
from .errors import ModelError, OptionError, RunError
from .graph.chosen import SIMILARITY
from .graph.content import content_of
from .graph.cut import Part, extract
from .graph.fold import rest_of
from .graph.quantization import Quantization, quantization_of
from .graph.walk import path_nodes, reads
from .head import SAME, logits_of, mixes_batch
from .open_model import Opened
from .runtime.batching import batches, fit_batch
from .runtime.session import Session
from .types import Content, Device, Floats, Logits, Value

ACTIVATIONS: dict[Device, int] = {"cpu": 16 * 2**20, "cuda": 256 * 2**20}
"""Bytes of activations per run. On a CPU larger batches leave the caches: MobileNetV2 took 4.0 ms an input in
batches of 1 to 4 and 9.6 ms in batches of 32 (2 cores), and no model of nine gained more than 0.9 ms by a batch."""


@dataclass(frozen=True)
class Whole:
    """A session from the picture, or a later tensor, to the logits; how many inputs a run of it may hold, and why.

    `entry` and `end` are the quantisations of what goes in and of the logits, where these are integers.
    """

    opened: Opened
    session: Session
    source: Value
    entry: Quantization | None
    end: Quantization | None
    batch: int
    reason: str

    def score(self, inputs: NDArray[Any]) -> Floats:
        """Return the logits `[B, classes]` of inputs `[B, ...]`.

        Inputs may be floats whatever the model takes: an integer picture gets them rounded and clipped to its
        range, an integer tensor inside the model quantised. Raises RunError. Cost: one forward per input, in runs of
        `batch`; bit-identical to runs of one input only as far as the runtime's sums are.
        """
        return np.concatenate([self._run(part) for part in batches(inputs, self.batch)])

    def _run(self, inputs: NDArray[Any]) -> Floats:
        logits = self.opened.logits
        integers = inputs if self.entry is None else inputs / self.entry.scale + self.entry.zero
        [name] = self.session.inputs
        [value] = self.session.run({name: as_type(integers, np.dtype(self.source.dtype))}, [logits.tensor])
        return logits_of(value, logits, self.end).reshape(len(inputs), logits.classes)


def open_whole(
    opened: Opened,
    source: str | None = None,
    *,
    device: Device = "cpu",
    threads: int = 0,
    memory: int | None = None,
) -> Whole:
    """Open the model from the picture, or from the tensor `source`, for batches.

    A batch is proved on what three photographs are there against runs of one. A batch that the file fixes to 1 is
    freed by rewriting the graph. Where that fails, or where inputs of one batch influence each other (dynamic
    quantisation), inputs go through one at a time, and the reason says so. `memory` bounds the activations of a run
    in bytes (ACTIVATIONS). Cost: two sessions, six forwards, and one more of both where `source` is inside the model.
    """
    source, logits = source or opened.picture.name, opened.logits.tensor
    plain = extract(opened.graph.proto, opened.measured, Part(source, (logits,)))
    inside = source != opened.picture.name
    entry = quantization_of(opened.graph.proto.graph, source, opened.measured) if inside else None
    end = quantization_of(opened.graph.proto.graph, logits, opened.measured)

    def opens(graph: Content, batch: int, reason: str) -> Whole:
        session = Session(graph, device=device, threads=threads, without=opened.without)
        return Whole(opened, session, opened.measured.values[source], entry, end, batch, reason)

    content = content_of(plain)
    alone = opens(content, 1, "")
    most = fit_batch(bytes_alive(opened, source), device, budget=memory or ACTIVATIONS[device])
    try:
        if mixing := mixes_batch(opened, source):
            raise ModelError(f"{mixing} takes its scale from the whole batch")
        if opened.measured.batch_two is not None:
            many = opens(content, most, "the file's batch is free")
        else:
            freed = rest_of(opened.graph.proto, opened.measured, source, logits)
            many = opens(content_of(freed), most, "the file fixes the batch to 1; it was freed")
        refuse_difference(many, alone, inputs_at(opened, source, entry))
    except (ModelError, RunError) as error:
        return replace(alone, reason=f"one input at a time: {error}")
    return many


def open_similarity(opened: Opened, *, device: Device, threads: int) -> Whole:
    """Open a detector from the picture to how like a chosen box its boxes are; OptionError where none was chosen."""
    if not isinstance(opened.chosen, ChosenBox):
        raise OptionError("boxes are compared here, and none was chosen with --box; take rise (4000 forwards)")
    alike = Logits(SIMILARITY, SIMILARITY, 1, "none", "similarity to the chosen box")
    return open_whole(replace(opened, logits=alike), device=device, threads=threads)


def inputs_at(opened: Opened, source: str, entry: Quantization | None = None) -> NDArray[Any]:
    """Return what the photographs are at a tensor, `[3, ...]`: as the file has it at the input, float32 behind it.

    `entry` is the quantisation of a tensor of integers.
    """
    picture = opened.picture.name
    if source == picture:
        return opened.samples
    part = extract(opened.graph.proto, opened.measured, Part(picture, (source,)))
    session = Session(content_of(part), without=opened.without)
    values = [session.run({picture: opened.samples[i : i + 1]})[0] for i in range(len(opened.samples))]
    return np.concatenate([entry.real(value) if entry else value.astype(np.float32) for value in values])


def refuse_difference(many: Whole, alone: Whole, samples: NDArray[Any]) -> None:
    """Raise where photographs in one batch do not score as they do alone."""
    if not difference(many._run(samples), alone.score(samples)) <= SAME:
        raise ModelError("inputs in one batch influence each other")


def bytes_alive(opened: Opened, source: str | None = None) -> int:
    """Estimate what one input of a batch needs: the most bytes of tensors that are alive at one time.

    A tensor lives from the node that makes it to the last that reads it, in the file's order; elements count
    as 4 bytes at least, since a runtime may compute in float32. `source` is where it starts, by default the picture.
    """
    values, source = opened.measured.values, source or opened.picture.name
    nodes = path_nodes(opened.graph.proto.graph, source, opened.logits.tensor)
    last = {name: i for i, node in enumerate(nodes) for name in reads(node)}
    alive, most = {source}, 0
    for i, node in enumerate(nodes):
        alive.update(node.output)
        most = max(most, sum(size_of(name, values) for name in alive))
        alive = {name for name in alive if last.get(name, -1) > i}
    return most


def size_of(name: str, values: Mapping[str, Value]) -> int:
    value = values.get(name)
    return 0 if value is None else max(4, np.dtype(value.dtype).itemsize) * int(np.prod(value.shape))


def as_type(inputs: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return inputs in the model's type; what is to become integers is rounded and clipped first."""
    if dtype.kind in "iu" and inputs.dtype.kind == "f":
        limits = np.iinfo(dtype)
        inputs = np.clip(np.rint(inputs), limits.min, limits.max)
    return np.ascontiguousarray(inputs, dtype)

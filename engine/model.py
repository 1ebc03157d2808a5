"""A model that can be asked: cut, checked on real photographs, its sessions open."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import TOLERANCE, difference, require_equal
from .errors import CheckError, DeviceError, OptionError
from .graph.cut import Part, expose, extract
from .graph.linear import why_interacting
from .graph.split import choose_split
from .head import NAMES, SAME, Head, Probe, additivity_error, bytes_per_mask, logits_of, make_head, make_probe
from .open_model import Opened, not_finite, open_model
from .runtime.batching import batches, fit_batch
from .runtime.binding import MaskedHead
from .runtime.device import choose_device
from .runtime.session import Session
from .search.predicate import probabilities
from .types import Device, Floats, HeadClass, Split, Wishes


@dataclass(frozen=True)
class Model:
    """A loaded model: what was found in the file, where it is cut and why, and the open sessions."""

    opened: Opened
    split: Split
    device: Device
    device_reason: str
    backbone: Session
    head: Head
    probe: Probe
    apart: Session | None
    many: Session
    alone: Session
    batch: int

    def features(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Run the backbone on one picture `[1, ...]`; return the split tensor as it is, integers included."""
        return self.backbone.run({self.opened.picture.name: inputs})[0]

    def real(self, features: NDArray[Any]) -> Floats:
        """Return features as float32, dequantised where they are integers."""
        quantization = self.head.quantized.get(self.split.tensor)
        return quantization.real(features) if quantization else features.astype(np.float32)

    def each(self, features: NDArray[Any]) -> NDArray[Any]:
        """Return what the units become on their own, before they meet; the features where they meet at once."""
        return self.apart.run({self.split.tensor: features})[0] if self.apart else features

    def bind(self, each: NDArray[Any]) -> MaskedHead:
        """Upload what `each` gave to the session that answers many masks at once."""
        return MaskedHead(self.many, NAMES, each, self.batch)

    def bind_alone(self, features: Any) -> MaskedHead:
        """Bind features, an array or uploaded, to the session that decides: the whole head, one mask at a time."""
        return MaskedHead(self.alone, NAMES, features, 1)

    @cached_property
    def unit_effects(self) -> Floats | None:
        """What one more of a unit adds to each logit, `[n, classes]`, where units come to one number each."""
        removed = self.probe.removed
        if removed is None or removed.size != self.split.count or self.head_class[0] != "additive":
            return None
        bound = self.bind(removed + 1)
        scores = [bound.score(rows) for rows in batches(np.eye(self.split.count, dtype=np.float32), self.batch)]
        return np.concatenate(scores) - bound.score(np.zeros((1, self.split.count), np.float32))

    @cached_property
    def head_class(self) -> tuple[HeadClass, str]:
        """Tell whether units add up in the head: shown by the graph, confirmed on random subsets."""
        opened = self.opened
        obstacle = why_interacting(opened.graph.proto.graph, self.split.tensor, opened.logits.tensor)
        if obstacle:
            return "interacting", f"{obstacle} stands between the units and the logits"
        found = additivity_error(self.bind(self.each(self.features(opened.samples[:1]))), self.split.count)
        if not found <= SAME:
            return "interacting", f"linear by its graph, but sums are off by {found:.1g} on random subsets"
        return "additive", f"only linear operators follow, and sums hold within {found:.1g} on random subsets"


def load(path: str | Path, wishes: Wishes | None = None) -> Model:
    """Load, split, cut and check a model.

    The cut is compared with the original on three photographs, and masks asked in a batch with masks asked
    alone. Raises ModelError, SplitError, CheckError, DeviceError, OptionError. Cost: see `open_model`, and
    about ten forwards.
    """
    wishes = wishes or Wishes()
    model = prepare(open_model(path, wishes), wishes)
    check_cut(model)
    return model


def prepare(opened: Opened, wishes: Wishes) -> Model:
    """Cut an opened model where `wishes` or the graph say, and open its sessions."""
    split = split_of(opened, wishes)
    name = opened.picture.name
    part = extract(opened.graph.proto, opened.measured, Part(name, (split.tensor,)))
    backbone, why = open_backbone(part.SerializeToString(), wishes, opened.without)
    session = partial(Session, device=backbone.device, without=opened.without)
    features = backbone.run({name: opened.samples[:1]})[0]
    head = make_head(opened, split, features)
    probe = make_probe(opened, split, head, features)
    most = fit_batch(bytes_per_mask(opened, split)) if wishes.batch is None else wishes.batch
    if most < 1:
        raise OptionError(f"expected a batch of 1 or more masks, got {most}")
    return Model(
        opened=opened,
        split=split,
        device=backbone.device,
        device_reason=why,
        backbone=backbone,
        head=head,
        probe=probe,
        apart=session(probe.apart, threads=1) if probe.apart else None,
        many=session(probe.head.graph, threads=wishes.threads),
        alone=session(head.graph, threads=1),
        batch=most if probe.head.batchable else 1,
    )


def open_backbone(graph: bytes, wishes: Wishes, without: Sequence[str]) -> tuple[Session, str]:
    """Open the first session on the device that was asked for; only "auto" may end on the CPU, with the reason."""
    device, why = choose_device(wishes.device)
    try:
        return Session(graph, device=device, threads=wishes.threads, without=without), why
    except DeviceError as error:
        if wishes.device != "auto":
            raise
        return Session(graph, threads=wishes.threads, without=without), str(error)


def split_of(opened: Opened, wishes: Wishes) -> Split:
    """Choose the split of an opened model; raises SplitError."""
    ends = opened.picture.name, opened.logits.tensor
    candidates = list(opened.candidates)
    return choose_split(opened.graph.proto, candidates, ends, units=wishes.units, tensor=wishes.split)


def check_cut(model: Model) -> float:
    """Compare head(backbone(x)) with the whole model on three photographs; return the largest difference.

    The probabilities computed from the logits are compared with the model's own output too, which proves
    that the final softmax was recognised rightly. Raises CheckError.
    """
    opened, worst = model.opened, 0.0
    logits, output = opened.logits.tensor, opened.logits.output
    names = list(dict.fromkeys((logits, output)))
    whole = Session(expose(opened.graph.proto, names).SerializeToString(), threads=1, without=opened.without)
    everything = np.ones((1, model.split.count), np.float32)
    for i in range(len(opened.samples)):
        inputs = opened.samples[i : i + 1]
        values = dict(zip(names, whole.run({opened.picture.name: inputs}, names), strict=True))
        got = model.bind_alone(model.features(inputs)).score(everything)[0]
        expected = logits_of(values[logits], opened.logits, model.head.quantized.get(logits))
        if not np.isfinite(expected).all():  # optimised, a model can overflow where it did not in its trial run
            raise not_finite(logits)
        precision = coarsest(opened)
        worst = max(worst, require_equal(got, expected, f"cut at {model.split.tensor!r}", precision))
        check_activation(opened, expected, values[output])
    return worst


def coarsest(opened: Opened) -> str:
    """Return the activation type with the fewest digits."""
    found = {value.dtype for value in opened.measured.values.values()} & TOLERANCE.keys()
    return max(found, key=lambda dtype: TOLERANCE[dtype])


def check_activation(opened: Opened, logits: Floats, output: NDArray[Any]) -> None:
    if opened.logits.activation == "none" or output.dtype.kind != "f":
        return
    expected = probabilities(logits[None], opened.logits.activation)[0]
    if "LogSoftmax" in opened.logits.reason:  # not the logarithm of a probability that is 0 in float64
        shifted = logits.astype(np.float64) - logits.max()
        expected = shifted - np.log(np.exp(shifted).sum())
    # A quantised softmax moves by steps of 1/256 although its output is declared as float32.
    allowed = max(TOLERANCE[output.dtype.name] * 10, TOLERANCE[coarsest(opened)])
    if not difference(output.ravel(), expected) <= allowed:
        raise CheckError(
            f"the output {opened.logits.output!r} is not what the {opened.logits.activation} of "
            f"{opened.logits.tensor!r} gives; choose another output with --output"
        )

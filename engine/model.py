"""A model that can be asked: cut, checked on real photographs, its sessions open."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .autodiff.formula import Formula
from .autodiff.straight_through import straight_through
from .baseline import with_baseline
from .check import require_activation, require_equal
from .chosen import Chosen
from .errors import DeviceError, OptionError
from .formulas import Running, open_formula
from .graph.content import content_of
from .graph.cut import FEATURES, Part, expose, extract
from .graph.linear import why_interacting
from .graph.patches import input_as_features, patch_split, refuse_patch_wishes, refuse_patches_of
from .graph.split import choose_split
from .graph.surrogate import multiplications
from .head import SAME, Head, bind_head, logits_of, make_head
from .open_model import Opened, not_finite, open_model
from .order import LEAST, SHARE, guess_effects
from .pictures import Together, open_together
from .plausible import Verdict, judge
from .probes import Cut, Probe, additivity_error, make_probe
from .runtime.batching import BUDGETS, batches, fit_batch
from .runtime.binding import MaskedHead
from .runtime.device import choose_device
from .runtime.session import Session
from .types import Content, Device, Doubts, Floats, HeadClass, Picture, Rounding, Split, Wishes
from .whole import ACTIVATIONS, Whole, open_similarity, open_whole

ALONE = 2
"""Most threads of the canonical run, which is small: one takes up to 1.8 times as long. They split the outputs, not the
sums: one to four threads gave the same bits in 1.2 million logits of 16 models."""


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
    alone: Session
    batch: int
    rounding: Rounding = "refuse"
    formulas: dict[str, Running] = field(default_factory=dict)
    doubts: Doubts = "look"
    verdicts: list[Verdict] = field(default_factory=list)

    def verdict(self, picture: Picture | None = None) -> Verdict | None:
        """Say whether the preprocessing is plausible; asked once, with the first picture.

        None where nobody asks, and of arrays, which go in as they are.
        """
        if self.doubts == "look" and not self.verdicts and self.opened.preprocessing.color != "bands":
            self.verdicts.append(judge(self.opened, picture))
        return self.verdicts[0] if self.verdicts else None

    def features(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Run the backbone on one picture `[1, ...]`; return the split tensor as it is, integers included.

        For patches that is the picture itself, and behind it its baseline: `[2, ...]`.
        """
        return features_of(self.backbone, self.split, {self.opened.picture.name: inputs})

    def real(self, features: NDArray[Any]) -> Floats:
        """Return features as float32, dequantised where they are integers."""
        quantization = self.head.quantized.get(self.split.tensor)
        return quantization.real(features) if quantization else features.astype(np.float32)

    def bind(self, features: NDArray[Any]) -> MaskedHead:
        """Bind the features of a picture to what answers many masks at once."""
        return self.probe.bind(features, self.batch)

    def bind_alone(self, features: Any) -> MaskedHead:
        """Bind features, an array or uploaded, to the session that decides: the whole head, one mask at a time."""
        return bind_head(self.alone, features, 1)

    @cached_property
    def whole(self) -> Whole:
        """The whole model on many inputs at once; opened when it is first asked for."""
        return open_whole(self.opened, device=self.device, threads=self.backbone.threads)

    @cached_property
    def similarity(self) -> Whole:
        """How like the chosen box what is found in many inputs is; OptionError where none was chosen."""
        return open_similarity(self.opened, device=self.device, threads=self.backbone.threads)

    @cached_property
    def rest(self) -> Whole:
        """The model from the split on, on many features at once; opened when it is first asked for."""
        return open_whole(self.opened, self.split.tensor, device=self.device, threads=self.backbone.threads)

    def formula(self, formula: Formula) -> Running:
        """Return a formula's graph, written, checked and opened when it is first asked for.

        Raises GradientError where the model has no gradient, CheckError where the graph disagrees with the model.
        """
        if formula.name not in self.formulas:
            opening = partial(open_formula, device=self.device, threads=self.backbone.threads)
            rules = straight_through(formula.rules) if self.rounding == "straight-through" else formula.rules
            self.formulas[formula.name] = opening(self.opened, self.split, replace(formula, rules=rules))
        return self.formulas[formula.name]

    @cached_property
    def together(self) -> Together | None:
        """What answers masks of several pictures at once, opened when it is first asked for; None where nothing can."""
        samples = [self.features(self.opened.samples[i : i + 1]) for i in range(len(self.opened.samples))]
        session = partial(Session, device=self.device, threads=self.backbone.threads, without=self.opened.without)
        cut = Cut(self.opened, self.split, self.head, samples[0], self.alone, session, session)
        return open_together(cut, self.probe, self.batch, samples)

    @cached_property
    def logits_of_nothing(self) -> Floats:
        """The canonical logits `[classes]` with every unit removed; of a photograph, where some tokens always stay."""
        bound = self.bind_alone(self.features(self.opened.samples[:1]))
        logits: Floats = bound.score(np.zeros((1, self.split.count), np.float32))[0]
        return logits.astype(np.float64)

    @cached_property
    def unit_effects(self) -> Floats | None:
        """What one more of a unit adds to each logit, `[n, classes]`, where units come to one number each."""
        removed = self.probe.removed
        if (
            self.probe.kind != "apart"
            or removed is None
            or removed.size != self.split.count
            or self.head_class[0] != "additive"
        ):
            return None
        bound = self.probe.bind_prepared({FEATURES: removed + 1}, None, self.batch)
        scores = [bound.score(rows) for rows in batches(np.eye(self.split.count, dtype=np.float32), self.batch)]
        effects = np.concatenate(scores) - bound.score(np.zeros((1, self.split.count), np.float32))
        return effects.astype(np.float64)

    @cached_property
    def removals(self) -> int:
        """How many units are removed once each to order them, where what they add is neither known nor guessed."""
        graph, values = self.opened.graph.proto.graph, self.opened.measured.values
        everything = multiplications(graph, list(graph.node), values)
        affordable = min(self.split.count, int(SHARE * everything / max(1, self.probe.size.multiplications)))
        return affordable if affordable >= min(LEAST, self.split.count) and self.probe.batchable else 0

    @cached_property
    def effects_by_class(self) -> Floats | None:
        """What a unit of strength 1 adds to each logit and to their mean, `[classes + 1, n]`, for an order of units.

        Known where units come to one number each and where a 1x1 convolution to the classes follows them: of an
        additive head as it is, of others without their non-linearities. Else None.
        """
        effects = self.unit_effects
        if effects is None and self.head_class[0] == "interacting":
            effects = guess_effects(self.opened, self.probe, self.batch)
        return None if effects is None else np.vstack([effects.T, effects.mean(axis=1)]).astype(np.float32)

    @cached_property
    def head_class(self) -> tuple[HeadClass, str]:
        """Tell whether units add up in the head: shown by the graph, confirmed on random subsets."""
        opened = self.opened
        obstacle = why_interacting(opened.graph.proto.graph, self.probe.point.tensor, opened.logits.tensor)
        if obstacle:
            return "interacting", f"{obstacle} stands between the units and the logits"
        found = additivity_error(self.bind(self.features(opened.samples[:1])), self.split.count)
        if not found <= SAME:
            return "interacting", f"linear by its graph, but sums are off by {found:.1g} on random subsets"
        return "additive", f"only linear operators follow, and sums hold within {found:.1g} on random subsets"


def load(
    path: str | Path, wishes: Wishes | None = None, chosen: Chosen | None = None, picture: Picture | None = None
) -> Model:
    """Load, split, cut and check a model; with a `chosen` box or region, of the `picture` it was chosen in.

    The cut is compared with the original on three photographs, and masks asked in a batch with masks asked
    alone. Raises ModelError, SplitError, CheckError, DeviceError, OptionError. Cost: see `open_model`, and
    about ten forwards.
    """
    wishes = wishes or Wishes()
    model = prepare(open_model(path, wishes, chosen, picture), wishes)
    check_cut(model)
    return model


def prepare(opened: Opened, wishes: Wishes) -> Model:
    """Cut an opened model where `wishes` or the graph say, and open its sessions."""
    split = split_of(opened, wishes)
    backbone, why = open_backbone(backbone_graph(opened, split), wishes, opened.without)
    session = partial(Session, device=backbone.device, without=opened.without)
    features = features_of(backbone, split, {opened.picture.name: opened.samples[:1]})
    head = make_head(opened, split)
    alone = session(head.graph, threads=min(wishes.threads or ALONE, ALONE))
    probe = make_probe(
        Cut(opened, split, head, features, alone, partial(session, threads=wishes.threads), partial(session, threads=1))
    )
    device = backbone.device
    budget = (ACTIVATIONS if split.units == "patch" else BUDGETS)[device]
    most = fit_batch(probe.size.bytes, device, budget=budget) if wishes.batch is None else wishes.batch
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
        alone=alone,
        batch=most if probe.batchable else 1,
        rounding=wishes.rounding,
        doubts=wishes.doubts,
    )


def backbone_graph(opened: Opened, split: Split) -> Content:
    """Serialise what leads from the picture to the split tensor."""
    if split.units == "patch":
        return input_as_features(opened.graph.proto, split)
    part = extract(opened.graph.proto, opened.measured, Part(opened.picture.name, (split.tensor,)))
    return content_of(part)


def features_of(backbone: Session, split: Split, feeds: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    [features] = backbone.run(feeds)
    return with_baseline(features, split) if split.units == "patch" else features


def open_backbone(graph: Content, wishes: Wishes, without: Sequence[str]) -> tuple[Session, str]:
    """Open the first session on the device that was asked for; only "auto" may end on the CPU, with the reason."""
    device, why = choose_device(wishes.device)
    try:
        return Session(graph, device=device, threads=wishes.threads, without=without), why
    except DeviceError as error:
        if wishes.device != "auto":
            raise
        return Session(graph, threads=wishes.threads, without=without), str(error)


def split_of(opened: Opened, wishes: Wishes) -> Split:
    """Choose the split of an opened model: patches where they are asked for or nothing else has units.

    Raises SplitError, OptionError.
    """
    ends, candidates = (opened.picture.name, opened.logits.tensor), list(opened.candidates)
    nothing_else = not candidates and wishes.units in (None, "place") and wishes.split is None
    if wishes.units == "patch" or nothing_else:
        refuse_patches_of(opened.picture, asked=wishes.units == "patch")
        return patch_split(opened.picture, opened.measured, wishes)
    split = choose_split(opened.graph.proto, candidates, ends, units=wishes.units, tensor=wishes.split)
    refuse_patch_wishes(wishes, split)
    return replace(split, slices=(opened.picture.depth, split.slices[1]))


def check_cut(model: Model) -> float:
    """Compare head(backbone(x)) with the whole model on three photographs; return the largest difference.

    The probabilities computed from the logits are compared with the model's own output too, which proves
    that the final softmax was recognised rightly. Raises CheckError.
    """
    opened, pairs = model.opened, []
    logits, output = opened.logits.tensor, opened.logits.output
    names = list(dict.fromkeys((logits, output)))
    whole = Session(content_of(expose(opened.graph.proto, names)), threads=1, without=opened.without)
    everything = np.ones((1, model.split.count), np.float32)
    for i in range(len(opened.samples)):
        inputs = opened.samples[i : i + 1]
        values = dict(zip(names, whole.run({opened.picture.name: inputs}, names), strict=True))
        got = model.bind_alone(model.features(inputs)).score(everything)[0]
        expected = logits_of(values[logits], opened.logits, model.head.quantized.get(logits))
        if not np.isfinite(expected).all():  # optimised, a model can overflow where it did not in its trial run
            raise not_finite(logits)
        pairs.append((got, expected))
        require_activation(opened.logits, expected, values[output], opened.coarsest)
    # Together, because one picture alone may have a single score near 0, where rounding is all there is.
    got, expected = (np.concatenate(values) for values in zip(*pairs, strict=True))
    return require_equal(got, expected, f"cut at {model.split.tensor!r}", opened.coarsest)

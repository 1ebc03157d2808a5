"""One decision on one picture: everything that a method may ask, and nothing of how it is answered."""

import time
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer import Prediction
from .autodiff.formula import Formula
from .baseline import changes, nothing_shown
from .errors import OptionError, PictureError
from .graph.cut import FEATURES
from .graph.patches import without_map
from .labels import find_label
from .model import Model
from .order import removals, useful_by_removal, useful_first
from .preserved import default_predicate, with_index
from .ranked import prediction, ranked
from .runtime.batching import batches
from .runtime.binding import MaskedHead
from .search.additive import Table
from .search.predicate import Predicate, predicate
from .search.worth import worth
from .types import Activation, Floats, Masks, Question, Split

Mask = NDArray[np.bool_]
ANY = Question()
"""Any search, one sufficient subset, no limit."""


class Problem:
    """A model's decision about a picture, with the predicate that says what of it must be preserved."""

    def __init__(
        self,
        model: Model,
        inputs: NDArray[Any] | None,
        *,
        target: str | None = None,
        preserve: str | None = None,
        question: Question = ANY,
        features: NDArray[Any] | None = None,
    ) -> None:
        """Run the backbone on model input `[1, ...]`, or take `features` that were kept from an earlier run.

        `target` is a class index or name, by default the class decided for; `preserve` the predicate, by default
        what the head calls for; `question` is what a searching method is asked. Raises PictureError when the
        scores are not finite, OptionError for a target or predicate that does not exist or does not fit.
        """
        self.model = model
        self.input = inputs
        self.question = question
        if features is None:
            if inputs is None:
                raise PictureError("expected model input or features, got neither")
            features = model.features(inputs)
        self.raw = features
        started = time.perf_counter()
        self.prepared = model.probe.prepare(self.raw)
        self.folding_seconds = time.perf_counter() - started
        self._alone = model.bind_alone(self.raw)
        self._answers: dict[bytes, Floats] = {}
        self.results: dict[str, Floats] = {}
        """Results of formulas for this picture and its target, by name, that were run with those of others."""
        self.canonical_runs = 0
        self.order_probes = 0
        self.logits = self.score_alone(np.ones(self.units, np.bool_))
        if not np.isfinite(self.logits).all():
            raise PictureError("the model gives scores that are not finite for this picture; check --preprocessing")
        decided = int(np.argmax(self.logits))
        self.target = decided if target is None else find_label(model.opened.labels, target)
        self.preserve = default_predicate(model.opened, target) if preserve is None else preserve
        asked = with_index(self.preserve, model.opened.labels)
        self.predicate: Predicate = predicate(asked, self.target, self.logits, self.activation)

    @cached_property
    def _many(self) -> MaskedHead:
        return self.model.probe.bind_prepared(self.prepared, self.raw, self.model.batch)

    def under(self, preserve: str) -> "Problem":
        """Pose the same decision under another predicate; what was computed stays shared, only the order is new.

        Raises OptionError for a predicate that does not exist or does not fit. Cost: nothing is run.
        """
        other = copy(self)
        other.__dict__.pop("order", None)
        other.preserve = preserve
        asked = with_index(preserve, self.model.opened.labels)
        other.predicate = predicate(asked, self.target, self.logits, self.activation)
        return other

    @property
    def split(self) -> Split:
        return self.model.split

    @property
    def units(self) -> int:
        """Number of units."""
        return self.model.split.count

    @property
    def batch(self) -> int:
        """Most masks that go through the head at once."""
        return self.model.batch

    @property
    def activation(self) -> Activation:
        return self.model.opened.logits.activation

    @cached_property
    def features(self) -> Floats:
        """Features as float32: maps `[C, h, w]`, tokens `[n, D]` without class and register tokens."""
        split = self.split
        real: Floats = self.model.real(self.raw)[0]
        if split.units == "token":
            return np.delete(real, split.fixed, axis=0)
        return np.moveaxis(real, split.unit_axis - 1, 0)

    @cached_property
    def maps(self) -> Floats:
        """Features as float32 maps `[K, h, w]`, whatever the units; tokens lie on their grid.

        Raises OptionError where the units are patches of the picture, because these have no features.
        """
        if self.split.units == "patch":
            raise OptionError(f"this method reads a feature map, and {without_map(self.split)}")
        if self.split.units == "token":
            return self.features.T.reshape(-1, *self.split.grid)
        return self.features

    @property
    def by_unit(self) -> Floats:
        """Features with one row per unit, `[n, ...]`; for patches what they differ from the baseline."""
        if self.split.units == "patch":
            return changes(self.raw, self.split)
        if self.split.units == "cell":
            return np.moveaxis(self.features, 0, 2).reshape(self.units, -1)
        return self.features.reshape(self.units, -1)

    def score(self, masks: Masks) -> Floats:
        """Return the logits `[B, classes]` with units kept (1) or removed (0) by masks `[B, n]`."""
        return self._many.score(masks)

    def score_alone(self, mask: Mask) -> Floats:
        """Return the logits `[classes]` of one mask `[n]` in the canonical run, which has the last word."""
        logits: Floats = self.score_each_alone(mask[None])[0]
        return logits

    def score_each_alone(self, masks: Mask) -> Floats:
        """Return the canonical logits `[B, classes]` of masks `[B, n]`: a run for each, with that mask alone.

        The same mask is run once; that of no unit at all once a model, where no part of the picture is left in it
        (some tokens always stay, and a baseline is made of the picture).
        """
        known, keys = self._answers, [mask.tobytes() for mask in masks]
        nothing = bytes(self.units)
        if nothing in keys and nothing not in known and not self.split.fixed and self.split.units != "patch":
            known[nothing] = self.model.logits_of_nothing
        rows = masks.astype(np.float32)
        for row, key in enumerate(keys):
            if key not in known:
                self.canonical_runs += 1
                known[key] = self._alone.run(rows[row : row + 1])[0]
        return np.array([known[key] for key in keys], np.float64)

    @cached_property
    def logits_without(self) -> NDArray[np.float64]:
        """The canonical logits `[classes]` with every unit removed."""
        return np.asarray(self.score_alone(np.zeros(self.units, np.bool_)), np.float64)

    def score_images(self, inputs: NDArray[Any]) -> Floats:
        """Return the logits `[B, classes]` of the whole model on model inputs `[B, ...]`, perturbed ones for instance.

        Floats are rounded and clipped where the model takes integers. Cost: one forward per input, in batches.
        """
        return self.model.whole.score(inputs)

    def similarity(self, inputs: NDArray[Any]) -> Floats:
        """Return `[B]` in 0..1: how like the chosen box what is found in inputs is; OptionError where none was."""
        return self.model.similarity.score(inputs)[:, 0]

    @property
    def image_batch(self) -> int:
        """Most inputs that go through the whole model at once."""
        return self.model.whole.batch

    def run(self, formula: Formula, inputs: NDArray[Any] | None = None, *, target: int | None = None) -> Floats:
        """Return the result `[B, ...]` of a formula, by default `[1, ...]` for this picture and its target.

        `inputs` `[B, ...]` are what the formula is fed in the model's own layout: the tensor at the split, or the
        model input, perturbed ones for instance. Raises GradientError where the model has no gradient. Cost: the
        formula's passes for each input, in batches; the first time its graph is written, checked and opened.
        """
        if inputs is None and target is None and formula.name in self.results:
            return self.results[formula.name]
        running = self.model.formula(formula)
        if inputs is None:
            inputs = self.raw if formula.where == "split" else self.picture
        classes = np.eye(len(self.logits), dtype=np.float32)
        return running.run(inputs, classes[[self.target if target is None else target]])

    @property
    def picture(self) -> NDArray[Any]:
        """The model input `[1, ...]`; PictureError where only features were kept of it."""
        if self.input is None:
            raise PictureError("this method perturbs or differentiates the picture, but only features are there")
        return self.input

    def baseline(self, name: str) -> NDArray[Any]:
        """Return the model input `[1, ...]` of which nothing is shown: `zero`, `black` or `blur`; OptionError else."""
        return nothing_shown(self.picture, name, self.model.opened.preprocessing, self.model.opened.picture)

    def channels_first(self, inputs: NDArray[Any]) -> NDArray[Any]:
        """Return model inputs `[B, ...]` as `[B, K, h, w]`, as formulas see them."""
        return inputs if self.model.opened.picture.layout == "NCHW" else np.moveaxis(inputs, 3, 1)

    def keeps(self, masks: Mask) -> Mask:
        """Tell for masks `[B, n]` whether the predicate holds; close calls go to the canonical run."""
        return self.judge(masks, self.score(masks.astype(np.float32)))

    def judge(self, masks: Mask, logits: Floats) -> Mask:
        """Do as `keeps` with logits `[B, classes]` that are known already."""
        return self.predicate.settled(logits.astype(np.float64), lambda row: self.keeps_alone(masks[row]))

    def keeps_alone(self, mask: Mask) -> bool:
        return bool(self.predicate.keeps(self.score_alone(mask)[None])[0])

    @cached_property
    def table(self) -> Table | None:
        """What each unit adds to each logit; None where units interact.

        Where units come to one number each before they meet, their effects are known from the model alone and cost
        nothing here; else every unit is scored alone: a head forward for every unit that is not 0 on this picture.
        That units add up was measured on a photograph when the model was loaded; for this picture the certificate
        is the proof.
        """
        if self.model.head_class[0] != "additive":
            return None
        bias = self.logits_without
        effects, removed = self.model.unit_effects, self.model.probe.removed
        if effects is None or removed is None:
            return Table(np.ones(self.units), self._singles(bias), bias)
        strengths = np.asarray(self.prepared[FEATURES] - removed, np.float64).ravel()
        return Table(strengths, np.asarray(effects, np.float64), bias)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The units `[n]`, those first that seem most useful to what is to be preserved.

        By what they add where that is known or can be guessed from the model, else by what their removal costs, as
        far as that is cheap, else by how strong they are. Cost: arithmetic, and `Model.removals` probes.
        """
        weighed = worth(self.predicate, self.logits_without)
        by_class, table = self.model.effects_by_class, self.table
        if table is not None and by_class is None:
            return useful_first(weighed.of(table.matrix))
        strengths = self.model.probe.strengths(self.prepared) if table is None else table.strengths
        if by_class is not None:
            rows = by_class[np.append(weighed.classes, len(self.logits))]
            return useful_first(strengths * (np.append(weighed.weights, weighed.rest).astype(np.float32) @ rows))
        strongest = useful_first(np.abs(strengths))
        tried = strongest[: self.model.removals]
        if not len(tried):
            return strongest
        self.order_probes = len(tried)
        return useful_by_removal(removals(self._many, self.logits, weighed, tried, self.units), tried, strongest)

    def _singles(self, bias: Floats) -> NDArray[np.float64]:
        """Score each unit alone, less the bias; one that is 0 already adds exactly nothing and is not asked."""
        matrix, units = np.zeros((self.units, len(bias))), np.arange(self.units)
        for part in batches(np.flatnonzero(self.by_unit.any(axis=1)), self.batch):
            matrix[part] = self.score((units == part[:, None]).astype(np.float32)) - bias
        return matrix

    def prediction(self, index: int) -> Prediction:
        """Describe one class, as `ranked.prediction` does."""
        return prediction(self.model.opened, self.logits, index, self.preserve)

    def top(self, count: int = 5) -> tuple[Prediction, ...]:
        """Return the best classes, best first; ties in index order."""
        return ranked(self.model.opened, self.logits, self.preserve, count)

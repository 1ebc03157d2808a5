"""One decision on one picture: everything that a method may ask, and nothing of how it is answered."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .check import difference
from .errors import PictureError
from .head import SAME, random_masks
from .labels import find_label
from .model import Model
from .runtime.batching import batches
from .search.predicate import Predicate, predicate, probabilities
from .types import Activation, Floats, Masks, Prediction, Split

Mask = NDArray[np.bool_]


class Problem:
    """A model's decision about a picture, with the predicate that says what of it must be preserved."""

    def __init__(
        self,
        model: Model,
        inputs: NDArray[Any] | None,
        *,
        target: str | None = None,
        preserve: str = "top1",
        search: str = "auto",
        features: NDArray[Any] | None = None,
    ) -> None:
        """Run the backbone on model input `[1, ...]`, or take `features` that were kept from an earlier run.

        `target` is a class index or name, by default the class decided for; `search` names what a searching
        method is to use. Raises PictureError when the scores are not finite, OptionError for a target or
        predicate that does not exist.
        """
        self.model = model
        self.input = inputs
        self.search = search
        if features is None:
            if inputs is None:
                raise PictureError("expected model input or features, got neither")
            features = model.features(inputs)
        self.raw = features
        self._each = model.each(self.raw)
        self._many = model.bind(self._each)
        self._alone = model.bind_alone(self.raw if model.apart else self._many.uploaded)
        self.canonical_runs = 0
        self.logits = self.score_alone(np.ones(self.units, np.bool_))
        if not np.isfinite(self.logits).all():
            raise PictureError("the model gives scores that are not finite for this picture; check --preprocessing")
        decided = int(np.argmax(self.logits))
        self.target = decided if target is None else find_label(model.opened.labels, target)
        self.predicate: Predicate = predicate(preserve, self.target, self.logits, self.activation)

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

    @property
    def by_unit(self) -> Floats:
        """Features with one row per unit, `[n, ...]`."""
        if self.split.units == "cell":
            return np.moveaxis(self.features, 0, 2).reshape(self.units, -1)
        return self.features.reshape(self.units, -1)

    def score(self, masks: Masks) -> Floats:
        """Return the logits `[B, classes]` with units kept (1) or removed (0) by masks `[B, n]`."""
        return self._many.score(masks)

    def score_alone(self, mask: Mask) -> Floats:
        """Return the logits `[classes]` of one mask `[n]` in the canonical run, which has the last word."""
        self.canonical_runs += 1
        logits: Floats = self._alone.score(mask[None].astype(np.float32))[0]
        return logits.astype(np.float64)

    def keeps(self, masks: Mask) -> Mask:
        """Tell for masks `[B, n]` whether the predicate holds; close calls go to the canonical run."""
        logits = self.score(masks.astype(np.float32)).astype(np.float64)
        kept = self.predicate.keeps(logits)
        for i in np.flatnonzero(self.predicate.close(logits)):
            kept[i] = self.keeps_alone(masks[i])
        return kept

    def keeps_alone(self, mask: Mask) -> bool:
        return bool(self.predicate.keeps(self.score_alone(mask)[None])[0])

    @cached_property
    def contributions(self) -> tuple[Floats, Floats] | None:
        """What each unit adds to each logit, `[n, classes]`, and the bias `[classes]`; None where units interact.

        Where units come to one number each before they meet, their effects are known from the model alone;
        else every unit is scored alone. Either way compared with the head on random subsets of this very picture.
        Cost: 9 head forwards, and in the second case one for every unit that is not 0 on this picture.
        """
        if self.model.head_class[0] != "additive":
            return None
        bias = self.score(np.zeros((1, self.units), np.float32))[0].astype(np.float64)
        effects, removed = self.model.unit_effects, self.model.probe.removed
        if effects is not None and removed is not None:
            matrix = (self._each - removed).reshape(-1, 1).astype(np.float64) * effects
        else:
            matrix = self._singles(bias)
        masks = random_masks(self.units, 8)
        if not difference(bias + masks.astype(np.float64) @ matrix, self.score(masks)) <= SAME:
            return None
        return matrix, bias

    def _singles(self, bias: Floats) -> Floats:
        """Score each unit alone, less the bias; one that is 0 already adds exactly nothing and is not asked."""
        alone, matrix = np.eye(self.units, dtype=np.float32), np.zeros((self.units, len(bias)))
        for part in batches(np.flatnonzero(self.by_unit.any(axis=1)), self.batch):
            matrix[part] = self.score(alone[part]) - bias
        return matrix

    def prediction(self, index: int) -> Prediction:
        labels = self.model.opened.labels
        share = probabilities(self.logits[None], self.activation)[0]
        return Prediction(index, labels[index], float(self.logits[index]), float(share[index]))

    def top(self, count: int = 5) -> tuple[Prediction, ...]:
        """Return the best classes, best first; ties in index order."""
        order = np.argsort(-self.logits, kind="stable")[:count]
        return tuple(self.prediction(int(i)) for i in order)

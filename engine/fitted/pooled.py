"""A head that pools and multiplies by one matrix, as that matrix."""

from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from ..model import Model
from ..types import Floats
from .maps import channels_of, logits_of, logits_of_maps, maps_of, require_maps

SAME = 1e-4
"""Largest error of a logit that the matrix foretells, relative to 1 + the largest logit."""
REFUSAL = "prototypes are for heads that only pool and multiply by one matrix, and this one does more; take craft"


@dataclass(frozen=True)
class Pooled:
    """Logits = W mean(F) + b of features `[K, h, w]`: `weights` W `[classes, K]` and `bias` b `[classes]`."""

    weights: Floats
    bias: Floats

    def logits(self, maps: Floats) -> Floats:
        return np.asarray(self.weights.astype(np.float64) @ maps.mean(axis=(1, 2), dtype=np.float64) + self.bias)


def require_pooling(model: Model) -> None:
    """Raise OptionError where units do not add up in the head: it is no pooling and one matrix."""
    require_maps(model)
    if model.head_class[0] != "additive":
        raise OptionError(f"{REFUSAL} ({model.head_class[1]})")


def pooled_head(model: Model) -> Pooled:
    """Read the matrix of a pooled head from what maps of one channel give, and prove it on photographs.

    Raises OptionError for another head. Cost: K + 1 head forwards.
    """
    require_pooling(model)
    raws = [model.features(model.opened.samples[i : i + 1]) for i in range(len(model.opened.samples))]
    width, grid = channels_of(model.split), model.split.grid
    rows = np.eye(width + 1, width, -1, dtype=np.float32)  # nothing, then each channel alone

    def everywhere(some: Floats) -> Floats:
        return np.broadcast_to(some[..., None, None], (*some.shape, *grid))

    logits = logits_of_maps(model, raws[0], rows, everywhere)
    found = Pooled((logits[1:] - logits[0]).T.astype(np.float32), logits[0].astype(np.float32))
    worst = max(foretold(found, maps_of(model, raw), logits_of(model, raw)) for raw in raws)
    if not worst <= SAME:
        raise OptionError(f"{REFUSAL} (a matrix foretells its logits only within {worst:.1g})")
    return found


def foretold(head: Pooled, maps: Floats, logits: Floats) -> float:
    """Return the largest error of the logits that a matrix foretells, relative to 1 + the largest logit."""
    return float(np.abs(head.logits(maps) - logits).max() / (1 + np.abs(logits).max()))

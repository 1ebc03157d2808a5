"""Find the prototypes of each channel in a user's pictures, after turning the channels if that is wanted (EPIC)."""

from collections.abc import Sequence

import numpy as np

from ..dataset import Sample
from ..errors import PictureError
from ..model import Model
from ..types import Floats, Picture, Pixels, Placement
from .bank import affordable
from .crops import Track, box_at, opened, seen, thumbnail, untracked
from .maps import channels_of, maps_of
from .pooled import Pooled, foretold, pooled_head, require_pooling
from .prototypes import Prototypes
from .rotation import Best, best_places, schedule, turned

SIDE = 160
"""Side of a kept picture in pixels, 77 kB each."""
HELD = 5
"""Every fifth picture is held out from turning the channels, to tell whether they are purer on others too."""
FEWEST = 2 * HELD
"""Pictures that turning needs at least: some to turn on and two to judge by."""


def fit_prototypes(
    model: Model, samples: Sequence[Sample], *, steps: int = 0, track: Track = untracked
) -> tuple[Prototypes, list[str]]:
    """Find the prototypes of the channels U Z: the 5 pictures with the largest sums, in each the strongest place.

    U is the identity for `steps=0`, else `rotation.turned` on four fifths of the pictures. The head's matrix is read
    from the model, and W U^T with U Z is proved to give the model's logits (the fact `exact`). Purities of both,
    on the pictures and on the fifth held out, are among the facts. Returns the prototypes and what was left out.
    Raises OptionError where the head is no pooling and one matrix, PictureError.

    Cost: one forward a picture, K + 1 of the head, an SVD of K x K a step. Memory: the features of all pictures, at
    most 256 MiB. Source: arXiv:2505.12897.
    """
    require_pooling(model)
    head, skipped = pooled_head(model), list[str]()
    maps, pictures = features(model, samples, skipped, track)
    if steps and len(maps) < FEWEST:
        raise PictureError(f"expected at least {FEWEST} pictures to turn channels on, got {len(maps)}; take --steps 0")
    held = np.arange(len(maps)) % HELD == HELD - 1
    same = np.eye(maps.shape[1], dtype=np.float32)
    turn = turned(maps[~held], track(schedule(steps), "turns")) if steps else same
    best = best_places(maps, turn)
    facts = {"pictures": len(maps), "steps": steps, "exact": exactness(model, head, turn), "purity": mean(best)}
    if steps:
        facts |= {
            "purity_before": mean(best_places(maps, same)),
            "held": mean(best_places(maps[held], turn)),
            "held_before": mean(best_places(maps[held], same)),
        }
    used, places = np.unique(best.pictures, return_inverse=True)
    bank = np.stack([pictures[i] for i in used])
    where = places.reshape(best.pictures.shape)
    return Prototypes(turn, head.weights, head.bias, where, best.cells, best.purity, bank, facts), skipped


def features(model: Model, samples: Sequence[Sample], skipped: list[str], track: Track) -> tuple[Floats, list[Pixels]]:
    """Return the features `[P, K, hw]` of pictures, and what the model sees of each, small."""
    maps, pictures = [], []
    numbers = channels_of(model.split) * model.split.grid[0] * model.split.grid[1]
    for _, picture in opened(track(affordable(samples, numbers, skipped), "features of pictures"), skipped):
        inputs, placement = seen(model, picture)
        maps.append(maps_of(model, model.features(inputs)).reshape(channels_of(model.split), -1))
        pictures.append(shown(picture, placement))
    if not maps:
        raise PictureError(f"expected pictures to fit on, none could be read; {skipped[0] if skipped else 'got none'}")
    found = np.stack(maps)
    if not np.isfinite(found).all() or not found.any():
        raise PictureError("the features of all pictures are 0 or not finite; check --preprocessing and --split")
    return found, pictures


def shown(picture: Picture, placement: Placement) -> Pixels:
    return thumbnail(picture, box_at(placement, 0, 0, 1), SIDE)


def mean(best: Best) -> float:
    return float(best.purity.mean())


def exactness(model: Model, head: Pooled, turn: Floats) -> float:
    """Return the largest error of the logits that W U^T gives of U Z on photographs, relative to 1 + the largest."""
    turning, errors = Pooled(head.weights @ turn.T, head.bias), []
    for i in range(len(model.opened.samples)):
        raw = model.features(model.opened.samples[i : i + 1])
        maps = maps_of(model, raw)
        logits = model.bind_alone(raw).score(np.ones((1, model.split.count), np.float32))[0]
        errors.append(foretold(turning, np.tensordot(turn, maps, axes=1), logits))
    return max(errors)

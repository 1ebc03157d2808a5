"""Find the concepts of a class in a user's pictures of it, and weigh them (CRAFT)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..dataset import Sample
from ..errors import OptionError
from ..model import Model
from ..total_indices import design, require_samples, total_indices
from ..types import Floats, Pixels
from .bank import best_crops, crop_bank
from .concepts import Concepts, rectified
from .crops import Track, seen, untracked
from .factors import factorise
from .maps import channels_of, logits_of_maps, maps_of, require_maps


def fit_concepts(
    model: Model,
    samples: Sequence[Sample],
    target: int | None = None,
    *,
    rank: int = 10,
    seed: int = 0,
    track: Track = untracked,
) -> tuple[Concepts, list[str]]:
    """Find concepts of a class: A ~ U W by NMF, A `[n, K]` the mean features of crops, U and W not negative.

    Crops as `crops.boxes` lays them, of all `samples` (CRAFT's are of pictures that are decided for the class; how
    many are is among the facts). Features that are clearly negative somewhere are taken less the least of each
    channel, else what is below 0 is cut off. `target` is by default the class decided for most often. Importance: see
    `importances`. Returns the concepts, and what was left out: pictures that cannot be read. Raises OptionError,
    PictureError.

    Cost: 17 forwards and 32 (r + 1) + 1 head forwards a picture, and one NMF. Memory: the mean features of all crops,
    at most 256 MiB. Source: arXiv:2211.10154.
    """
    require_maps(model)
    require_rank(rank, channels_of(model.split))
    skipped: list[str] = []
    bank = crop_bank(model, samples, skipped, track)
    require_rank(rank, *bank.rows.shape)
    if target is None:
        target = Counter(bank.decided).most_common(1)[0][0]
    offset = bank.offset()
    found = factorise(rectified(bank.rows, offset), rank, seed)
    draft = Concepts(target, model.opened.labels[target], found.directions, offset, np.zeros(rank), no_crops(), {})
    weights = mean_importances(draft, model, track(bank.samples, "importance in pictures"), seed)
    order = np.argsort(-weights, kind="stable")
    facts = {
        "pictures": len(bank.samples),
        "decided": bank.decided.count(target),
        "crops": len(bank.rows),
        "error": found.error,
        "negative": bank.negative,
        "offset": bool(offset.any()),
        "converged": found.converged,
        "seed": seed,
    }
    crops = np.stack([best_crops(bank, found.codes[:, k]) for k in order])
    ordered = found.directions[order], offset, weights[order].astype(np.float32), crops
    return Concepts(target, draft.label, *ordered, facts), skipped


def require_rank(rank: int, *sizes: int) -> None:
    if not 1 <= rank <= min(sizes):
        raise OptionError(f"expected a rank from 1 to {min(sizes)}, crops and channels allow no more; got {rank}")


def no_crops() -> Pixels:
    return np.zeros((0, 0, 0, 0, 3), np.uint8)


# ----- importance -----


def mean_importances(concepts: Concepts, model: Model, samples: Iterable[Sample], seed: int) -> Floats:
    """Return the mean importances `[r]` over pictures."""
    found = [importances(concepts, model, model.features(seen(model, s.open())[0]), seed=seed) for s in samples]
    return np.asarray(np.mean(found, axis=0))


def importances(concepts: Concepts, model: Model, raw: Any, *, samples: int = 32, seed: int = 0) -> Floats:
    """Return the total Sobol indices `[r]` of the class's logit on one picture, whose features are `raw`.

    A point m in [0, 1]^r multiplies each concept everywhere in the picture: f(m) is the logit of (U * m) W. Estimator
    and sequence as in the method sobol. Cost: `samples` (r + 1) head forwards.
    """
    require_samples(samples)
    found, grid = concepts.codes(maps_of(model, raw)).astype(np.float32), model.split.grid
    points = design(samples, len(concepts.directions), seed)
    logits = logits_of_maps(model, raw, points, lambda rows: concepts.maps(found * rows[:, None], grid))
    scores = logits[:, concepts.target].astype(np.float64)
    return total_indices(scores[:samples], scores[samples:].reshape(-1, samples))

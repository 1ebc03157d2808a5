"""The mean features of crops of many pictures, and where each crop was cut."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import Sample
from ..errors import PictureError
from ..model import Model
from ..types import Floats, Pixels
from .crops import Box, Track, boxes, crop_features, opened, seen, thumbnail
from .maps import channels_of, logits_of, maps_of

BEST, A_PICTURE = 6, 2
"""Crops that are kept of a concept, and the most of them from one picture, whose crops overlap and are alike."""
ROWS = 2**26
"""Numbers that the features of all pictures may be, 256 MiB: 3276 pictures with the means of
16 crops for 1280 channels, 1069 with all their 7 x 7 places."""
NEGATIVE = 0.01
"""Share of negative energy (squares) up to which features count as rectified, and what is below 0 is cut off."""


@dataclass(frozen=True)
class Bank:
    """Mean features `[n, K]` of crops, and where each was cut; least value a channel, share of negative energy.

    `decided` is the class decided for on each of the pictures.
    """

    samples: list[Sample]
    decided: list[int]
    rows: Floats
    places: list[tuple[int, Box]]
    least: Floats
    negative: float

    def offset(self) -> Floats:
        """Return what is taken off the features before they are factorised, `[K]`."""
        return self.least if self.negative > NEGATIVE else np.zeros_like(self.least)


def crop_bank(model: Model, samples: Sequence[Sample], skipped: list[str], track: Track) -> Bank:
    channels = channels_of(model.split)
    good: list[Sample] = []
    decided, rows, places = [], [], []
    least, energy, below = np.full(channels, np.inf, np.float32), 0.0, 0.0
    for sample, picture in opened(track(affordable(samples, 16 * channels, skipped), "crops of pictures"), skipped):
        inputs, placement = seen(model, picture)
        for box in boxes(placement):
            maps = maps_of(model, crop_features(model, picture, box))
            rows.append(maps.mean(axis=(1, 2)))
            places.append((len(good), box))
            least = np.minimum(least, maps.min(axis=(1, 2)))
            energy += float(np.square(maps, dtype=np.float64).sum())
            below += float(np.square(maps[maps < 0], dtype=np.float64).sum())
        decided.append(int(np.argmax(logits_of(model, model.features(inputs)))))
        good.append(sample)
    if not good:
        raise PictureError(f"expected pictures to fit on, none could be read; {skipped[0] if skipped else 'got none'}")
    if not np.isfinite(energy) or energy == 0:
        raise PictureError("the features of all crops are 0 or not finite; check --preprocessing and --split")
    return Bank(good, decided, np.stack(rows), places, least, below / energy)


def affordable(samples: Sequence[Sample], numbers: int, skipped: list[str]) -> Sequence[Sample]:
    """Take pictures at even distances where those of all, `numbers` of each, would not fit into memory."""
    most = max(1, ROWS // numbers)
    if len(samples) <= most:
        return samples
    skipped.append(f"{len(samples)} pictures are more than memory allows: {most} at even distances are taken")
    return [samples[i] for i in np.linspace(0, len(samples) - 1, most).round().astype(int)]


def best_crops(bank: Bank, strengths: Floats) -> Pixels:
    """Cut the crops of a concept's greatest strengths again, few of each picture."""
    taken, counts = [], Counter[int]()
    for i in np.argsort(-strengths, kind="stable"):
        index, box = bank.places[i]
        counts[index] += 1
        if counts[index] <= A_PICTURE:
            taken.append(thumbnail(bank.samples[index].open(), box))
        if len(taken) == BEST:
            break
    return np.stack(taken)

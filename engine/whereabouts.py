"""Where a saliency map lies, in plain words: the named parts of a picture that hold more than their share of it."""

from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .types import Floats, Placement

LEAST = 0.15
"""A place is worth naming where it holds so much more of the map than of the picture; so is a second one."""


SCATTERED = 0.25
"""A map that names no place and yet has half of itself on less than this lies in small parts all over the picture."""


class Box(NamedTuple):
    """A part of the picture, in shares of its height and width; a pixel belongs to it if its centre does."""

    top: float
    left: float
    bottom: float
    right: float


FIRST, MIDDLE, LAST = (0.0, 1 / 2), (1 / 4, 3 / 4), (1 / 2, 1.0)
START, CORE, END = (0.0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1.0)
WHOLE = (0.0, 1.0)
NAMED = {
    "the upper half": (FIRST, WHOLE),
    "the lower half": (LAST, WHOLE),
    "the left half": (WHOLE, FIRST),
    "the right half": (WHOLE, LAST),
    "the band across the middle": (MIDDLE, WHOLE),
    "the strip down the middle": (WHOLE, MIDDLE),
    "the top third": (START, WHOLE),
    "the bottom third": (END, WHOLE),
    "the left third": (WHOLE, START),
    "the right third": (WHOLE, END),
    "the centre": (MIDDLE, MIDDLE),
    "the upper left quarter": (FIRST, FIRST),
    "the upper right quarter": (FIRST, LAST),
    "the lower left quarter": (LAST, FIRST),
    "the lower right quarter": (LAST, LAST),
    "the upper middle": (FIRST, MIDDLE),
    "the lower middle": (LAST, MIDDLE),
    "the middle left": (MIDDLE, FIRST),
    "the middle right": (MIDDLE, LAST),
    "the very centre": (CORE, CORE),
    "the upper left corner": (START, START),
    "the upper right corner": (START, END),
    "the lower left corner": (END, START),
    "the lower right corner": (END, END),
    "the middle of the top edge": (START, CORE),
    "the middle of the bottom edge": (END, CORE),
    "the middle of the left edge": (CORE, START),
    "the middle of the right edge": (CORE, END),
}
"""Rows and columns of every place that has a name."""
PLACES = {name: Box(rows[0], columns[0], rows[1], columns[1]) for name, (rows, columns) in NAMED.items()}
CUTS = sorted({edge for box in PLACES.values() for edge in box})


@dataclass(frozen=True)
class Place:
    """A named place: which share of the map lies in it, and which share of what the model saw it is."""

    name: str
    coverage: float
    area: float

    @property
    def gain(self) -> float:
        return self.coverage - self.area


@dataclass(frozen=True)
class Whereabouts:
    """The places worth naming, best first (none for a map that is spread out), and the best of all places.

    `half` is the least share of what the model saw that holds half of the map.
    """

    places: tuple[Place, ...]
    best: Place
    half: float


def whereabouts(saliency: Floats, placement: Placement) -> Whereabouts | None:
    """Say where a map `[H, W]` of nothing negative lies; None for a map that is 0 everywhere.

    Of all places the one with the largest gain, coverage - area: the share of the map in it less its share of what
    the model saw. A gain below LEAST names nothing. Two places that do not overlap are named where their gains
    together exceed the best by LEAST, each having as much itself. Cost: nothing is run; a few passes over the map.
    Source: after Feldhus et al., arXiv 2210.07222 (spans of tokens there, chosen by coverage); places are ours.
    """
    total = float(saliency.sum(dtype=np.float64))
    if not 0 < total < np.inf:
        return None
    masses, sizes = blocks(saliency), seen_pixels(placement)
    found = [place_of(name, masses, sizes) for name in PLACES]
    found = [place for place in found if place.area > 0]
    best = max(found, key=lambda place: place.gain)
    return Whereabouts(worth_naming(found, best), best, half_of(saliency, total) / float(sizes.sum()))


def shortest_half(mass: Floats) -> tuple[int, int]:
    """Return the first and last place of the shortest run in a row `[n]` that holds half of a map."""
    sums = np.concatenate([[0.0], np.cumsum(mass, dtype=np.float64)])
    ends = np.searchsorted(sums, sums[:-1] + sums[-1] / 2)
    runs = [(int(end) - start, start) for start, end in enumerate(ends) if end < len(sums)]
    length, start = min(runs)
    return start, start + length - 1


def seen_share(placement: Placement) -> float:
    """Return the share of the picture's pixels that the model saw."""
    return float(seen_pixels(placement).sum()) / (placement.picture_height * placement.picture_width)


def without_place(half: float) -> str:
    """Return the word for a map that names no place."""
    return "scattered" if half < SCATTERED else "spread out"


def worth_naming(found: list[Place], best: Place) -> tuple[Place, ...]:
    """Choose no place, the best one, or two; of equal ones those that PLACES has first."""
    if best.gain < LEAST:
        return ()
    good = [place for place in found if place.gain >= LEAST]
    pairs = [pair for pair in combinations(good, 2) if apart(*(PLACES[place.name] for place in pair))]
    pair = max(pairs, key=lambda two: two[0].gain + two[1].gain, default=None)
    if pair is None or pair[0].gain + pair[1].gain < best.gain + LEAST:
        return (best,)
    return tuple(sorted(pair, key=lambda place: -place.coverage))


def apart(one: Box, other: Box) -> bool:
    beside = one.right <= other.left or other.right <= one.left
    return beside or one.bottom <= other.top or other.bottom <= one.top


def place_of(name: str, masses: NDArray[np.float64], sizes: NDArray[np.float64]) -> Place:
    """Add up the blocks of a place: what they hold of the map and of what was seen, both `[blocks, blocks]`."""
    top, left, bottom, right = (CUTS.index(edge) for edge in PLACES[name])
    coverage, area = (float(part[top:bottom, left:right].sum() / part.sum()) for part in (masses, sizes))
    return Place(name, coverage, area)


def blocks(saliency: Floats) -> NDArray[np.float64]:
    """Sum a map `[H, W]` between the cuts, which bound every place."""
    rows, columns = (edges(length) for length in saliency.shape)
    bands = [saliency[top:bottom].sum(axis=0, dtype=np.float64) for top, bottom in rows]
    return np.array([[band[left:right].sum() for left, right in columns] for band in bands])


def seen_pixels(placement: Placement) -> NDArray[np.float64]:
    """Count the pixels between the cuts that the model saw."""
    rows = seen(placement.picture_height, placement.top, placement.bottom)
    columns = seen(placement.picture_width, placement.left, placement.right)
    return np.outer(rows, columns)


def seen(pixels: int, start: float, stop: float) -> NDArray[np.float64]:
    """Count on one axis the pixels between the cuts whose centres lie in the placement, as `saliency_map` does."""
    centre = np.arange(pixels) + 0.5
    inside = (centre >= start) & (centre < stop)
    return np.array([inside[first:last].sum() for first, last in edges(pixels)], np.float64)


def edges(pixels: int) -> list[tuple[int, int]]:
    """Return the first pixel and the end of each block on an axis: pixel i's centre is (i + 1/2) / pixels."""
    at = [int(np.ceil(cut * pixels - 0.5)) for cut in CUTS]
    return list(pairwise(at))


def half_of(saliency: Floats, total: float) -> int:
    """Return the least number of pixels that hold half of the map."""
    held = np.sort(saliency, axis=None)[::-1].cumsum(dtype=np.float64)
    return min(int(np.searchsorted(held, total / 2)) + 1, saliency.size)

"""Turn the channels of features so that each is seen alone where it is strongest (EPIC), on cached features only."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import svd

from ..types import Floats

FIRST, LAST = 100, 5
"""Prototypes of a channel in the first and in the last step, and how many are kept; EPIC's."""
DAMPING = 0.1
"""Weight of the turn so far in the next one. Channels that no cell speaks for stay as they are."""
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Best:
    """The prototypes of each channel: pictures and places `[K, N]`, and the channel's purity there."""

    pictures: Indices
    cells: Indices
    purity: Floats


def turned(maps: Floats, counts: Iterable[int]) -> Floats:
    """Return an orthogonal U `[K, K]` that makes the channels of U Z purer on features Z `[P, K, hw]`.

    Purity of a channel at a place: (U Z)_c / |Z|, the norm over channels, which U does not change. With prototypes
    and places held, the sum of purities is tr(U^T G), G_c the mean of Z / |Z| over the places of channel c, and the
    best U is the polar factor of G: one SVD a step instead of the paper's epochs of Adam on U = expm(P - P^T). Steps
    alternate the two, with as many prototypes as `counts` says. Cost: an SVD of K x K a step.
    """
    turn: Floats = np.eye(maps.shape[1])
    for count in counts:
        best = best_places(maps, turn, min(count, len(maps)))
        turn = polar(pull(maps, best) + DAMPING * turn)
    return turn.astype(np.float32)


def schedule(steps: int) -> list[int]:
    """Return the number of prototypes in each step: from 100 to 5, linearly."""
    return [round(count) for count in np.linspace(FIRST, LAST, steps)]


def best_places(maps: Floats, turn: Floats, count: int = LAST) -> Best:
    """Select the prototypes of each channel: the pictures with the largest sums of U Z, in them its strongest place."""
    sums = maps.mean(axis=2) @ turn.T.astype(maps.dtype)
    pictures = np.argsort(-sums.T, axis=1, kind="stable")[:, :count]
    cells, purity = np.zeros_like(pictures), np.zeros(pictures.shape)
    for i, one in enumerate(maps):
        channels, ranks = np.nonzero(pictures == i)
        found = turn[channels].astype(maps.dtype) @ one
        places = found.argmax(axis=1)
        cells[channels, ranks] = places
        purity[channels, ranks] = found[np.arange(len(places)), places] / lengths(one)[places]
    return Best(pictures, cells, purity)


def pull(maps: Floats, best: Best) -> Floats:
    """Return G `[K, K]`: for each channel the mean direction of the features in its places."""
    total = np.zeros((maps.shape[1], maps.shape[1]))
    for i, one in enumerate(maps):
        channels, ranks = np.nonzero(best.pictures == i)
        places = best.cells[channels, ranks]
        total[channels] += (one[:, places] / lengths(one)[places]).T
    return np.asarray(total / best.pictures.shape[1])


def lengths(one: Floats) -> Floats:
    norms = np.linalg.norm(one, axis=0)
    return np.asarray(np.where(norms > 0, norms, 1))


def polar(matrix: Floats) -> Floats:
    """Return the orthogonal matrix closest to a square one."""
    left, _, right = svd(matrix, check_finite=False)
    return np.asarray(left @ right)

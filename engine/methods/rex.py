"""ReX (Chockler, Kelly, Kroening and Sun): how far each part of the picture is responsible for the decision."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count

import numpy as np
from numpy.typing import NDArray

from ..answer import Attribution
from ..errors import OptionError
from ..perturb import Perturbed, perturbed
from ..problem import Problem
from ..runtime.batching import batches
from ..types import Floats
from .registry import Facts, from_map, method

Bools = NDArray[np.bool_]
Ask = Callable[[Bools], Bools]
"""Tells for masks `[B, H, W]` of what is shown whether the decision is kept."""
SIDE = 10 / 224
"""Least side of a part, as a share of the input's shorter side: the authors' 10 pixels of 224."""
PARTS, SUBSETS = 4, 16
"""Parts that a rectangle is cut into, and the sets of them that may be hidden, as bits."""
SIZES = [bin(bits).count("1") for bits in range(SUBSETS)]


@method("rex", Facts("perturbation", "the whole model", "2801 forwards", "arXiv:2103.03622"))
def rex(
    problem: Problem,
    *,
    samples: int = 20,
    smallest: int = 0,
    refined: int = 10,
    baseline: str = "zero",
    seed: int = 0,
) -> Attribution:
    """Average the responsibility of nested random parts of the picture: 1 / (1 + k) spread over a part's pixels.

    A part is responsible if k other parts can be hidden so that the decision is kept, but lost with the part hidden
    too; k is the least such number (actual causality). A rectangle is cut into 4 by a random line and one across each
    half, all sets of hidden parts are scored in one batch, and responsible parts are cut again, over `samples` random
    partitions. What is decided is `--preserve`, top1 in the papers. The map ranks the pixels.

    The papers leave open, and here it is so: a part is refined with the k others that made it decisive hidden (least k,
    then the first set), and those count on; the most responsible are refined first, then the largest, at most
    `refined` of a partition; no side of a part is under `smallest` pixels (0: as 10 to 224). The authors'
    program hides all but the refined part instead, follows one part, and adds 1 / n for n parts that suffice; 20
    partitions, 10 pixels and the hiding value 0 are its documented defaults.

    Cost: at most `samples` x `refined` x 14 + 1 forwards.
    Source: arXiv:2103.03622; arXiv:2411.08875.
    """
    if samples < 1 or smallest < 0 or refined < 1:
        raise OptionError(
            f"expected samples and refined of 1 or more and smallest of 0 or more, got {samples}, {refined}, {smallest}"
        )
    view = perturbed(problem, baseline=baseline)
    side = smallest or max(1, round(SIDE * min(view.size)))
    ask = asking(view)
    empty = bool(ask(np.zeros((1, *view.size), bool))[0])
    found = np.zeros(view.size)
    for random in np.random.default_rng(seed).spawn(samples):
        found += responsibility(ask, Partition(view.size, side, refined, empty), random) / samples
    attribution = from_map("rex", found, f"responsibility for {problem.preserve}, of {samples} partitions")
    return replace(attribution, warnings=(EMPTY,) if empty else ())


EMPTY = "the decision stays with the whole picture hidden, so that hiding says little; take another baseline"


def asking(view: Perturbed) -> Ask:
    def ask(shown: Bools) -> Bools:
        problem, found = view.problem, []
        for part in batches(shown, problem.image_batch):
            logits = problem.score_images(view.mixed(part.astype(np.float32)))
            found.append(problem.predicate.keeps(logits.astype(np.float64)))
        return np.concatenate(found)

    return ask


# ----- one partition -----


@dataclass(frozen=True)
class Partition:
    """How a picture of a size is cut: narrowest part, most refinements, whether the decision stays with all hidden."""

    size: tuple[int, int]
    smallest: int
    refined: int
    empty: bool


@dataclass(frozen=True)
class Part:
    """A rectangle, what is shown around it, and how many other parts are hidden there."""

    top: int
    left: int
    bottom: int
    right: int
    shown: Bools
    hidden: int = 0

    @property
    def area(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)

    def cuttable(self, smallest: int) -> bool:
        return max(self.bottom - self.top, self.right - self.left) >= 2 * smallest


def responsibility(ask: Ask, partition: Partition, random: np.random.Generator) -> Floats:
    """Return the responsibility of each pixel `[H, W]` under one random partition."""
    density, order = np.zeros(partition.size), count()
    whole = Part(0, 0, *partition.size, np.ones(partition.size, bool))
    queue = [(0, -whole.area, next(order), whole)]
    for step in range(partition.refined):
        if not queue:
            break
        part = heappop(queue)[-1]
        pieces = cut(part, partition.smallest, random)
        kept = outcomes(ask, part, pieces, partition.empty if step == 0 else False)
        for index, piece in enumerate(pieces):
            others = least_witness(kept, index)
            hidden = 0 if others is None else part.hidden + SIZES[others]
            share = 0.0 if others is None else 1 / (1 + hidden)
            density[piece.top : piece.bottom, piece.left : piece.right] = share / max(piece.area, 1)
            if others is not None and piece.cuttable(partition.smallest):
                around = without(part.shown, [pieces[i] for i in range(PARTS) if others >> i & 1])
                heappush(queue, (hidden, -piece.area, next(order), replace(piece, shown=around, hidden=hidden)))
    return density


def cut(part: Part, smallest: int, random: np.random.Generator) -> list[Part]:
    """Cut a rectangle by a random line across it and each half by one along it, no side under `smallest` pixels.

    A side too short for that is not cut, which leaves empty pieces.
    """
    if random.random() < 0.5:
        middle = between(part.top, part.bottom, smallest, random)
        halves = [replace(part, bottom=middle), replace(part, top=middle)]
        lines = [between(half.left, half.right, smallest, random) for half in halves]
        return [p for h, at in zip(halves, lines, strict=True) for p in (replace(h, right=at), replace(h, left=at))]
    middle = between(part.left, part.right, smallest, random)
    halves = [replace(part, right=middle), replace(part, left=middle)]
    lines = [between(half.top, half.bottom, smallest, random) for half in halves]
    return [p for h, at in zip(halves, lines, strict=True) for p in (replace(h, bottom=at), replace(h, top=at))]


def between(start: int, stop: int, smallest: int, random: np.random.Generator) -> int:
    return (
        int(random.integers(start + smallest, stop - smallest, endpoint=True)) if stop - start >= 2 * smallest else stop
    )


def outcomes(ask: Ask, part: Part, pieces: list[Part], empty: bool) -> list[bool]:
    """Tell for every set of hidden pieces, as bits, whether the decision is kept.

    With none hidden it is, since the part was decisive; with all hidden it is lost for the same reason, or as `empty`.
    """
    masks = [without(part.shown, [pieces[i] for i in range(PARTS) if bits >> i & 1]) for bits in range(1, SUBSETS - 1)]
    return [True, *(bool(kept) for kept in ask(np.stack(masks))), empty]


def without(shown: Bools, pieces: list[Part]) -> Bools:
    left = shown.copy()
    for piece in pieces:
        left[piece.top : piece.bottom, piece.left : piece.right] = False
    return left


def least_witness(kept: list[bool], index: int) -> int | None:
    """Return the smallest set of other pieces that, hidden, makes a piece decisive, the first by bits, or None."""
    own = 1 << index
    sets = [bits for bits in range(SUBSETS) if not bits & own and kept[bits] and not kept[bits | own]]
    return min(sets, key=lambda bits: (SIZES[bits], bits), default=None)

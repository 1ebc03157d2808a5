"""Whether a model was trained on inputs like those that the chosen preprocessing makes, and which are likelier."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .centring import CHOSEN, Centring, candidates, centring, inputs_of
from .check import photographs
from .errors import SplitError
from .graph.centred import colour_weights, neighbours, recorded_range
from .open_model import Opened
from .preprocess.values import Values
from .types import Floats, Picture
from .whole import open_whole

OVERLAP = 0.75
"""Share of what the pixels' range and the recorded one cover together that must be in both."""
WORSE = 0.4
"""By how much the mean logarithm of what is left over must be above that of the best candidate."""
COLOURS = 0.15
"""Logarithm of the ratio of red's weights to blue's that means something, if chance does not make it."""
GUESSING, BLIND, SEEING = -1.0, 0.2, 1.0
"""In units of the entropy of guessing: agreement with a shifted picture, and its lead over that with other pictures."""
MANY = 100
"""Classes from which on two photographs are expected to get different answers."""
TRAINED = 5.0
"""Correlation of neighbouring weights, in units of that of chance, from which on a first convolution was trained."""


@dataclass(frozen=True)
class Doubt:
    """Why the chosen preprocessing is implausible, what is likelier, and how to ask for that."""

    reason: str
    likelier: str
    option: str

    def __str__(self) -> str:
        return f"the preprocessing looks wrong: {self.reason}; {self.likelier} is likelier ({self.option})"


@dataclass(frozen=True)
class Verdict:
    """What was found, `doubt` or None, by what it was judged, and what that cost."""

    doubt: Doubt | None
    told_by: str
    forwards: int
    seconds: float

    def __str__(self) -> str:
        found = "implausible" if self.doubt else "nothing speaks against it"
        return f"{found}, judged by {self.told_by} ({self.forwards} forwards, {self.seconds:.2f} s)"


def judge(opened: Opened, picture: Picture | None = None) -> Verdict:
    """Ask a model itself whether the chosen preprocessing is what it was trained with.

    Looked at are, as far as the file has them: the range that a quantised input lets in; the means that batch
    normalisation took off in training, against those that three photographs (and the `picture`) give under each usual
    preprocessing; where there are none, whether answers of many classes stay when a picture is shifted and differ
    between pictures; and the weights of the colours in the first convolution. A model that tells nothing is not
    doubted, nor is an untrained one. Cost: five or six times three or four forwards of the first layers, or twice as
    many of the whole model where it has no batch normalisation.
    """
    started = time.perf_counter()
    doubt, told, forwards = found_in(opened, picture)
    return Verdict(doubt, told, forwards, time.perf_counter() - started)


def found_in(opened: Opened, picture: Picture | None) -> tuple[Doubt | None, str, int]:
    if opened.picture.dtype == "uint8":
        return by_colours(opened), "the weights of the colours: uint8 takes pixels as they are", 0
    recorded = recorded_range(opened.graph.proto, opened.picture.name)
    if recorded is not None:
        return by_range(opened, recorded) or by_colours(opened), "the range of its quantised input", 0
    try:
        found = centring(opened, picture)
    except SplitError:  # other inputs reach the first layers
        return by_colours(opened), "the weights of the colours", 0
    if found.tells:
        return by_centring(found) or by_colours(opened), "the means of its first layers", found.forwards
    doubt, forwards = by_answers(opened, picture)
    told = "its answers to pictures and shifted ones" if forwards else "the weights of the colours alone"
    return doubt or by_colours(opened), told, found.forwards + forwards


def preset(name: str) -> tuple[str, str]:
    return name, f"--preprocessing {name}"


# --- the range of a quantised input ---


def by_range(opened: Opened, recorded: tuple[float, float]) -> Doubt | None:
    asked = candidates(opened)
    shares = {name: overlap(values_range(values), recorded) for name, values in asked.items()}
    best = max(shares, key=lambda name: shares[name])
    if shares[CHOSEN] >= OVERLAP or shares[best] < OVERLAP:
        return None
    low, high = values_range(asked[CHOSEN])
    reason = f"it gives {low:.3g} to {high:.3g}, the quantised input takes {recorded[0]:.3g} to {recorded[1]:.3g}"
    return Doubt(reason, *preset(best))


def values_range(values: Values) -> tuple[float, float]:
    mean, std = np.broadcast_arrays(values.mean, values.std)
    ends = (np.array([[0.0], [255.0]]) * values.scale - mean) / std
    return float(ends.min()), float(ends.max())


def overlap(one: tuple[float, float], other: tuple[float, float]) -> float:
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    return shared / max(one[1] - one[0] + other[1] - other[0] - shared, 1e-12)


# --- the means that batch normalisation took off ---


def by_centring(found: Centring) -> Doubt | None:
    excess = found.score(CHOSEN) - found.score(found.best)
    if excess < WORSE and not found.beyond:
        return None
    reason = "the means of its first layers are far from those of the training"
    return Doubt(f"{reason} ({np.exp(excess):.3g} times the best)", *preset(found.best))


# --- answers, where nothing was centred ---


def by_answers(opened: Opened, picture: Picture | None) -> tuple[Doubt | None, int]:
    """Doubt values under which a trained model contradicts itself, or says the same of everything.

    Too strong an input makes answers certain and unstable: of a slightly shifted picture it says something else,
    worse than guessing. Too weak a one leaves them as they are without any. Either is a sign only if some candidate
    gives answers that are stable and differ.
    """
    seen = neighbours(opened.graph.proto, opened.picture)
    if opened.logits.classes < MANY or opened.chosen or seen is None or seen < TRAINED:
        return None, 0
    score = open_whole(opened).score
    pictures = [*photographs()[:2], *([picture] if picture else [])]
    marks = {
        name: agreement(score, inputs_of(opened, values, pictures), opened)
        for name, values in candidates(opened).items()
    }
    good = [name for name, (stays, leads, _) in marks.items() if stays > GUESSING and leads > SEEING]
    stays, leads, _ = marks[CHOSEN]
    forwards = 3 * len(pictures) * len(marks)
    if not good or (stays >= GUESSING and leads >= BLIND):
        return None, forwards
    best = max(good, key=lambda name: marks[name][2])
    reason = "its answers change when a picture is shifted" if stays < GUESSING else "it answers the same to everything"
    return Doubt(reason, *preset(best)), forwards


def agreement(
    score: Callable[[NDArray[Any]], Floats], inputs: list[NDArray[Any]], opened: Opened
) -> tuple[float, float, float]:
    """Return the mean of sum p log q over a picture and its shifts, its lead over other pictures', and sharpness.

    Sharpness is how many deviations the highest logit lies above their mean, which no scale of the logits changes.
    """
    rows, columns = (2, 3) if opened.picture.layout == "NCHW" else (1, 2)
    shifts = [(axis, max(1, inputs[0].shape[axis] // 16)) for axis in (rows, columns)]
    views = [[each, *(np.roll(each, by, axis) for axis, by in shifts)] for each in inputs]
    logits = np.stack([[score(view)[0] for view in each] for each in views]).astype(np.float64)  # [picture, view, C]
    log = logits - logits.max(-1, keepdims=True)
    log -= np.log(np.exp(log).sum(-1, keepdims=True))
    table = np.einsum("pvc,qwc->pqvw", np.exp(log), log) / np.log(logits.shape[-1])
    same = np.mean([table[p, p, v, w] for p in range(len(inputs)) for v, w in permutations(range(3), 2)])
    other = np.mean([table[p, q].mean() for p, q in permutations(range(len(inputs)), 2)])
    sharp = ((logits.max(-1) - logits.mean(-1)) / (logits.std(-1) + 1e-12)).mean()
    return float(same), float(same - other), float(sharp)


# --- the order of the colours ---


def by_colours(opened: Opened) -> Doubt | None:
    """Doubt the order of the colours where blue's weights would be much larger than red's.

    Photographs have the least detail in blue, and models give it the smallest weights: of 12 models, whether their
    order is RGB or BGR, none had larger ones for blue. Norms of random weights differ by 1 / sqrt(their number).
    """
    found = colour_weights(opened.graph.proto, opened.picture) if opened.picture.channels == 3 else None
    now = opened.preprocessing
    if found is None or found[0].min() <= 0:
        return None
    norms, count = found
    red, blue = (0, 2) if now.color == "RGB" else (2, 0)
    ratio = float(norms[blue] / now.std[blue] / (norms[red] / now.std[red]))
    if np.log(ratio) < max(COLOURS, 3 / np.sqrt(count)):
        return None
    other = "BGR" if now.color == "RGB" else "RGB"
    reason = f"the first convolution would give blue {ratio:.2g} times the weight of red"
    record = f'config.json beside the model: {{"preprocessing": {{"color": "{other}", ...}}}}'
    return Doubt(reason, f"the order {other}", record)

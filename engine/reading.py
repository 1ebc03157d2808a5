"""How a detector's outputs are read where their shapes leave it open: as asked for, else by the values of a picture."""

import re
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .chosen import LISTED, NONE, BoxForm, BoxUnit, DetectorKind, Reading, ScoreForm
from .errors import ModelError, OptionError
from .graph.detector import KINDS, Found
from .named import named

SHARES = 2.0
"""No coordinate of a box in shares of the input is larger; in pixels some is, unless every box lies in a corner."""
Raw = list[NDArray[Any]]
"""The outputs of a run."""


def asked_reading(text: str | None) -> tuple[str | None, dict[str, Any]]:
    """Return the kind and the other fields of a Reading that `--detector` gives; OptionError where it cannot be."""
    if text is None:
        return None, {}
    kind, options = named("detector", text if text.split(":")[0] else "?", {name: name for name in KINDS})
    forms = {"boxes": get_args(BoxForm), "unit": get_args(BoxUnit), "scores": get_args(ScoreForm)}
    for name, value in options.items():
        if name == "background" and re.fullmatch(r"-1|\d{1,5}", value):
            continue
        if value not in forms.get(name, ()):
            known = "; ".join(f"{form}={'|'.join(values)}" for form, values in forms.items())
            raise OptionError(f"expected {known}; background=N (-1: none) after --detector {kind}, got {name}={value}")
    return kind, {name: int(value) if name == "background" else value for name, value in options.items()}


def raw_boxes(kind: str, outputs: Raw) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the four numbers of each box `[n, 4]` and all scores `[n, C]`, as the model gives them."""
    if kind == "pair":
        return outputs[1][0], outputs[0][0]
    if kind == "lists":
        return outputs[0].reshape(-1, 4), outputs[2].reshape(-1, 1)
    rows = outputs[0][0].T if kind == "columns" else outputs[0].reshape(-1, outputs[0].shape[-1])
    first, score = {"caffe": (3, 2), "numbered": (1, 6), "objectness": (0, 4)}.get(kind, (0, 4))
    scores = rows[:, score : score + 1] if kind in LISTED else rows[:, score:]
    return rows[:, first : first + 4], scores


def guessed(kind: DetectorKind, found: Found, boxes: NDArray[Any], scores: NDArray[Any], told: str | None) -> Reading:
    """Guess what the shapes leave open from the values of a picture; ModelError where scores are no probabilities."""
    low, high = (float(end) for end in (scores.min(initial=0), scores.max(initial=0)))
    if told is None and not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ModelError(
            f"expected scores in 0..1, {found.outputs[0]} goes from {low:.3g} to {high:.3g}: say what makes "
            f"probabilities of them, --detector {kind}:scores=softmax or --detector {kind}:scores=sigmoid"
        )
    form, why = form_of(kind, found.outputs, boxes)
    most = float(np.abs(boxes).max(initial=0))
    unit: BoxUnit = "share" if 0 < most <= SHARES else "pixels"
    background, nothing = background_of(kind, softmax(scores) if told == "softmax" else scores)
    reason = f"{found.reason}; {why}; their largest number is {most:.4g}, so they count in {unit}; {nothing}"
    return Reading(kind, found.outputs, form, unit, "plain", background, found.classes, reason)


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[Any] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def form_of(kind: str, names: Sequence[str], boxes: NDArray[Any]) -> tuple[BoxForm, str]:
    if "detection_boxes" in names[0]:
        return "yx", f"boxes named {names[0]} are TensorFlow's, top before left"
    if kind in LISTED:
        return "corners", "boxes are corners, as usual after suppression"
    if ((boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])).all():
        return "corners", "boxes are corners: the second is never above or left of the first"
    return "centre", "boxes are centre and size: as corners some would be inside out"


def background_of(kind: str, scores: NDArray[Any]) -> tuple[int, str]:
    many = kind in ("pair", "rows", "columns") and scores.shape[1] > 1 and len(scores)
    if many and np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        mean = scores.mean(axis=0)
        nothing = int(mean.argmax())
        return nothing, f"scores sum to 1 and class {nothing} has {mean[nothing]:.0%} of them: it is the background"
    return NONE, "no class is a background"

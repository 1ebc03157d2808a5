"""How a detector's outputs are read where their shapes leave it open: as asked for, else by the values of a picture."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .chosen import LISTED, NONE, BoxForm, BoxUnit, DetectorKind, Level, Reading, ScoreForm
from .errors import ModelError, OptionError
from .graph.detector import KINDS, Found, cells
from .named import named

SHARES = 2.0
"""No coordinate of a box in shares of the input is larger; in pixels some is, unless every box lies in a corner."""
MOVES = 0.5
"""Correlation of boxes with the places of their cells above which they are places themselves."""
NEARLY = 1e-3
"""Sizes may be below 0 by so much of the largest number, by rounding."""
STRIDES = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
"""Pixels along the cells of each level of a detector, as these are usual."""
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


def raw_boxes(kind: str, found: Found, outputs: Raw) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the four numbers of each box `[n, 4]` and all scores `[n, C]`, as the model gives them."""
    if kind == "pair":
        return outputs[1][0], outputs[0][0]
    if kind == "lists":
        return outputs[0].reshape(-1, 4), outputs[2].reshape(-1, 1)
    rows = outputs[0][0].T if kind == "columns" else outputs[0].reshape(-1, outputs[0].shape[-1])
    first, score = {"caffe": (3, 2), "numbered": (1, 6)}.get(kind, (0, 4))
    count = 1 if kind in LISTED else found.classes + (kind == "objectness")
    return rows[:, first : first + 4], rows[:, score : score + count]


def guessed(
    kind: DetectorKind,
    found: Found,
    boxes: NDArray[Any],
    scores: NDArray[Any],
    sides: tuple[int, int],
    told: Mapping[str, Any],
) -> Reading:
    """Read what the shapes leave open from the values of a picture, but for what is told.

    `boxes` `[n, 4]` and `scores` `[n, C]` are the model's, `sides` height and width of its input. ModelError where
    scores are no probabilities, or boxes none.
    """
    low, high = (float(end) for end in (scores.min(initial=0), scores.max(initial=0)))
    if "scores" not in told and not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ModelError(
            f"expected scores in 0..1, {found.outputs[0]} goes from {low:.3g} to {high:.3g}: say what makes "
            f"probabilities of them, --detector {kind}:scores=softmax or --detector {kind}:scores=sigmoid"
        )
    levels = levels_of(len(boxes), sides)
    form, why = (told["boxes"], "boxes as asked for") if "boxes" in told else form_of(kind, found, boxes, levels)
    if form == "cells" and not levels:
        raise ModelError(f"expected a box for each cell of {sides[0]} x {sides[1]} pixels, got {len(boxes)} boxes")
    most = float(np.abs(boxes).max(initial=0))
    unit: BoxUnit = "share" if 0 < most <= SHARES and form != "cells" else "pixels"
    counted = "" if form == "cells" else f"; their largest number is {most:.4g}, so they count in {unit}"
    background, nothing = background_of(kind, softmax(scores) if told.get("scores") == "softmax" else scores)
    said = f"{found.reason}; {why}{counted}; {nothing}"
    classes, used = found.classes, levels if form == "cells" else ()
    return replace(Reading(kind, found.outputs, form, unit, "plain", background, classes, said, used), **told)


def softmax(scores: NDArray[Any]) -> NDArray[Any]:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: NDArray[Any] = odds / odds.sum(axis=1, keepdims=True)
    return shares


def form_of(kind: str, found: Found, boxes: NDArray[Any], levels: Sequence[Level]) -> tuple[BoxForm, str]:
    name = found.outputs[0]
    if "detection_boxes" in name:
        return "yx", f"boxes named {name} are TensorFlow's, top before left"
    if kind in LISTED:
        return "corners", "boxes are corners, as usual after suppression"
    if levels and along_cells(boxes, levels) < MOVES:
        said = " and ".join(f"{rows} x {columns} cells of {side} pixels" for rows, columns, side in levels)
        return "cells", f"there is a box for each of {said}, and they do not lie where these do: they are offsets"
    if ((boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1])).all():
        return "corners", "boxes are corners: the second is never above or left of the first"
    if boxes[:, 2:].min() >= -NEARLY * np.abs(boxes).max():
        return "centre", "boxes are centre and size: as corners some would be inside out"
    raise ModelError(
        f"no boxes can be read from {found.outputs[-1]}: as corners some are inside out, as centre and size some have "
        "negative sizes; offsets to anchors need what the file does not hold: export the model with its decoding"
    )


def along_cells(boxes: NDArray[Any], levels: Sequence[Level]) -> float:
    """Return how closely boxes lie where their cells do: a correlation, of columns or rows, whichever is less."""
    origin, stride = cells(levels)
    places = ((origin + 0.5) * stride)[0].T
    found = [np.cov(place, numbers) for place, numbers in zip(places, boxes[:, :2].T.astype(np.float64), strict=True)]
    return float(min(both[0, 1] / np.sqrt(both[0, 0] * both[1, 1] + 1e-12) for both in found))


def levels_of(count: int, sides: tuple[int, int]) -> tuple[Level, ...]:
    """Return the grids of one cell a box that a detector with an input of these sides has; none where none fits."""
    for strides in STRIDES:
        levels = tuple((sides[0] // stride, sides[1] // stride, stride) for stride in strides)
        if sum(rows * columns for rows, columns, _ in levels) == count:
            return levels
    return ()


def background_of(kind: str, scores: NDArray[Any]) -> tuple[int, str]:
    many = kind in ("pair", "rows", "columns") and scores.shape[1] > 1 and len(scores)
    if many and np.allclose(scores.sum(axis=1), 1, atol=1e-2):
        mean = scores.mean(axis=0)
        nothing = int(mean.argmax())
        return nothing, f"scores sum to 1 and class {nothing} has {mean[nothing]:.0%} of them: it is the background"
    return NONE, "no class is a background"

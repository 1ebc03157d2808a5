"""Run a detector on a picture: how its outputs are read, what it finds, and the box that a user chooses of that."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .chosen import LISTED, NONE, Box, ChosenBox, Detection, Reading
from .errors import OptionError
from .graph.chosen import reader
from .graph.content import content_of
from .graph.cut import Part, extract
from .graph.detector import before_activation, recognise
from .labels import choose_labels, find_label, listed_labels
from .open_model import Ends, measure, open_ends
from .preprocess import prepare
from .reading import Raw, asked_reading, guessed, raw_boxes
from .runtime.device import choose_device
from .runtime.session import Session
from .types import Labels, Measured, Picture, Placement, Wishes

LEAST, IOU = 0.5, 0.5
"""The score above which a box counts as found, and how much a box must overlap to be the same."""
SUPPRESSION = 0.5
"""Of boxes of one class that overlap by more, the best is listed."""
MOST = 100
"""Boxes that are listed, best first."""


@dataclass(frozen=True)
class Seen:
    """What a detector finds in a picture, best first, and how its outputs were read for it."""

    reading: Reading
    labels: Labels
    detections: tuple[Detection, ...]


@dataclass(frozen=True)
class Detector:
    """An opened detector; ask `detect`."""

    ends: Ends
    wishes: Wishes
    session: Session
    measured: Measured

    def detect(self, picture: Picture, least: float = LEAST) -> Seen:
        """Return the boxes with a score above `least` after suppression, at most MOST.

        Raises ModelError where the outputs cannot be read as boxes. Cost: one forward.
        """
        inputs, placement = prepare(picture, self.ends.preprocessing, self.ends.picture)
        outputs = dict(zip(self.session.outputs, self.session.run({self.ends.picture.name: inputs}), strict=True))
        reading = self.read_as(outputs)
        labels = labels_of(self.ends, reading, self.wishes.labels)
        raw = self.raw(reading, inputs, outputs)
        corners, shares, *listed = Session(reader(reading, raw, self.ends.graph.opset), threads=1).run(raw)
        classes, scores = best(reading, shares[0], listed)
        kept = suppressed(corners[0], classes, scores, least)
        sides = self.ends.preprocessing.width, self.ends.preprocessing.height
        found = [
            Detection(
                int(classes[i]),
                labels[int(classes[i])],
                float(scores[i]),
                in_picture(corners[0, i], reading, sides, placement),
                as_box(corners[0, i]),
                () if reading.kind in LISTED else tuple(map(float, shares[0, i])),
            )
            for i in kept
        ]
        return Seen(reading, labels, tuple(found))

    def raw(self, reading: Reading, inputs: NDArray[Any], outputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the tensors that are read; where they lie before the outputs the detector is run for them."""
        if outputs.keys() >= set(reading.outputs):
            return {name: outputs[name] for name in reading.outputs}
        part = extract(self.ends.graph.proto, self.measured, Part(self.ends.picture.name, reading.outputs))
        session = Session(content_of(part), threads=self.wishes.threads)
        return dict(zip(reading.outputs, session.run({self.ends.picture.name: inputs}, reading.outputs), strict=True))

    def read_as(self, outputs: dict[str, NDArray[Any]]) -> Reading:
        """Say how these outputs are read: as asked for, the rest by their shapes, names and values."""
        asked, options = asked_reading(self.wishes.detector)
        seen = {name: self.measured.values[name] for name in outputs if name in self.measured.values}
        kind, found = recognise(seen, asked)
        boxes, scores = raw_boxes(kind, found, [outputs[name] for name in found.outputs])
        sides = self.ends.preprocessing.height, self.ends.preprocessing.width
        reading = guessed(kind, found, boxes, scores, sides, options)
        if kind == "pair" and "scores" not in options:
            inner, form = before_activation(self.ends.graph.proto, found.outputs[0])
            reading = replace(reading, outputs=(inner, found.outputs[1]), scores=form)
        if reading.background >= max(1, reading.classes):
            raise OptionError(f"expected a background of 0 to {reading.classes - 1}, got {reading.background}")
        return reading


def open_detector(path: str | Path, wishes: Wishes | None = None) -> Detector:
    """Read a model file and run it once in a child process under a memory limit, as `load` does.

    Raises ModelError, OptionError. Cost: a parse, a process start and two or three forwards.
    """
    wishes = wishes or Wishes()
    asked_reading(wishes.detector)
    ends = open_ends(path, wishes, whole=True)
    measured = measure(ends.graph, ends.picture, ends.samples, wishes.memory)
    device, _ = choose_device(wishes.device)
    session = Session(content_of(ends.graph.proto), device=device, threads=wishes.threads)
    return Detector(ends, wishes, session, measured)


def labels_of(ends: Ends, reading: Reading, file: Path | None) -> Labels:
    """Find the names of the classes; those of lists may be any number."""
    known: dict[str, Any] = {"file": file, "metadata": ends.graph.metadata, "config": ends.config}
    if reading.classes == 0:
        return listed_labels(**known)
    try:
        return choose_labels(reading.classes, single="object", **known)
    except OptionError:
        if reading.background == NONE:
            raise
        found = choose_labels(reading.classes - 1, single="object", **known)  # names of what is something
        at = reading.background
        return Labels((*found.names[:at], "background", *found.names[at:]), found.reason)


# ----- what was found -----


def best(reading: Reading, shares: NDArray[Any], listed: Raw) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return class and score `[n]` of each box."""
    if listed:
        return np.rint(listed[0][0, :, 0]).astype(np.intp), shares[:, 0]
    something = shares.copy()
    if reading.background != NONE:
        something[:, reading.background] = -1
    classes = something.argmax(axis=1)
    return classes, something[np.arange(len(classes)), classes]


def suppressed(corners: NDArray[Any], classes: NDArray[np.intp], scores: NDArray[Any], least: float) -> list[int]:
    """Return the boxes that are left of a class, best first, when those that overlap a better one are gone."""
    order = [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > least]
    left: list[int] = []
    for i in order:
        rivals = [j for j in left if classes[j] == classes[i]]
        if not rivals or iou(corners[i], corners[rivals]).max() <= SUPPRESSION:
            left.append(i)
        if len(left) == MOST:
            break
    return left


def iou(box: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the intersection over union `[n]` of a box `[4]` with others `[n, 4]`, all as corners."""
    box, others = np.asarray(box, np.float64), np.asarray(others, np.float64)
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    inside = sides.clip(0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).clip(0).prod(axis=1) + (box[2:] - box[:2]).clip(0).prod()
    shared: NDArray[np.float64] = inside / np.maximum(areas - inside, 1e-12)
    return shared


def in_picture(corners: NDArray[Any], reading: Reading, sides: tuple[int, int], placement: Placement) -> Box:
    """Bring corners to pixels of the picture."""
    width, height = placement.right - placement.left, placement.bottom - placement.top
    across, down = (1, 1) if reading.unit == "share" else sides
    left, top, right, bottom = (float(edge) for edge in corners)
    return (
        placement.left + left / across * width,
        placement.top + top / down * height,
        placement.left + right / across * width,
        placement.top + bottom / down * height,
    )


def as_box(corners: NDArray[Any]) -> Box:
    left, top, right, bottom = (float(edge) for edge in corners)
    return left, top, right, bottom


# ----- which one -----


def choose_box(
    seen: Seen, asked: str, *, iou_least: float = IOU, least: float = LEAST, target: str | None = None
) -> ChosenBox:
    """Choose a found box by its number in the list (from 1), or by left,top,right,bottom in the picture.

    Corners mean the found box that overlaps them most, by at least half; `target` names its class. OptionError
    where there is none.
    """
    if not 0 < iou_least <= 1:
        raise OptionError(f"expected an IoU above 0 and up to 1, got {iou_least:g}; 0.5 is usual")
    found = list(enumerate(seen.detections, 1))
    if target is not None:
        wanted = find_label(seen.labels, target)
        found = [(number, one) for number, one in found if one.index == wanted]
    if not found:
        what = "box" if target is None else f"box of class {target!r}"
        raise OptionError(f"no {what} with a score above {least:g} is found in this picture; try a lower --score")
    edges = box_of(asked)
    if isinstance(edges, int):
        chosen = dict(found).get(edges)
        if chosen is None:
            raise OptionError(
                f"expected the number of a found box, {numbers(found)}, got {edges}; ddcam detect lists them"
            )
        return ChosenBox(seen.reading, chosen, iou_least, least)
    shared = iou(np.array(edges), np.array([one.box for _, one in found]))
    number, chosen = found[int(shared.argmax())]
    if shared.max() < SUPPRESSION:
        raise OptionError(f"no found box has an IoU of {SUPPRESSION} with {asked}; the nearest is number {number}, "
                          f"{chosen} (IoU {shared.max():.2f}); ddcam detect lists them")  # fmt: skip
    return ChosenBox(seen.reading, chosen, iou_least, least)


def numbers(found: Sequence[tuple[int, Detection]]) -> str:
    first, last = found[0][0], found[-1][0]
    return f"{first} to {last}" if len(found) > 1 else str(first)


def box_of(text: str) -> int | Box:
    """Read the number of a box, or its corners; OptionError for anything else."""
    if re.fullmatch(r"\d{1,9}", text.strip()):
        return int(text)
    return corners_of(text, "--box", "a number from ddcam detect, or ")


def corners_of(text: str, option: str, more: str = "") -> Box:
    """Read left,top,right,bottom in pixels of the picture."""
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = float("nan")
    if not (-np.inf < left < right < np.inf and -np.inf < top < bottom < np.inf):  # false for NaN too
        raise OptionError(f"expected {more}LEFT,TOP,RIGHT,BOTTOM in pixels of the picture for {option}, got {text!r}")
    return left, top, right, bottom

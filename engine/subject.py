"""What a model decides about: a photograph as a whole, a box in it or a region; found by trying one after the other."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .check import photographs
from .detector import choose_box, open_detector
from .errors import ModelError
from .open_model import Opened, open_model
from .region import choose_region
from .types import Picture, Wishes

Result = Literal["works", "remark", "refused", "n/a"]
"""It works; it does, but read why; it does not, although it could be asked for; it is not for such a model."""


@dataclass(frozen=True)
class Row:
    """A thing that can be asked of a model, what came of trying it and why; `methods` names those that are meant."""

    what: str
    result: Result
    why: str
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subject:
    """A model opened for what it decides about: a photograph, or a box or a region in it."""

    path: Path
    opened: Opened
    wishes: Wishes
    pictures: tuple[Picture, ...]


def open_as_it_is(path: Path, wishes: Wishes) -> tuple[Subject | None, list[Row]]:
    """Open a model as a classifier, else for the best box, else for a region of a photograph."""
    ways = {"classes": as_classifier, "boxes": as_detector, "regions": as_segmenter}
    subject, rows = None, []
    for what, way in ways.items():
        if subject is not None:
            rows.append(Row(what, "n/a", "not tried, as it decides about what is above"))
            continue
        try:
            subject, why = way(path, wishes)
            rows.append(Row(what, "works", why))
        except ModelError as refusal:
            rows.append(Row(what, "refused", str(refusal)))
    if subject is None:
        return None, rows
    return subject, [replace(row, result="n/a") if row.result == "refused" else row for row in rows]


def as_classifier(path: Path, wishes: Wishes) -> tuple[Subject, str]:
    opened = open_model(path, wishes)
    logits = opened.logits
    said = f"{logits.classes} {'classes' if logits.classes > 1 else 'score'}: {logits.reason}"
    return Subject(path, opened, wishes, photographs()), said


def as_detector(path: Path, wishes: Wishes) -> tuple[Subject, str]:
    """Open for the best box of a photograph, however low its score: what is tried is the model, not the picture."""
    picture = photographs()[0]
    seen = open_detector(path, wishes).detect(picture, 0.0)
    if not seen.detections:
        raise ModelError(f"no box has a score above 0 in a photograph (read as {seen.reading})")
    best = max(one.score for one in seen.detections)
    chosen = choose_box(seen, "1", least=0.9 * best)
    opened = open_model(path, wishes, chosen, picture)
    return Subject(path, opened, wishes, (picture,)), f"read as {seen.reading}: {seen.reading.reason}"


def as_segmenter(path: Path, wishes: Wishes) -> tuple[Subject, str]:
    """Open for the middle of a photograph."""
    picture = photographs()[0]
    height, width = picture.pixels.shape[:2]
    chosen = choose_region(path, picture, (width / 4, height / 4, 3 * width / 4, 3 * height / 4), wishes)
    opened = open_model(path, wishes, chosen, picture)
    return Subject(path, opened, wishes, (picture,)), f"scores of places at {chosen.output}"

"""Load a model for pictures: the same for all, or one for each with a box or region chosen in it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from .chosen import Box, ChosenBox
from .detector import IOU, LEAST, Detector, box_of, choose_box, open_detector
from .errors import OptionError
from .model import Model, load
from .region import choose_region
from .types import Picture, Wishes

ACROSS, LEAST_PATCHES, MOST = 4, 14, 32
"""Patches on a side of a box, and the fewest and most on a side of the input where the box is large or small."""


@dataclass(frozen=True)
class Choice:
    """What of a picture is to be explained, by default all of it.

    `box` is the number of a found box or its left,top,right,bottom, `region` a rectangle or a mask picture; `iou` is
    how much a box must overlap to be the same and `score` above which one is found; `target` the class of the box.
    """

    box: str | None = None
    region: Box | Picture | None = None
    iou: float | None = None
    score: float | None = None
    target: str | None = None

    @property
    def chooses(self) -> bool:
        """Whether a box or a region is asked about."""
        return self.box is not None or self.region is not None


@dataclass(frozen=True)
class Loader:
    """Gives the model for a picture; `ready` is the one for all pictures, where nothing is chosen in them."""

    load: Callable[[Picture], Model]
    ready: Model | None = None


def loader(path: str | Path, wishes: Wishes, choice: Choice) -> Loader:
    """Return what gives the model for a picture; what needs no picture is done, and refused, at once.

    Raises ModelError, SplitError, CheckError, DeviceError, OptionError; so does what is returned. Cost: of `load`, for
    each picture where something is chosen in it.
    """
    require_one(choice)
    if choice.box is not None:
        return Loader(partial(load_with_box, open_detector(path, wishes), choice))
    if choice.region is not None:
        return Loader(partial(load_with_region, path, wishes, choice.region))
    model = load(path, wishes)
    return Loader(lambda _: model, model)


def load_with_box(detector: Detector, choice: Choice, picture: Picture) -> Model:
    least, iou = choice.score or LEAST, choice.iou or IOU
    seen = detector.detect(picture, least)
    chosen = choose_box(seen, choice.box or "", iou_least=iou, least=least, target=choice.target)
    wishes = with_units(detector.wishes)
    if wishes.units == "patch" and wishes.patch is None:
        wishes = replace(wishes, patch=patch_for(detector, chosen))
    return load(detector.ends.graph.path, wishes, chosen, picture)


def load_with_region(path: str | Path, wishes: Wishes, region: Box | Picture, picture: Picture) -> Model:
    return load(path, with_units(wishes), choose_region(path, picture, region, wishes), picture)


def with_units(wishes: Wishes) -> Wishes:
    """Take patches where no units are asked for.

    Channels look for a kind of thing anywhere, and a few cells in the middle of a box are all that a detector needs
    of its last map: only patches say which parts of the picture the box is found by.
    """
    return wishes if wishes.units or wishes.split else replace(wishes, units="patch")


def patch_for(detector: Detector, chosen: ChosenBox) -> int:
    """Return a side of patches with ACROSS of them in the box's shorter side, at most MOST in the input's."""
    shown = detector.ends.preprocessing
    width, height = (1, 1) if chosen.reading.unit == "pixels" else (shown.width, shown.height)
    left, top, right, bottom = chosen.found.inner
    shorter, whole = min((right - left) * width, (bottom - top) * height), math.sqrt(shown.width * shown.height)
    return max(1, round(min(max(shorter / ACROSS, whole / MOST), whole / LEAST_PATCHES)))


def require_one(choice: Choice) -> None:
    """Raise OptionError for choices that do not go together, or that are no numbers of their kind."""
    if choice.box is not None and choice.region is not None:
        raise OptionError("expected a box or a region, got both; take one of them")
    if choice.box is None and (choice.iou is not None or choice.score is not None):
        raise OptionError("--iou and --score say which boxes are the same and found; choose one with --box")
    if choice.iou is not None and not 0 < choice.iou <= 1:
        raise OptionError(f"expected an IoU above 0 and up to 1, got {choice.iou:g}; 0.5 is usual")
    if choice.score is not None:
        require_score(choice.score)
    if choice.box is not None:
        box_of(choice.box)


def require_score(least: float) -> None:
    if not 0 < least < 1:
        raise OptionError(f"expected a score between 0 and 1, got {least:g}; 0.5 is usual")

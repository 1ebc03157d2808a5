"""A chosen box or region in a manifest: written, and read again without trust."""

import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from .chosen import (
    BoxForm,
    BoxUnit,
    Chosen,
    ChosenBox,
    ChosenRegion,
    Detection,
    DetectorKind,
    Level,
    Reading,
    ScoreForm,
)
from .errors import ExplanationError

MOST_CELLS = 10**6
"""More cells than any detector has."""
REGION = "region"
"""The array with the share of each place in a chosen region."""


def describe_chosen(chosen: Chosen | None) -> dict[str, Any] | None:
    """Return what a manifest says of it; the weights of a region are an array beside it."""
    if isinstance(chosen, ChosenRegion):
        said = {name: getattr(chosen, name) for name in ("output", "axis", "ending", "said")}
        return {"kind": "region", **said}
    return None if chosen is None else {"kind": "box", **asdict(chosen)}


def arrays_of(chosen: Chosen | None) -> dict[str, NDArray[Any]]:
    return {REGION: chosen.weights} if isinstance(chosen, ChosenRegion) else {}


def read_chosen(entry: Any, region: NDArray[Any] | None) -> Chosen | None:
    """Read what `describe_chosen` wrote; ExplanationError where it is something else."""
    if entry is None:
        return None
    try:
        return chosen_box(entry) if entry["kind"] == "box" else chosen_region(entry, region)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExplanationError(
            f"the manifest's chosen box or region is damaged ({error!r}); explain it again"
        ) from error


def chosen_box(entry: Mapping[str, Any]) -> ChosenBox:
    found, reading = entry["found"], {"levels": ()} | entry["reading"]  # earlier manifests have none
    detection = Detection(
        whole(found["index"]),
        str(found["label"]),
        real(found["score"]),
        corners(found["box"]),
        corners(found["inner"]),
        tuple(map(real, found["shares"])),
    )
    names = {field.name: reading[field.name] for field in fields(Reading)}
    if (names["boxes"] == "cells") != bool(names["levels"]):
        raise ValueError("its levels of cells")
    one_of(names["kind"], DetectorKind)
    one_of(names["boxes"], BoxForm)
    one_of(names["unit"], BoxUnit)
    one_of(names["scores"], ScoreForm)
    outputs = tuple(map(str, names["outputs"]))
    levels = tuple(level(one) for one in names["levels"])
    numbers = {name: whole(names[name], -1) for name in ("background", "classes")}
    if numbers["classes"] and not len(detection.shares) == numbers["classes"] > detection.index:
        raise ValueError("its scores are not one a class")
    return ChosenBox(
        Reading(**(names | numbers | {"outputs": outputs, "levels": levels})),
        detection,
        real(entry["iou"]),
        real(entry["least"]),
    )


def chosen_region(entry: Mapping[str, Any], weights: NDArray[Any] | None) -> ChosenRegion:
    if entry["kind"] != "region" or weights is None or weights.ndim != 2 or weights.dtype != np.float32:
        raise ValueError(f"{entry['kind']!r} without {REGION}.npy")
    if entry["ending"] not in ("none", "sigmoid") or entry["axis"] not in (1, 3):
        raise ValueError("its axis or ending")
    return ChosenRegion(str(entry["output"]), entry["axis"], entry["ending"], str(entry["said"]), weights)


def one_of(value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise ValueError(f"{value!r} is none of {get_args(choices)}")


def whole(value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value < 10**6:
        raise ValueError(f"{value!r} is no index")
    return value


def level(value: Any) -> Level:
    rows, columns, side = (whole(number, 1) for number in value)
    if rows * columns > MOST_CELLS:
        raise ValueError(f"{rows} x {columns} cells")
    return rows, columns, side


def real(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def corners(value: Any) -> tuple[float, float, float, float]:
    left, top, right, bottom = map(real, value)
    return left, top, right, bottom

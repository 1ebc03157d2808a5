"""What the metadata of an ONNX file says of the preprocessing, and ddcam's own way of writing it down."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_args

from ..errors import OptionError
from ..types import Fit
from .custom_vision import from_custom_vision
from .model_api import from_model_api
from .torchvision_preset import PRESET_KEYS, from_torchvision
from .values import (
    PRESETS,
    Color,
    Recorded,
    Resample,
    Values,
    deviations_of,
    free_values,
    number,
    numbers,
    parse_json,
    preset,
    share,
    shown,
    side,
)

Entry = TypeVar("Entry")

PIXEL_FORMATS: Mapping[str, Color] = {
    "gray8": "L",
    "rgb8": "RGB",
    "rgba8": "RGB",
    "bgr8": "BGR",
    "bgra8": "BGR",
}
PIXEL_RANGES: Mapping[str, Values] = {
    "nominalrange_0_255": PRESETS["raw"],
    "normalized_0_1": PRESETS["unit"],
    "normalized_1_1": PRESETS["symmetric"],
    "nominalrange_16_235": Values("RGB", 219 / 255, (-16.0,), (1.0,)),
}
PADDED_TASKS = ("detect", "segment", "pose", "obb")
"""The tasks for which Ultralytics' models, whose metadata have a stride too, want pictures in 0..1 on grey."""
OWN_KEYS = ("name", "height", "width", "fit", "crop", "resample", "color", "scale", "mean", "std", "reason")


def from_metadata(metadata: Mapping[str, str]) -> Recorded | None:
    """Read `metadata_props`; None where they say nothing of the preprocessing.

    Known, in this order: `preprocessing` (a preset's name, or JSON for `from_record`); the fields of a torchvision
    preset (`crop_size`, `mean`, ...); `mean` and `std` (numbers with commas between them, or a JSON list);
    `model_info ...`, which Intel's Model API writes; `task` and `stride`, which Ultralytics writes;
    `Image.BitmapPixelFormat` and `Image.NominalPixelRange` of the ONNX metadata page, which Windows ML reads, with
    what Azure Custom Vision adds to them. Without a range these mean 0..255, as there. Raises OptionError where a
    known key holds something else.
    """
    found = {key.lower(): value.strip() for key, value in metadata.items() if value.strip()}
    if "preprocessing" in found:
        return _own(found["preprocessing"])
    color = _looked_up(found, "image.bitmappixelformat", PIXEL_FORMATS)
    if "crop_size" in found and "mean" in found:
        return _torchvision(found)
    if "mean" in found or "std" in found:
        mean, std = (_listed(found, key) for key in ("mean", "std"))
        return Recorded("'mean' and 'std' in the model's metadata", free_values(mean, std, color or "RGB"))
    return from_model_api(found) or _ultralytics(found) or _images(found, color)


def _ultralytics(found: Mapping[str, str]) -> Recorded | None:
    """Detectors want the whole picture on grey, classifiers its centre; both in 0..1 and as large as recorded."""
    task = found.get("task")
    if task not in (*PADDED_TASKS, "classify") or "stride" not in found:
        return None
    sides = None
    if "imgsz" in found:
        try:
            listed = parse_json(found["imgsz"])
            height, width = listed if isinstance(listed, list) and len(listed) == 2 else (listed, listed)
            sides = side(height, "imgsz"), side(width, "imgsz")
        except OptionError as error:
            raise OptionError(f"'imgsz' in the model's metadata: {error}, or choose the preprocessing") from None
    fit: Fit = "crop" if task == "classify" else "pad"
    return Recorded("the model's metadata, which are Ultralytics'", PRESETS["unit"], sides, fit, 1.0)


def _images(found: Mapping[str, str], color: Color | None) -> Recorded | None:
    values = _looked_up(found, "image.nominalpixelrange", PIXEL_RANGES)
    if color is None and values is None:
        return None
    values = replace(values or PRESETS["raw"], color=color or "RGB")
    return from_custom_vision(found, Recorded("the Image.* keys in the model's metadata", values))


def _torchvision(found: Mapping[str, str]) -> Recorded:
    source = "torchvision's preset in the model's metadata"
    try:
        data = {k: found[k] if k == "interpolation" else parse_json(found[k]) for k in PRESET_KEYS if k in found}
        return replace(from_torchvision(data), source=source)
    except OptionError as error:
        raise OptionError(f"{source}: {error}, or choose the preprocessing") from None


def from_record(data: Mapping[str, Any], source: str) -> Recorded:
    """Read a `Preprocessing` that was written as JSON, whole or in part.

    `name` may be a preset, which the other keys then correct: `{"name": "unit", "crop": 1.0}`. Without a
    `scale`, `mean` and `std` are understood as in `free_values`. Raises OptionError.
    """
    if strange := [key for key in data if key not in OWN_KEYS]:
        raise OptionError(f"expected the keys {', '.join(OWN_KEYS)}, got {shown(strange[0])}; remove it")
    if ("height" in data) != ("width" in data):
        raise OptionError("expected both height and width or neither, got one of them; add the other")
    size = (side(data["height"], "height"), side(data["width"], "width")) if "height" in data else None
    return Recorded(
        source,
        _own_values(data),
        size,
        fit=_one_of(data, "fit", Fit),
        crop=share(data["crop"], "crop") if "crop" in data else None,
        resample=_one_of(data, "resample", Resample),
    )


def _own(text: str) -> Recorded:
    source = "'preprocessing' in the model's metadata"
    if text in PRESETS:
        return Recorded(source, PRESETS[text])
    try:
        data = parse_json(text)
        if not isinstance(data, Mapping):
            raise OptionError(f"expected a JSON object or a preset's name, got {shown(data)}; mend it")
        return from_record(data, source)
    except OptionError as error:
        raise OptionError(f"{source}: {error}, or choose the preprocessing") from None


def _own_values(data: Mapping[str, Any]) -> Values | None:
    """The preset if one is named, else what mean and std mean; then corrected by every key there is."""
    name = data.get("name")
    if name is not None and not isinstance(name, str):
        raise OptionError(f"expected a preset's name for name, got {shown(name)}; mend it")
    if name is not None and name in PRESETS:
        start = PRESETS[name]
    elif "scale" in data or "mean" in data or "std" in data:
        start = free_values(data.get("mean"), data.get("std"))
    elif name is None and "color" not in data:
        return None
    else:
        start = preset(name or "")
    return Values(
        _one_of(data, "color", Color) or start.color,
        number(data["scale"], "scale") if "scale" in data else start.scale,
        numbers(data["mean"], "mean") if "mean" in data else start.mean,
        deviations_of(data["std"], "std") if "std" in data else start.std,
    )


def _one_of(data: Mapping[str, Any], key: str, choices: Any) -> Any:
    """The value of a key out of a Literal; None without the key."""
    value = data.get(key)
    if value is not None and value not in get_args(choices):
        raise OptionError(f"expected {' or '.join(get_args(choices))} for {key}, got {shown(value)}; mend it")
    return value


def _looked_up(found: Mapping[str, str], key: str, table: Mapping[str, Entry]) -> Entry | None:
    value = found.get(key)
    if value is not None and value.lower() not in table:
        raise OptionError(
            f"expected one of {', '.join(table)} for {key} in the model's metadata, got {shown(value)}; "
            "choose the preprocessing"
        )
    return None if value is None else table[value.lower()]


def _listed(found: Mapping[str, str], key: str) -> object:
    text = found.get(key)
    if text is None:
        return None
    try:
        return numbers(parse_json(text if text.startswith("[") else f"[{text}]"), key)
    except OptionError as error:
        raise OptionError(f"{key!r} in the model's metadata: {error}, or choose the preprocessing") from None

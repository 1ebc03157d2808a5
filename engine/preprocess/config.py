"""What a file beside the model says of the preprocessing: of Hugging Face, timm, ddcam or others."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..types import Fit
from .custom_vision import MANIFEST, is_manifest, read_export
from .keras_config import from_keras, is_keras
from .metadata import from_metadata, from_record
from .torchvision_preset import from_torchvision, is_torchvision
from .values import (
    LIMIT,
    Color,
    Recorded,
    Resample,
    Values,
    deviations_of,
    number,
    numbers,
    parse_json,
    share,
    shown,
    side,
)

FILES = ("preprocessor_config.json", "image_converter.json", "preprocessor.json", "config.json")
"""Beside the model, the first that says something; `MODEL.json` goes before them, Custom Vision's manifest after."""
HUGGING_FACE_KEYS = ("image_processor_type", "image_mean", "do_resize", "do_center_crop", "do_rescale")
KERNELS: Mapping[object, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's codes, which Hugging Face writes."""

Frame = tuple[tuple[int, int] | None, Fit | None, float | None]
"""Size, fit and crop."""


def find_config(folder: Path, model: str = "") -> tuple[Mapping[str, Any], Path] | None:
    """Return the preprocessing configuration in a model's folder and its file; None where there is none.

    Looks at `MODEL.json` for the model's file MODEL.onnx, then at FILES, then at the manifest of Custom Vision if it is
    of this model; a file about something else (the model's layers, a sound) is passed over. Raises OptionError, with
    the file's name, if one cannot be read, is above 1 MB, is not a JSON object or does not hold what it should.
    """
    own = (f"{Path(model).stem}.json",) if model else ()
    for path in (folder / name for name in (*own, *FILES, MANIFEST)):
        if not os.path.isfile(path):  # False, not an error, in a folder that may not be searched
            continue
        try:
            data = _read(path)
            if is_manifest(data):
                data = read_export(data, folder, _read) if data["ModelFileName"] == model else {}
            if is_config(data):
                from_config(data)
                return data, path
        except OptionError as error:
            raise OptionError(f"{path}: {error}, or move the file away") from None
    return None


def is_config(data: Mapping[str, Any]) -> bool:
    """Say whether this is a preprocessing configuration that `from_config` reads."""
    return any(known(data) for known, _ in READERS)


def from_config(data: Mapping[str, Any]) -> Recorded:
    """Read a configuration of Hugging Face, timm, torchvision, Keras, Custom Vision or ddcam's own.

    That is `preprocessor_config.json`, timm's `config.json`, torchvision's preset, Keras' `config.json` or KerasHub's
    converter, Custom Vision's manifest with its metadata, or `{"preprocessing": {...}}` with fields of
    `Preprocessing`. Raises OptionError if it is none of them, a field has a wrong type, or it asks for what
    `Preprocessing` cannot say (padding, box and Hamming kernels).
    """
    read = next((read for known, read in READERS if known(data)), None)
    if read is None:
        raise OptionError(
            f"expected a Hugging Face preprocessor_config.json, a timm config.json or {{'preprocessing': ...}}, "
            f"got the keys {shown(list(data))}; choose another file"
        )
    return read(data)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(LIMIT + 1)
    except OSError as error:
        raise OptionError(f"expected a readable file, got {error.strerror}; mend it") from None
    if len(text) > LIMIT:
        raise OptionError(f"expected up to {LIMIT} bytes, got more; shorten it")
    data = parse_json(text)
    if not isinstance(data, Mapping):
        raise OptionError(f"expected a JSON object, got {shown(data)}; mend it")
    return data


def _is_own(data: Mapping[str, Any]) -> bool:
    return isinstance(data.get("preprocessing"), Mapping)


def _is_hugging_face(data: Mapping[str, Any]) -> bool:
    return any(key in data for key in HUGGING_FACE_KEYS)


def _is_export(data: Mapping[str, Any]) -> bool:
    return is_manifest(data) and ("metadata" in data or "label_names" in data)


def _from_own(data: Mapping[str, Any]) -> Recorded:
    return from_record(data["preprocessing"], "the preprocessing record beside the model")


def _from_export(data: Mapping[str, Any]) -> Recorded:
    """Read the metadata properties that Custom Vision's manifest names; its samples take 0..1 without them."""
    found = from_metadata(data.get("metadata", {}))
    return Recorded("Custom Vision's manifest") if found is None else replace(found, source="Custom Vision's manifest")


def _is_timm(data: Mapping[str, Any]) -> bool:
    return _timm(data) is not None


def _timm(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part of a timm configuration that is about pictures; older files have it at the top."""
    cfg = data.get("pretrained_cfg", data)
    return cfg if isinstance(cfg, Mapping) and "input_size" in cfg and "mean" in cfg else None


# --- Hugging Face ---


def _from_hugging_face(data: Mapping[str, Any]) -> Recorded:
    code = data.get("resample")
    if code is not None and (isinstance(code, bool | list | dict) or code not in KERNELS):
        raise OptionError(f"expected 0, 1, 2 or 3 for resample, got {shown(code)}; mend it")
    size, fit, crop = _frame(data)
    return Recorded(
        "the Hugging Face preprocessing config beside the model",
        _hugging_face_values(data),
        size,
        fit,
        crop,
        None if code is None else KERNELS[code],
    )


def _hugging_face_values(data: Mapping[str, Any]) -> Values | None:
    scale = number(data.get("rescale_factor", 1 / 255), "rescale_factor")
    scale = scale if _flag(data, "do_rescale", True) else 1.0
    mean, std = data.get("image_mean"), data.get("image_std")
    color: Color = "BGR" if _flag(data, "do_flip_channel_order", False) else "RGB"
    if not _flag(data, "do_normalize", mean is not None):
        mean, std = 0.0, 1.0
    elif mean is None or std is None:
        return None
    means, deviations = numbers(mean, "image_mean"), deviations_of(std, "image_std")
    if _flag(data, "rescale_offset", False):  # (x - 127.5) * scale
        means = tuple(m + 127.5 * scale for m in means)
    if _kind(data).startswith("EfficientNet") and _flag(data, "include_top", True):  # divides by std twice
        deviations = tuple(d * d for d in deviations)
    return Values(color, scale, means, deviations)


def _frame(data: Mapping[str, Any]) -> Frame:
    """Size, fit and crop; nothing where the pictures are not resized."""
    if not _flag(data, "do_resize", True) or data.get("size") is None:
        return None, None, None
    cropped = _flag(data, "do_center_crop", True) and data.get("crop_size") is not None
    target = _box(data["crop_size"], "crop_size") if cropped else None
    edge, box = _edge_or_box(data, target)
    if box is not None:
        height, width = target or box
        return (height, width), "stretch", _ratio(height, box[0])
    if _kind(data).startswith("ConvNext") and edge >= 384:  # it does not crop such large inputs
        return (edge, edge), "stretch", 1.0
    height, width = target or (edge, edge)
    return (height, width), "crop", _ratio(min(height, width), edge / _zoom(data))


def _edge_or_box(data: Mapping[str, Any], target: tuple[int, int] | None) -> tuple[int, tuple[int, int] | None]:
    """The short side, or height and width, before the crop.

    A bare number is the short side where a crop follows, else (and always in DeiT and BEiT) both sides.
    """
    size = data["size"]
    if isinstance(size, Mapping) and "shortest_edge" in size:
        return side(size["shortest_edge"], "size.shortest_edge"), None
    if isinstance(size, Mapping):
        return 0, _box(size, "size")
    square = _kind(data).startswith(("DeiT", "Beit")) or (target is None and "crop_pct" not in data)
    edge = side(size, "size")
    return edge, (edge, edge) if square else None


def _zoom(data: Mapping[str, Any]) -> float:
    if data.get("crop_pct") is not None:
        return share(data["crop_pct"], "crop_pct")
    return 224 / 256 if _kind(data).startswith(("ConvNext", "Levit")) else 1.0


def _box(value: object, what: str) -> tuple[int, int]:
    if not isinstance(value, Mapping):
        return side(value, what), side(value, what)
    return side(value.get("height"), f"{what}.height"), side(value.get("width"), f"{what}.width")


def _ratio(cropped: int, whole: float) -> float:
    if cropped > whole:
        raise OptionError(f"expected a crop_size within size, got {cropped} of {whole:g}; mend it")
    return cropped / whole


def _kind(data: Mapping[str, Any]) -> str:
    return str(data.get("image_processor_type") or data.get("feature_extractor_type") or "")


def _flag(data: Mapping[str, Any], key: str, default: bool) -> bool:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise OptionError(f"expected true or false for {key}, got {shown(value)}; mend it")
    return default if value is None else value


# --- timm ---


def _from_timm(data: Mapping[str, Any]) -> Recorded:
    cfg = _timm(data) or {}
    size = cfg["input_size"]
    if not (isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 3):
        raise OptionError(f"expected [channels, height, width] for input_size, got {shown(size)}; mend it")
    mode = cfg.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise OptionError(f"expected center or squash for crop_mode, got {shown(mode)}; mend it")
    wanted = cfg.get("interpolation") or "bicubic"
    kernel = next((k for k in KERNELS.values() if k == wanted), None)
    if kernel is None:
        raise OptionError(f"expected one of {', '.join(KERNELS.values())}, got {shown(wanted)}; mend it")
    return Recorded(
        "the timm config beside the model",
        Values("RGB", 1 / 255, numbers(cfg["mean"], "mean"), deviations_of(cfg.get("std"), "std")),
        (side(size[1], "input_size"), side(size[2], "input_size")),
        "crop" if mode == "center" else "stretch",
        share(cfg.get("crop_pct") or 0.875, "crop_pct"),
        kernel,
    )


READERS: tuple[tuple[Callable[[Mapping[str, Any]], bool], Callable[[Mapping[str, Any]], Recorded]], ...] = (
    (_is_own, _from_own),
    (_is_export, _from_export),
    (is_torchvision, from_torchvision),
    (_is_hugging_face, _from_hugging_face),
    (_is_timm, _from_timm),
    (is_keras, from_keras),
)
"""By what each kind is recognised and who reads it, the surest first."""

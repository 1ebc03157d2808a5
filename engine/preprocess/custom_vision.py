"""What Azure Custom Vision exports beside its models: a manifest, metadata properties and labels."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import OptionError
from ..types import Fit
from .values import Recorded, deviations_of, numbers, parse_json, shown, side

Reader = Callable[[Path], Mapping[str, Any]]

MANIFEST = "cvexport.manifest"
PREFIX = "customvision.preprocess."
SOURCE = "Custom Vision's keys in the model's metadata"
LABELS_LIMIT = 5_000_000
FITS: Mapping[tuple[str, str], Fit] = {
    ("stretch", "nocrop"): "stretch",
    ("byshortersidealign32", "fullimageshorterside"): "crop",
    ("stretch", "fullimageshorterside"): "crop",
}
"""What the methods of resizing and of cropping come to together; what is not listed says nothing."""


def from_custom_vision(found: Mapping[str, str], images: Recorded) -> Recorded:
    """Add what `CustomVision.Preprocess.*` (keys in lower case) say to what the `Image.*` keys do.

    `NormalizeMean` and `NormalizeStd` count in units of the pixel range. Raises OptionError.
    """
    keys = {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}
    if not keys or images.values is None:
        return images
    try:
        mean, std = (parse_json(keys.get(f"normalize{what}", text)) for what, text in (("mean", "0"), ("std", "1")))
        values = replace(images.values, mean=numbers(mean, "NormalizeMean"), std=deviations_of(std, "NormalizeStd"))
        size = _size(keys)
    except OptionError as error:
        raise OptionError(f"{SOURCE}: {error}, or choose the preprocessing") from None
    fit = FITS.get((keys.get("resizemethod", "").lower(), keys.get("cropmethod", "nocrop").lower()))
    return Recorded(SOURCE, values, size, fit, None if fit is None else 1.0)


def _size(keys: Mapping[str, str]) -> tuple[int, int] | None:
    height, width = (parse_json(keys.get(f"target{what}", "0")) for what in ("height", "width"))
    if height == width == 0:
        return None
    return side(height, "TargetHeight"), side(width, "TargetWidth")


def is_manifest(data: Mapping[str, Any]) -> bool:
    """Say whether this is a manifest of Custom Vision, with or without what `read_export` adds."""
    return "DomainType" in data and "ModelFileName" in data


def read_export(manifest: Mapping[str, Any], folder: Path, read: Reader) -> Mapping[str, Any]:
    """Return the metadata and the labels beside a manifest, as `{"metadata": ..., "label_names": ...}` more in it.

    `read` reads a JSON object from a path. Raises OptionError where a named file is not in the folder itself.
    """
    more: dict[str, Any] = {}
    if (props := _beside(manifest, "MetadataPropsFileName", folder)) is not None:
        more["metadata"] = {str(key): str(value) for key, value in read(props).items()}
    if (labels := _beside(manifest, "LabelFileName", folder)) is not None:
        with labels.open("rb") as file:
            text = file.read(LABELS_LIMIT).decode("utf-8-sig", errors="replace")
        more["label_names"] = [line.strip() for line in text.splitlines() if line.strip()]
    return {**manifest, **more}


def _beside(manifest: Mapping[str, Any], key: str, folder: Path) -> Path | None:
    name = manifest.get(key)
    if name is None:
        return None
    if not isinstance(name, str) or not name or Path(name).name != name or "\\" in name or "\0" in name:
        raise OptionError(f"expected the name of a file in the same folder for {key}, got {shown(name)}; mend it")
    return folder / name if (folder / name).is_file() else None

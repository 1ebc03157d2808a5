"""What torchvision's weights say of the preprocessing, as people write it beside a model.

`json.dump(vars(weights.transforms()))` gives the fields; `{**weights.meta, "transforms": vars(...)}` the names too.
"""

from collections.abc import Mapping
from typing import Any

from ..errors import OptionError
from .values import KERNEL_NAMES, Recorded, Values, deviations_of, numbers, shown, side

PRESET_KEYS = ("crop_size", "resize_size", "mean", "std", "interpolation", "antialias")


def is_torchvision(data: Mapping[str, Any]) -> bool:
    """Say whether these are the fields of torchvision's preset, or hold them under `transforms`."""
    fields = _fields(data)
    return "crop_size" in fields and "mean" in fields and "std" in fields and "image_processor_type" not in fields


def from_torchvision(data: Mapping[str, Any]) -> Recorded:
    """Read the fields of torchvision's `ImageClassification` preset, by themselves or under `transforms`.

    The short side becomes `resize_size`, then the centre of `crop_size` is taken, then `(x / 255 - mean) / std`.
    Raises OptionError.
    """
    fields = _fields(data)
    height, width = _sides(fields["crop_size"], "crop_size")
    short = _sides(fields.get("resize_size") or fields["crop_size"], "resize_size")[0]
    if min(height, width) > short:
        raise OptionError(f"expected a crop_size within resize_size, got {min(height, width)} of {short}; mend it")
    kernel = str(fields.get("interpolation") or "bilinear").lower().removeprefix("interpolationmode.")
    if kernel not in KERNEL_NAMES:
        raise OptionError(f"expected one of {', '.join(KERNEL_NAMES)} for interpolation, got {shown(kernel)}; mend it")
    values = Values("RGB", 1 / 255, numbers(fields["mean"], "mean"), deviations_of(fields["std"], "std"))
    crop = min(height, width) / short
    return Recorded(
        "torchvision's preset beside the model", values, (height, width), "crop", crop, KERNEL_NAMES[kernel]
    )


def _fields(data: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = data.get("transforms")
    return inner if isinstance(inner, Mapping) else data


def _sides(value: object, what: str) -> tuple[int, int]:
    """Read a number, `[n]` or `[height, width]`."""
    listed = value if isinstance(value, list | tuple) else [value]
    if len(listed) not in (1, 2):
        raise OptionError(f"expected one or two numbers of pixels for {what}, got {shown(value)}; mend it")
    return side(listed[0], what), side(listed[-1], what)

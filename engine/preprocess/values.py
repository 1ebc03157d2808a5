"""What a source can say of the preprocessing: values with their named presets, and the checks of both."""

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np

from ..errors import OptionError
from ..types import Fit

Color = Literal["RGB", "BGR", "L"]
Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Numbers = float | Sequence[float]

KERNEL_NAMES: Mapping[str, Resample] = MappingProxyType({kernel: kernel for kernel in get_args(Resample)})
LIMIT = 1_000_000
"""Characters of JSON that are parsed."""


@dataclass(frozen=True)
class Values:
    """Colour order, then `(x * scale - mean) / std`; one mean and std for all channels or one each."""

    color: Color
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Recorded:
    """What one source says of the preprocessing; None where it says nothing. `size` is height, width."""

    source: str
    values: Values | None = None
    size: tuple[int, int] | None = None
    fit: Fit | None = None
    crop: float | None = None
    resample: Resample | None = None


PRESETS: Mapping[str, Values] = MappingProxyType(
    {
        "imagenet": Values("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "unit": Values("RGB", 1 / 255, (0.0,), (1.0,)),
        "symmetric": Values("RGB", 1 / 127.5, (1.0,), (1.0,)),
        "raw": Values("RGB", 1.0, (0.0,), (1.0,)),
        "caffe": Values("BGR", 1.0, (103.939, 116.779, 123.68), (1.0,)),
        "cifar10": Values("RGB", 1 / 255, (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    }
)
"""Pixel values by name. The sizes, crops and kernels that go with them are chosen apart."""


def preset(name: str) -> Values:
    """Return the preset of that name. Raises OptionError, with the names there are."""
    if name not in PRESETS:
        raise OptionError(f"expected one of {', '.join(PRESETS)}, got {shown(name)}; take one")
    return PRESETS[name]


def free_values(mean: object, std: object, color: Color = "RGB") -> Values:
    """Return the values that a free mean and std mean: one number, or one for each channel.

    They are in units of 0..1 as in torch (scale 1/255), unless one of them is above 1: then in those of
    0..255 (scale 1). A missing mean is 0 and a missing std 1. Raises OptionError.
    """
    means = (0.0,) if mean is None else numbers(mean, "mean")
    deviations = (1.0,) if std is None else deviations_of(std, "std")
    scale = 1.0 if max(*means, *deviations) > 1 else 1 / 255
    return Values(color, scale, means, deviations)


def name_of(values: Values) -> str:
    """Return the name of the preset that is the same function of the pixels, or "custom"."""
    same = (name for name, known in PRESETS.items() if _same(values, known))
    return next(same, "custom")


def _same(one: Values, other: Values) -> bool:
    if one.color != other.color and "L" not in (one.color, other.color):
        return False
    pixels = np.array([[0.0], [255.0]])
    got, expected = ((pixels * v.scale - np.array(v.mean)) / np.array(v.std) + np.zeros((2, 3)) for v in (one, other))
    return np.allclose(got, expected, rtol=1e-6, atol=1e-6)


def numbers(value: object, what: str) -> tuple[float, ...]:
    """Return one or three finite numbers. Raises OptionError."""
    items = value.tolist() if isinstance(value, np.ndarray) else value
    items = list(items) if isinstance(items, Sequence) and not isinstance(items, str) else [items]
    if len(items) not in (1, 3):
        raise OptionError(f"expected 1 or 3 numbers for {what}, got {shown(value)}; give one a channel")
    return tuple(number(item, what) for item in items)


def deviations_of(value: object, what: str) -> tuple[float, ...]:
    """Return one or three numbers above 0. Raises OptionError."""
    found = numbers(value, what)
    if min(found) <= 0:
        raise OptionError(f"expected numbers above 0 for {what}, got {shown(value)}; give the deviations")
    return found


def number(value: object, what: str) -> float:
    """Return one finite number that float32 can hold. Raises OptionError."""
    plain = value.item() if isinstance(value, np.generic) else value
    # The comparison is exact for whole numbers of any length and false for NaN.
    if isinstance(plain, int | float) and not isinstance(plain, bool) and abs(plain) < 1e30:
        return float(plain)
    raise OptionError(f"expected a number for {what}, got {shown(value)}; give a finite number")


def share(value: object, what: str) -> float:
    """Return a number above 0 and up to 1, by which a side can be divided. Raises OptionError."""
    found = number(value, what)
    if not 1e-3 <= found <= 1:
        raise OptionError(f"expected a number above 0 and up to 1 for {what}, got {shown(value)}; mend it")
    return found


def side(value: object, what: str) -> int:
    """Return a number of pixels. Raises OptionError."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and 1 <= value <= 65536:
        return int(value)
    raise OptionError(f"expected a number of pixels from 1 to 65536 for {what}, got {shown(value)}; mend it")


def parse_json(text: str | bytes) -> object:
    """Parse JSON of any origin. Raises OptionError for whatever is wrong with it."""
    if len(text) > LIMIT:
        raise OptionError(f"expected up to {LIMIT} characters of JSON, got {len(text)}; shorten it")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionError(f"expected JSON, got something else ({error}); mend it") from None


def times(sides: tuple[int | None, int | None]) -> str:
    """Return height and width as text; what the model leaves free is "any"."""
    return "x".join("any" if length is None else str(length) for length in sides)


def shown(value: object) -> str:
    """Return a value as one short line for an error."""
    return reprlib.repr(value)

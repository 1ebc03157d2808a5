"""What Intel's Model API (OpenVINO, Training Extensions) writes into a model of how pictures become its input."""

from collections.abc import Mapping
from typing import TypeVar

from ..errors import OptionError
from ..types import Fit
from .values import Color, Recorded, Values, deviations_of, numbers, shown

Entry = TypeVar("Entry")

PREFIX = "model_info "
FITS: Mapping[str, Fit] = {
    "standard": "stretch",
    "crop": "crop",
    "fit_to_window": "pad",
    "fit_to_window_letterbox": "pad",
}
KNOWN = ("mean_values", "scale_values", "resize_type", "reverse_input_channels")
WRITTEN = {"true": True, "yes": True, "false": False, "no": False}


def from_model_api(found: Mapping[str, str]) -> Recorded | None:
    """Read the keys `model_info mean_values`, `... scale_values`, `... resize_type`, `... pad_value` of metadata.

    Values are separated by spaces and count in units of 0..255: `(x - mean) / scale`. `reverse_input_channels` says
    whether frames, whose order nobody records, are reversed before they enter: exporters write it False beside means
    of red, green, blue, and True beside them too. So the order is that of the means where they differ as ImageNet's
    do, and red, green, blue elsewhere. Raises OptionError. Source: model_api/adapters/onnx_adapter.py.
    """
    info = {key.removeprefix(PREFIX): value for key, value in found.items() if key.startswith(PREFIX)}
    if not any(key in info for key in KNOWN):
        return None
    try:
        means, deviations = _listed(info, "mean_values", "0"), _listed(info, "scale_values", "1")
        _choice(info.get("reverse_input_channels", "False").lower(), WRITTEN, "reverse_input_channels")
        fit = _choice(info["resize_type"], FITS, "resize_type") if "resize_type" in info else None
        values = Values(_color(numbers(means, "mean_values")), 1.0, *_checked(means, deviations))
    except OptionError as error:
        raise OptionError(f"'model_info' in the model's metadata: {error}, or choose the preprocessing") from None
    return Recorded(f"Model API's keys in the model's metadata{_border(info, fit)}", values, None, fit, 1.0)


def _listed(info: Mapping[str, str], key: str, otherwise: str) -> list[float]:
    try:
        return [float(part) for part in info.get(key, otherwise).split()]
    except ValueError:
        raise OptionError(f"expected numbers with spaces between them for {key}, got {shown(info[key])}") from None


def _checked(means: list[float], deviations: list[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return numbers(means, "mean_values"), deviations_of(deviations, "scale_values")


def _choice(value: str, choices: Mapping[str, Entry], key: str) -> Entry:
    if value not in choices:
        raise OptionError(f"expected one of {', '.join(choices)} for {key}, got {shown(value)}; mend it")
    return choices[value]


def _color(means: tuple[float, ...]) -> Color:
    """Blue is the darkest on average in photographs, red the brightest: ImageNet's 103.5, 116.3 and 123.7."""
    return "BGR" if len(means) == 3 and means[0] < means[1] < means[2] else "RGB"


def _border(info: Mapping[str, str], fit: Fit | None) -> str:
    centred = info.get("resize_type") == "fit_to_window_letterbox"
    if fit != "pad" or (centred and info.get("pad_value") == "114"):
        return ""
    return (
        f" (their border of {shown(info.get('pad_value', '0'))}{'' if centred else ' at one side'} is drawn as ddcam's)"
    )

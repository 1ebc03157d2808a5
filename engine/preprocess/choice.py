"""Which preprocessing a model wants, and who said so."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import OptionError, PictureError
from ..types import Fit, PictureInput, Preprocessing
from .arrays import ARRAY, choose_array, takes_arrays
from .config import from_config
from .metadata import from_metadata
from .values import (
    PRESETS,
    Numbers,
    Recorded,
    Values,
    free_values,
    name_of,
    preset,
    shown,
    side,
    times,
)

DTYPES = ("float32", "float16", "float64", "uint8")
DEFAULT_SIZE = 224
PIXEL_LIMIT = 1 << 24
"""Pixels of a model input: 4096 x 4096."""
OPTIONS = "the options"
UNRECORDED = "no preprocessing is recorded in the model"
ASSUMED = "; default for a "


def choose(  # noqa: PLR0913
    model_input: PictureInput,
    *,
    name: str | None = None,
    size: tuple[int, int] | None = None,
    fit: Fit | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    config: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    graph: Recorded | None = None,
    usual: Fit = "crop",
) -> Preprocessing:
    """Choose how pictures become input of this model, and say why in `reason`.

    Sources, each asked for what those before it leave open: the options > `metadata` in the model's file > `config`
    (a file beside it, which may lie there for another model) > `graph`, what the graph itself does to pixels (so that
    it takes them before that) > the default. The default values are `raw` for uint8, `unit` for one
    channel, `symmetric` for NHWC, else `imagenet`; the default fit is the `usual` one of such models, the default crop
    of a fit by cropping 0.875 from 96 pixels on, else 1.

    `name` is one of PRESETS; instead of it `mean` and `std` (one number or one a channel, in the model's
    channel order) count in units of 0..1 as in torch, or of 0..255 if one of them is above 1. `size` is
    height, width: option > metadata > config > the model's fixed size > 224. A uint8 input takes pixels as
    they are, whatever a record says.

    A model that takes no pictures of 1 or 3 channels is fed arrays as they are, and so is any with the name `array`;
    then only the options count, `mean` and `std` in the arrays' own units.

    Raises OptionError for an option or a record that does not exist or does not fit the model, PictureError
    if the model takes something that no picture is.
    """
    if name == ARRAY or (name is None and takes_arrays(model_input)):
        return choose_array(model_input, size, mean, std)
    require_picture_input(model_input)
    records = [_asked(name, size, mean, std, fit)]
    records += _of_metadata(metadata or {}, records)
    records += [] if config is None else [from_config(config)]
    records += [] if graph is None else [graph]
    values, why = _values(records, model_input)
    (height, width), why_size = _size(records, model_input)
    frame = next((r for r in records if r.fit or r.crop), Recorded("the default", fit=usual))
    chosen = frame.fit or "crop"
    crop = 0.875 if min(height, width) >= 96 and chosen == "crop" else 1.0
    return Preprocessing(
        name_of(values),
        height,
        width,
        chosen,
        frame.crop or crop,
        next((r.resample for r in records if r.resample), "bilinear"),
        values.color,
        values.scale,
        values.mean,
        values.std,
        f"{why}; {why_size}" if why_size else why,
    )


def is_assumed(chosen: Preprocessing) -> bool:
    """Tell whether the values are what such inputs usually take, because neither a record nor an option says them."""
    return ASSUMED in chosen.reason


def require_picture_input(model_input: PictureInput) -> None:
    """Raise PictureError unless pictures can be made into such an input."""
    if model_input.channels not in (1, 3):
        raise PictureError(
            f"expected a model input with 1 or 3 channels, got {model_input.name} with "
            f"{model_input.channels}; no picture fits it"
        )
    if model_input.dtype not in DTYPES:
        raise PictureError(
            f"expected a model input of {', '.join(DTYPES)}, got {model_input.name} of {model_input.dtype}; "
            "export the model with a float32 input"
        )


def _asked(
    name: str | None, size: tuple[int, int] | None, mean: Numbers | None, std: Numbers | None, fit: Fit | None
) -> Recorded:
    if name is not None and (mean is not None or std is not None):
        raise OptionError(f"expected a preset or a mean and std, got {name} and both; take one of them")
    if size is not None and (not isinstance(size, Sequence) or len(size) != 2):
        raise OptionError(f"expected height and width for the size, got {shown(size)}; give two numbers")
    sides = None if size is None else (side(size[0], "the height"), side(size[1], "the width"))
    if name is not None:
        return Recorded(OPTIONS, preset(name), sides, fit)
    if mean is None and std is None:
        return Recorded(OPTIONS, None, sides, fit)
    return Recorded(OPTIONS, free_values(mean, std), sides, fit)


def _of_metadata(metadata: Mapping[str, str], before: Sequence[Recorded]) -> list[Recorded]:
    """Unreadable metadata are an error only where they would decide the values."""
    try:
        found = from_metadata(metadata)
    except OptionError:
        if any(record.values for record in before):
            return []
        raise
    return [] if found is None else [found]


def _values(records: Sequence[Recorded], model_input: PictureInput) -> tuple[Values, str]:
    record = next((r for r in records if r.values is not None), None)
    if record is None or record.values is None:
        return _default(records, model_input)
    values = _for_channels(record.values, model_input.channels, record.source)
    why = f"{name_of(values)} from {record.source}"
    if model_input.dtype != "uint8" or _same_pixels(values):
        return values, why
    if record.source == OPTIONS:
        raise OptionError(
            f"expected raw pixels for the model's uint8 input {model_input.name}, got {name_of(values)}; "
            "ask for raw or for nothing"
        )
    raw = Values(values.color, 1.0, (0.0,) * model_input.channels, (1.0,) * model_input.channels)
    return raw, f"{why}, but the model's input is uint8 and takes pixels as they are"


def _default(records: Sequence[Recorded], model_input: PictureInput) -> tuple[Values, str]:
    kind = f"{model_input.channels}-channel {model_input.layout}"
    if model_input.dtype == "uint8":
        name, kind = "raw", f"{kind} uint8"
    elif model_input.channels == 1:
        name = "unit"
    else:
        name = "symmetric" if model_input.layout == "NHWC" else "imagenet"
    told = next((f"{r.source} has no mean and std" for r in records if r.source != OPTIONS), UNRECORDED)
    values = _for_channels(PRESETS[name], model_input.channels, "the default")
    return values, f"{told}{ASSUMED}{kind} input: {name}"


def _for_channels(values: Values, channels: int, source: str) -> Values:
    """The values with one mean and one std for each channel of the model."""
    one_for_all = len(set(values.mean)) == len(set(values.std)) == 1
    if not one_for_all and not {len(values.mean), len(values.std)} <= {1, channels}:
        raise OptionError(
            f"expected a mean and std for {channels} channel(s), got those of 3 from {source}; "
            "ask for unit, symmetric, raw or a mean and std of your own"
        )
    if channels == 3 and values.color == "L":
        raise OptionError(f"expected RGB or BGR for 3 channels, got grey from {source}; ask for a preset")
    mean, std = ((v * channels)[:channels] for v in (values.mean, values.std))
    return Values("L" if channels == 1 else values.color, values.scale, mean, std)


def _same_pixels(values: Values) -> bool:
    return values.scale == 1 and set(values.mean) == {0.0} and set(values.std) == {1.0}


def _size(records: Sequence[Recorded], model_input: PictureInput) -> tuple[tuple[int, int], str]:
    fixed = (model_input.height, model_input.width)
    record = next((r for r in records if r.size is not None), None)
    if record is None or record.size is None:
        height, width = (DEFAULT_SIZE if side is None else side for side in fixed)
        why = f"{height}x{width} by default, since the model leaves it free" if None in fixed else ""
    else:
        height, width = record.size
        why = f"{height}x{width} from {record.source}"
    if any(f not in (None, s) for f, s in zip(fixed, (height, width), strict=True)):
        raise OptionError(
            f"expected the size {times(fixed)} of the model's input {model_input.name}, got {why}; "
            f"ask for {times(fixed)}"
        )
    if height * width > PIXEL_LIMIT:
        raise OptionError(f"expected up to {PIXEL_LIMIT} pixels of model input, got {height}x{width}")
    return (height, width), why

"""Arrays in the place of pictures, for models of other channels than 1 or 3: they go in as they are."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError, PictureError
from ..types import Picture, PictureInput, Pixels, Placement, Preprocessing
from .values import Numbers, number, times

ARRAY = "array"
"""The preprocessing that does nothing but, where asked, take a mean off and divide by a deviation."""
COMMON = (1, 99)
"""Percentiles of an array that are drawn black and white."""
GRAIN = 0.1
"""Deviation of the noise on arrays that graphs are checked on."""
Size = tuple[int, ...]


def takes_arrays(model_input: PictureInput) -> bool:
    """Tell a model that no picture of 1 or 3 channels fits."""
    return model_input.form != "picture" or model_input.channels not in (1, 3)


def is_pixels(values: NDArray[Any]) -> bool:
    """Tell 8 bit pixels [H, W] or [H, W, 1, 3 or 4]."""
    return values.dtype == np.uint8 and (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3, 4)))


def arranged(picture: Picture, shown: Preprocessing, model_input: PictureInput) -> Picture:
    """Return a picture as this model takes it: an array with its axes in order, `[H, W, C]`, drawn by its first bands.

    8 bit pixels stay pixels where the model takes those. Raises PictureError where a picture cannot be what the model
    takes.
    """
    if shown.color != "bands":
        if picture.values is None or is_pixels(picture.values):
            return replace(picture, values=None)
        raise PictureError(
            f"expected 8 bit pixels for the preprocessing {shown.name}, {picture.name} is "
            f"{shape_text(picture.values)}; --preprocessing array feeds arrays as they are"
        )
    if picture.values is None:
        raise PictureError(
            f"expected an array {wanted(shown, model_input)} for {model_input.name}, {picture.name} is a picture of 3 "
            "colours; give an .npy or .npz file"
        )
    values = in_order(picture, shown, model_input)
    return replace(picture, values=values, pixels=preview(values))


def in_order(picture: Picture, shown: Preprocessing, model_input: PictureInput) -> NDArray[Any]:
    """Return the values of a picture as `[H, W, C]`; the first way to read its axes that fits the model counts."""
    values, channels, sizes = picture.values, model_input.channels, sizes_of(shown, model_input)
    assert values is not None
    if values.shape == (shown.height, shown.width, channels):
        return values
    whole = values[0] if values.ndim == len(sizes) + 2 and len(values) == 1 else values
    ways = [whole, np.moveaxis(whole, 0, -1)]
    ways = [whole[..., None], *(ways if model_input.form == "picture" else ways[::-1])]
    found = next((way for way in ways if way.shape == (*sizes, channels)), None)
    if found is None:
        raise PictureError(
            f"expected an array {wanted(shown, model_input)} for {model_input.name}, {picture.name} is "
            f"{shape_text(values)}; arrays are not resized"
        )
    return found.reshape(shown.height, shown.width, channels)


def sizes_of(shown: Preprocessing, model_input: PictureInput) -> Size:
    """Return the sizes of the axes besides the channels: of a picture two, of a series one, of a volume three."""
    height, width = shown.height, shown.width
    plain: dict[str, Size] = {"picture": (height, width), "series": (width,)}
    return plain.get(model_input.form, (model_input.depth, height // model_input.depth, width))


def wanted(shown: Preprocessing, model_input: PictureInput) -> str:
    sizes, channels = sizes_of(shown, model_input), model_input.channels
    one = f"{list(sizes)}, " if channels == 1 else ""
    return f"{one}{[channels, *sizes]} or {[*sizes, channels]}"


def shape_text(values: NDArray[Any]) -> str:
    return f"{values.dtype}{list(values.shape)}"


def choose_array(
    model_input: PictureInput, size: tuple[int, int] | None, mean: Numbers | None, std: Numbers | None
) -> Preprocessing:
    """Choose how arrays become input of a model: as they are, or `(x - mean) / std` in their own units where asked.

    Raises OptionError where the model leaves its size free and none is given.
    """
    height, width = size_of(model_input, size)
    means, deviations = (each_of(value, what, model_input) for value, what in ((mean, "mean"), (std, "std")))
    if min(deviations) <= 0:
        raise OptionError(f"expected numbers above 0 for std, got {min(deviations):g}; give the deviations")
    asked = "nothing is guessed" if mean is None and std is None else "mean and std from the options"
    many = f"{model_input.channels} channel{'s' if model_input.channels > 1 else ''}"
    reason = f"arrays of {many} go in as they are; {asked}"
    return Preprocessing(ARRAY, height, width, "stretch", 1.0, "nearest", "bands", 1.0, means, deviations, reason)


def size_of(model_input: PictureInput, asked: tuple[int, int] | None) -> tuple[int, int]:
    fixed = (model_input.height, model_input.width)
    height, width = asked or fixed
    if height is None or width is None:
        raise OptionError(f"the model leaves the size of {model_input.name} free; give that of the arrays with --size")
    if any(own not in (None, side) for own, side in zip(fixed, (height, width), strict=True)):
        raise OptionError(f"expected the size {times(fixed)} of {model_input.name}, got {height}x{width}")
    return height, width


def each_of(value: Numbers | None, what: str, model_input: PictureInput) -> tuple[float, ...]:
    """Return a number for each channel, of one for all or one each; without any those that change nothing."""
    if value is None:
        value = 0.0 if what == "mean" else 1.0
    items = [value] if isinstance(value, int | float) else list(value)
    if len(items) not in (1, model_input.channels):
        raise OptionError(f"expected 1 or {model_input.channels} numbers for {what}, one a channel, got {len(items)}")
    return tuple(number(item, what) for item in items) * (model_input.channels // len(items))


def require_record(shown: Preprocessing) -> None:
    """Raise OptionError where what was recorded of an array is no preprocessing of one."""
    means, deviations = ([number(item, "mean or std") for item in items] for items in (shown.mean, shown.std))
    if len(means) != len(deviations) or min(deviations, default=0) <= 0:
        raise OptionError(f"expected a mean and a std above 0 for each channel of an array, got {list(shown.std)}")


def prepare_array(picture: Picture, shown: Preprocessing, model_input: PictureInput) -> tuple[NDArray[Any], Placement]:
    """Turn an array into model input `[1, ...]`; it is seen whole."""
    values = arranged(picture, shown, model_input).values
    assert values is not None
    made = (values.astype(np.float64) - shown.mean) / shown.std
    dtype = np.dtype(model_input.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if made.min() < limits.min or made.max() > limits.max:
            raise PictureError(f"expected values that {dtype} holds for {model_input.name}, {picture.name} has others")
        made = np.rint(made)
    placement = Placement(shown.height, shown.width, 0, 0, shown.height, shown.width)
    return as_model_input(made, model_input), placement


def as_model_input(values: NDArray[Any], model_input: PictureInput) -> NDArray[Any]:
    """Bring `[H, W, C]` to the model's layout and type."""
    turned = np.moveaxis(values, 2, 0) if model_input.layout == "NCHW" else values
    return np.ascontiguousarray(turned[None], model_input.dtype)


def sample_arrays(photographs: Pixels, shown: Preprocessing, model_input: PictureInput) -> NDArray[Any]:
    """Make arrays of photographs to check graphs on, `[3, ...]`: their colours in turn, in deviations from their mean.

    The values of a model's own arrays are not known here; where it takes 8 bit numbers, pixels are fed as they are.
    """
    rows, columns = (
        (np.arange(size) + 0.5) * length // size
        for size, length in zip((shown.height, shown.width), photographs.shape[1:3], strict=True)
    )
    seen = photographs[:, rows.astype(int)][:, :, columns.astype(int)].astype(np.float64)
    # Bands beyond the third are the same colours of another place, so that no two are equal.
    bands = [np.roll(seen[..., i % 3], 7 * (i // 3), axis=2) for i in range(model_input.channels)]
    values = np.stack(bands, axis=-1)
    if np.dtype(model_input.dtype).kind == "f":
        values = (values - values.mean(axis=(1, 2, 3), keepdims=True)) / max(float(values.std()), 1.0)
        # Equal neighbours are a kink of max pooling: a gradient was 13 % off the differences there.
        values += np.random.default_rng(0).normal(0, GRAIN, values.shape)
    elif model_input.dtype == "int8":
        values = values // 2
    return np.concatenate([as_model_input(one, model_input) for one in values])


def preview(values: NDArray[Any]) -> Pixels:
    """Draw an array `[H, W, C]`: its first three bands as red, green and blue, of fewer the first in grey."""
    bands = values[..., :3] if values.shape[2] >= 3 else values[..., :1]
    low, high = np.percentile(bands.astype(np.float64), COMMON)
    shares = np.clip((bands - low) / ((high - low) or 1.0), 0, 1)
    return np.ascontiguousarray(np.broadcast_to(np.rint(shares * 255), (*values.shape[:2], 3)), np.uint8)


def flattened(values: NDArray[Any]) -> NDArray[Any]:
    """Lay an array of any axes out as `[H, W, 1]`, for a look at it before a model says what its axes are."""
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1], 1)

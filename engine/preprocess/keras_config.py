"""What a Keras configuration beside a model says of the preprocessing: layers, KerasHub's converter, the family."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import OptionError
from .values import PRESETS, Recorded, Values, number, numbers, shown, side

DEPTH = 8
"""How deeply models lie in models."""
FAMILIES = {
    "resnet50v2": "symmetric",
    "resnet101v2": "symmetric",
    "resnet152v2": "symmetric",
    "resnet": "caffe",
    "vgg": "caffe",
    "mobilenetv3": "raw",
    "mobilenet": "symmetric",
    "inception": "symmetric",
    "xception": "symmetric",
    "nasnet": "symmetric",
    "densenet": "imagenet",
    "efficientnet": "raw",
    "convnext": "raw",
}
"""What `preprocess_input` of keras.applications does, by the beginning of the name that its models have there."""


def is_keras(data: Mapping[str, Any]) -> bool:
    """Say whether this is the configuration of a Keras model or KerasHub's of its pictures."""
    return _converter(data) is not None or isinstance(_inner(data).get("layers"), list)


def from_keras(data: Mapping[str, Any]) -> Recorded:
    """Read a Keras `config.json`, that of a `.keras` archive, or KerasHub's `image_converter.json`.

    A model with a layer that scales or normalises takes pixels as they are; KerasHub's converter gives
    `x * scale + offset`; a model of keras.applications, by itself or as a layer, wants what its `preprocess_input`
    does. Raises OptionError.
    """
    if (converter := _converter(data)) is not None:
        return _from_converter(converter)
    layers = list(_layers(_inner(data), DEPTH))
    for layer in layers:
        if layer.get("class_name") in ("Rescaling", "Normalization"):
            return Recorded(f"the Keras config, whose layer {layer['class_name']} scales pixels 0..255", PRESETS["raw"])
    names = [str(_inner(each).get("name", "")) for each in (data, *layers)]
    for name in (n.lower().replace("_", "") for n in names if n):
        family = next((f for f in FAMILIES if name.startswith(f)), None)
        if family is not None:
            return Recorded(f"the Keras config, by keras.applications' {family}", PRESETS[FAMILIES[family]])
    return Recorded("the Keras config beside the model")


def _inner(data: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = data.get("config")
    return inner if isinstance(inner, Mapping) else {}


def _layers(model: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """Yield the layers of a model, those of models among them after them."""
    listed = model.get("layers")
    for layer in listed if isinstance(listed, list) and depth else ():
        if isinstance(layer, Mapping):
            yield layer
            yield from _layers(_inner(layer), depth - 1)


# --- KerasHub ---


def _converter(data: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if str(data.get("class_name", "")).endswith("ImageConverter"):
        return _inner(data)
    nested = _inner(data).get("image_converter")
    return _converter(nested) if isinstance(nested, Mapping) else None


def _from_converter(fields: Mapping[str, Any]) -> Recorded:
    scales = numbers(_given(fields, "scale", 1.0), "scale")
    offsets = numbers(_given(fields, "offset", 0.0), "offset")
    if min(scales) <= 0:
        raise OptionError(f"expected numbers above 0 for scale, got {shown(fields['scale'])}; mend it")
    scales, offsets = (v * 3 if len(v) == 1 else v for v in (scales, offsets))
    values = Values(
        "RGB",
        1.0,
        tuple(number(-offset / scale, "offset") for scale, offset in zip(scales, offsets, strict=True)),
        tuple(number(1 / scale, "scale") for scale in scales),
    )
    stretch = fields.get("crop_to_aspect_ratio") is False and not fields.get("pad_to_aspect_ratio")
    return Recorded(
        "KerasHub's image converter beside the model",
        values,
        _size(fields.get("image_size")),
        "stretch" if stretch else "pad" if fields.get("pad_to_aspect_ratio") else "crop",
        1.0,
    )


def _given(fields: Mapping[str, Any], key: str, otherwise: float) -> object:
    return otherwise if fields.get(key) is None else fields[key]


def _size(value: object) -> tuple[int, int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise OptionError(f"expected [height, width] for image_size, got {shown(value)}; mend it")
    return side(value[0], "image_size"), side(value[1], "image_size")

"""An instance of protocol V1 becomes a picture: a file in base64, or nested numbers."""

import binascii
from base64 import b64decode
from typing import Any

import numpy as np

from ...engine.preprocess import from_array, from_pixels
from ...engine.types import Picture
from .calls import bad
from .served import Served

FORMS = '{"b64": "..."}, {"image_bytes": {"b64": "..."}} or nested numbers'


def picture_of(served: Served, instance: Any, name: str) -> Picture:
    """Open an instance. Raises HTTPException (400), PictureError."""
    if isinstance(instance, dict):
        return served.open_picture(name, file_of(instance, name))
    if isinstance(instance, list):
        return from_numbers(served, instance, name)
    raise bad(f"expected {FORMS} for {name}, got a {type(instance).__name__}")


def file_of(instance: dict[str, Any], name: str) -> bytes:
    inner = instance.get("image_bytes", instance)
    text = inner.get("b64") if isinstance(inner, dict) else None
    if not isinstance(text, str):
        raise bad(
            f"expected {FORMS} for {name}, got an object of {', '.join(map(repr, list(instance)[:5])) or 'nothing'}"
        )
    return from_base64(text, name)


def from_base64(text: str, name: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise bad(f"expected the base64 of a picture file for {name}, got something else ({error})") from None


def from_numbers(served: Served, instance: list[Any], name: str) -> Picture:
    """Make a picture of nested numbers: pixels 0..255, or for a model of arrays the array as it is."""
    try:
        values = np.asarray(instance)
    except (ValueError, OverflowError):
        raise bad(f"expected nested lists of equal lengths for {name}, got uneven ones") from None
    if values.dtype.kind not in "iuf" or not values.size:
        raise bad(f"expected nested numbers for {name}, got something else among them or nothing")
    if served.first.explainer.model.opened.preprocessing.color == "bands":
        return from_array(values, name)
    inside = ((values >= 0) & (values <= 255)).all()  # false for NaN too
    if not inside or not np.array_equal(values.astype(np.uint8), values):
        raise bad(f"expected whole numbers from 0 to 255 for {name}, got others; scale and round them")
    return from_pixels(values.astype(np.uint8), name)

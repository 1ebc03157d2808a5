"""Tensors of the Open Inference Protocol V2: as JSON, or behind it as the binary extension has them."""

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from ...engine.errors import RunError
from .calls import bad, member, parsed

DATATYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
    **{f"{sign}int{bits}": f"{sign.upper()}INT{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""The protocol's names of NumPy's types; texts and bytes are objects."""
TYPES = {name: dtype for dtype, name in DATATYPES.items()}
LENGTH = "inference-header-content-length"
"""Where a binary tensor follows, the header that says how long the JSON before it is."""
Array = NDArray[Any]


# ----- in -----


def read_message(body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the JSON of a request and its input tensors by name. Raises HTTPException (400)."""
    length = json_length(body, headers)
    message, rest = parsed(body[:length]), body[length:]
    tensors: dict[str, Array] = {}
    for told in member(message, "inputs", list, []):
        name, size = named(told), binary_size(told)
        if size > len(rest):
            raise bad(f"expected {size} bytes for the input {name!r}, got {len(rest)}")
        tensors[name] = from_bytes(told, rest[:size]) if size >= 0 else from_json(told)
        rest = rest[max(0, size) :]
    if rest:
        raise bad(f"expected no bytes behind the inputs' own, got {len(rest)}")
    return message, tensors


def json_length(body: bytes, headers: Mapping[str, str]) -> int:
    told = headers.get(LENGTH)
    if told is None:
        return len(body)
    if not (told.isascii() and told.isdigit() and len(told) <= 12 and int(told) <= len(body)):
        raise bad(f"expected {LENGTH} from 0 to {len(body)}, got {told[:100]!r}")
    return int(told)


def named(told: Any) -> str:
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise bad("expected inputs and outputs to be objects with a name")
    refuse_elsewhere(told)
    return str(told["name"])


def refuse_elsewhere(told: Mapping[str, Any]) -> None:
    """Refuse what extensions ask that are not here: tensors in shared memory, classes in the place of scores."""
    for asked in ("shared_memory_region", "classification"):
        if asked in member(told, "parameters", dict, {}):
            raise bad(f"expected tensors in the request, got the parameter {asked!r}, which this server does not have")


def binary_size(told: Mapping[str, Any]) -> int:
    """Return how many bytes a tensor has behind the JSON; -1 where it is in the JSON."""
    size: int = member(member(told, "parameters", dict, {}), "binary_data_size", int, -1)
    return size


def kind_of(told: Mapping[str, Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    datatype, shape = told.get("datatype"), told.get("shape")
    if datatype not in TYPES:
        raise bad(f"expected a datatype ({', '.join(TYPES)}) for the input {told['name']!r}, got {datatype!r}")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise bad(f"expected a shape of whole numbers for the input {told['name']!r}, got {shape!r}")
    if len(shape) > 16:
        raise bad(f"expected at most 16 axes for the input {told['name']!r}, got {len(shape)}")
    return np.dtype(TYPES[datatype]), tuple(shape)


def from_bytes(told: Mapping[str, Any], data: bytes) -> Array:
    dtype, shape = kind_of(told)
    if dtype.kind == "O":
        return shaped(told, objects(told, data), shape)
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise bad(f"expected {math.prod(shape) * dtype.itemsize} bytes for the input {told['name']!r}, got {len(data)}")
    return np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)


def objects(told: Mapping[str, Any], data: bytes) -> Array:
    """Cut bytes into elements, each behind its length in four bytes."""
    found, start = [], 0
    while start < len(data):
        [length] = struct.unpack_from("<I", data, start) if start + 4 <= len(data) else [2**32]
        if start + 4 + length > len(data):
            raise bad(f"expected elements with their lengths before them in the input {told['name']!r}, got less")
        found.append(data[start + 4 : start + 4 + length])
        start += 4 + length
    return filled(found)


def filled(found: Sequence[Any]) -> Array:
    values = np.empty(len(found), object)
    values[:] = found
    return values


def from_json(told: Mapping[str, Any]) -> Array:
    dtype, shape = kind_of(told)
    data = member(told, "data", list, None)
    if data is None:
        raise bad(f"expected the input {told['name']!r} to have data, or binary_data_size")
    if dtype.kind == "O":
        return shaped(told, filled(data), shape)
    try:
        values = np.asarray(data)
        if values.dtype.kind not in ("b" if dtype.kind == "b" else "iuf" if dtype.kind == "f" else "iu"):
            raise ValueError(values.dtype.name)
        with np.errstate(over="raise"):
            exact = values.astype(dtype)
        if dtype.kind in "iu" and not np.array_equal(exact, values):
            raise ValueError(dtype.name)
    except (ValueError, OverflowError, FloatingPointError):
        raise bad(f"expected {dtype} numbers for the input {told['name']!r}, got others, or uneven lists") from None
    return shaped(told, exact, shape)


def shaped(told: Mapping[str, Any], values: Array, shape: tuple[int, ...]) -> Array:
    if values.size != math.prod(shape):
        raise bad(f"expected {math.prod(shape)} elements for the input {told['name']!r}, got {values.size}")
    return values.reshape(shape)


# ----- out -----


def write_message(told: dict[str, Any], tensors: Mapping[str, Array], binary: frozenset[str]) -> Response:
    """Answer with tensors, those of `binary` names behind the JSON."""
    tails = {name: to_bytes(value) for name, value in tensors.items() if name in binary}
    told["outputs"] = [described(name, value, tails.get(name)) for name, value in tensors.items()]
    try:
        answer = JSONResponse(told)
    except ValueError:  # JSON knows neither NaN nor infinity
        raise RunError("the model gives numbers that are not finite, which JSON cannot hold; ask for binary") from None
    if not binary:
        return answer
    header = bytes(answer.body)
    length = {"Inference-Header-Content-Length": str(len(header))}
    return Response(b"".join([header, *tails.values()]), headers=length, media_type="application/octet-stream")


def described(name: str, value: Array, tail: bytes | None) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "datatype": DATATYPES[value.dtype.name], "shape": list(value.shape)}
    if tail is not None:
        return told | {"parameters": {"binary_data_size": len(tail)}}
    plain = [as_text(item) for item in value.ravel()] if value.dtype.kind == "O" else value.ravel().tolist()
    return told | {"data": plain}


def to_bytes(value: Array) -> bytes:
    if value.dtype.kind != "O":
        return np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
    items = [as_text(item).encode() for item in value.ravel()]
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def as_text(item: Any) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)

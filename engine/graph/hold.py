"""Inputs besides the picture, held at given values: in memory they become weights, and one input is left."""

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..errors import OptionError
from ..types import Tensor
from .interface import how_to_hold, tensor_of
from .load import Graph, opset
from .walk import feeds

EXPANDING = 8
"""The first operator set with Expand."""
LISTING = 4
"""The first IR version in which a weight need not be listed as an input, and one that is listed may be fed."""


def hold(graph: Graph, values: Mapping[str, Any] | None) -> Graph:
    """Return a model in which the named inputs have these values: numbers, arrays, or text as `--hold` takes it.

    A number fills the whole input, an array has its shape or its size. Where the first axis is free, as the batch is,
    one value serves every picture of a batch. Raises OptionError for an input that is not there and for values that
    do not fit it.
    """
    if not values:
        return graph
    proto = onnx.ModelProto()
    proto.CopyFrom(graph.proto)
    inputs = {info.name: info for info in proto.graph.input}
    unknown = [name for name in values if name not in inputs]
    if unknown:
        raise OptionError(f"cannot hold {unknown[0]!r}: the model's inputs are {', '.join(inputs)}; name one of them")
    held = {name: fitting(tensor_of(inputs[name]), as_array(name, given)) for name, given in values.items()}
    left = [info for info in feeds(proto.graph) if info.name not in held]
    for name, value in held.items():
        replace_input(proto, inputs[name], value, left)
    return replace(graph, proto=proto, held=held)


def as_array(name: str, given: Any) -> NDArray[Any]:
    """Return a value as an array: text is numbers with commas, true, false, or the name of an .npy or .npz file."""
    if isinstance(given, str | Path):
        text = str(given)
        array = from_file(name, Path(text)) if text.endswith((".npy", ".npz")) else from_text(name, text)
    else:
        array = np.asarray(given)
    if array.dtype.kind not in "fiub" or not array.size or not np.isfinite(array).all():
        raise OptionError(
            f"expected finite numbers to hold {name!r} at, got {array.dtype}{list(array.shape)}; give other values"
        )
    return array


def from_text(name: str, text: str) -> NDArray[Any]:
    words = {"true": 1.0, "false": 0.0}
    try:
        return np.array([words[word] if word in words else float(word) for word in text.lower().split(",")])
    except ValueError:
        raise OptionError(
            f"expected a number, numbers with commas, or an .npy or .npz file to hold {name!r} at, got {text!r}"
        ) from None


def from_file(name: str, path: Path) -> NDArray[Any]:
    """Read the array of an .npy file; of an .npz file the one of that name, or the only one."""
    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            key = content.files[0] if len(content.files) == 1 else name
            return np.asarray(content[key])
    except KeyError:
        raise OptionError(f"{path} holds no array {name!r}; it holds {', '.join(content.files)}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise OptionError(f"cannot read an array to hold {name!r} at from {path}: {error}; check the file") from error


def fitting(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any]:
    """Bring an array to the shape and type of an input; raise OptionError where it does not fit."""
    shaped = in_shape(tensor, array)
    if shaped is None:
        raise OptionError(f"the input {tensor} does not take values {list(array.shape)}; {how_to_hold(tensor)}")
    if tensor.dtype in ("object", "undefined"):
        raise OptionError(f"the input {tensor.name!r} takes no numbers, so ddcam cannot hold it; export without it")
    dtype = helper.tensor_dtype_to_np_dtype(onnx.TensorProto.BFLOAT16) if tensor.dtype == "bfloat16" else tensor.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        typed = shaped.astype(dtype)
    exact = np.array_equal(typed, shaped) if np.dtype(dtype).kind in "iub" else np.isfinite(typed.astype(float)).all()
    if not exact:
        raise OptionError(
            f"the input {tensor} cannot hold such values exactly; give numbers of the type {tensor.dtype}"
        )
    return np.array(typed, order="C")


def in_shape(tensor: Tensor, array: NDArray[Any]) -> NDArray[Any] | None:
    """Return an array in the shape of an input, whose first axis is the batch where it is free; None if it cannot."""
    shape = tensor.shape
    if array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        return array
    one = (1, *shape[1:]) if shape and shape[0] is None else shape
    if array.ndim == len(one) - 1 and one[0] == 1 and in_shape(replace(tensor, shape=shape[1:]), array) is array:
        return array[None]
    whole = [size for size in one if size is not None]
    if len(whole) < len(one):
        return None
    if array.size == 1:
        return np.full(whole, array.ravel()[0])
    return array.reshape(whole) if array.size == np.prod(whole) else None


def replace_input(
    proto: onnx.ModelProto, info: onnx.ValueInfoProto, value: NDArray[Any], left: list[onnx.ValueInfoProto]
) -> None:
    """Make a weight of an input; where it grows with the batch, as the picture does, the value is repeated."""
    graph, name = proto.graph, info.name
    own = next((tensor for tensor in graph.initializer if tensor.name == name), None)
    if own is not None:
        graph.initializer.remove(own)
    free = tensor_of(info).shape[:1] == (None,) and value.shape[0] == 1
    repeated = free and opset(proto) >= EXPANDING and len(left) == 1 and tensor_of(left[0]).shape[:1] == (None,)
    weight = onnx.numpy_helper.from_array(value, f"{name}_held" if repeated else name)
    graph.initializer.append(weight)
    listed = [i for i in graph.input if i.name != name or (proto.ir_version < LISTING and not repeated)]
    if repeated and proto.ir_version < LISTING:
        listed.append(helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    fresh = [onnx.ValueInfoProto.FromString(i.SerializeToString()) for i in listed]
    del graph.input[:]
    graph.input.extend(fresh)
    if repeated:
        nodes = [*repeating(name, value, left[0].name), *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)


def repeating(name: str, value: NDArray[Any], picture: str) -> list[onnx.NodeProto]:
    """Return the nodes that repeat a value `[1, ...]` for every picture of a batch."""

    def numbers(suffix: str, items: list[int]) -> onnx.NodeProto:
        held = onnx.numpy_helper.from_array(np.array(items, np.int64))
        return helper.make_node("Constant", [], [f"{name}_{suffix}"], value=held)

    return [
        helper.make_node("Shape", [picture], [f"{name}_of"]),
        numbers("first", [0]),
        helper.make_node("Gather", [f"{name}_of", f"{name}_first"], [f"{name}_batch"]),
        numbers("rest", list(value.shape[1:])),
        helper.make_node("Concat", [f"{name}_batch", f"{name}_rest"], [f"{name}_shape"], axis=0),
        helper.make_node("Expand", [f"{name}_held", f"{name}_shape"], [name]),
    ]


def shown(held: Mapping[str, NDArray[Any]]) -> str:
    """Say in one line at what inputs are held: values where they are few, else type and shape."""
    return ", ".join(f"{name}={brief(value)}" for name, value in held.items())


def brief(value: NDArray[Any]) -> str:
    if value.size <= 8:
        return ",".join(f"{float(number):g}" for number in value.ravel())
    same = value.ravel()[0] if (value == value.ravel()[0]).all() else None
    filled = "" if same is None else f" of {float(same):g}"
    return f"{value.dtype}{list(value.shape)}{filled}"

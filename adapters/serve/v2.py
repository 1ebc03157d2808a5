"""The Open Inference Protocol (V2): the explanation is one more named output of `infer`."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...engine.errors import DdcamError
from ...engine.explain import at_input
from ...engine.explainer import Decision
from ...engine.graph.embed import MAP, MINIMAL, SUFFICIENT, UNITS
from ...engine.types import Tensor
from .calls import Call, Reading, bad, member
from .instances import from_base64
from .served import Served
from .tensors import DATATYPES, named, read_message, write_message
from .work import Asked, Found, Want

IMAGE = "image"
"""The input that takes files of pictures: BYTES, in JSON as base64."""
VERSION = "1"
Array = NDArray[Any]


# ----- what there is -----


def metadata(served: Served) -> dict[str, Any]:
    """Describe inputs and outputs: the model's own, the file of a picture, the explanation."""
    own, sizes = served.first.own, [-1]
    inputs = [{"name": IMAGE, "datatype": "BYTES", "shape": sizes}, *filter(None, [tensor_metadata(own.input)])]
    outputs = [*filter(None, map(tensor_metadata, own.outputs)), *explained_metadata(served)]
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }


def tensor_metadata(tensor: Tensor) -> dict[str, Any] | None:
    """Describe a tensor; None for a type that the protocol does not know.

    A batch that the file fixes to 1 is free here, since every picture goes through it alone.
    """
    if tensor.dtype not in DATATYPES:
        return None
    sizes = [-1 if size is None or (axis, size) == (0, 1) else size for axis, size in enumerate(tensor.shape)]
    return {"name": tensor.name, "datatype": DATATYPES[tensor.dtype], "shape": sizes}


def explained_metadata(served: Served) -> list[dict[str, Any]]:
    """Describe the outputs that explain, where the model has none of that name."""
    model, method = served.first.explainer.model, served.first.explainer.method
    shown, own = model.opened.preprocessing, {tensor.name for tensor in served.first.own.outputs}
    told: list[tuple[str, str, list[int]]] = [(MAP, "FP32", [-1, 1, shown.height, shown.width])]
    if method.name == "dd-cam":
        told += [(UNITS, "FP32", [-1, model.split.count]), (SUFFICIENT, "BOOL", [-1]), (MINIMAL, "BOOL", [-1])]
    return [{"name": name, "datatype": kind, "shape": shape} for name, kind, shape in told if name not in own]


# ----- a call -----


def read_infer(call: Call) -> Reading:
    """Read a call of `infer`: pictures or the model's own tensor in, and only what is asked for out."""
    message, tensors = read_message(call.body, call.headers)
    own = [told["name"] for told in metadata(call.served)["outputs"]]
    wanted, binary = outputs_of(message, own)
    explains = {told["name"] for told in explained_metadata(call.served)}
    names = tuple(name for name in wanted if name not in explains)
    kinds: dict[Want, bool] = {"outputs": bool(names), "explanation": bool(explains & set(wanted))}
    wants = frozenset(kind for kind, asked in kinds.items() if asked)
    asked = [Asked(one, wants, names) for one in inputs_of(call, tensors)]
    told = {"model_name": call.served.name, "model_version": VERSION}
    if identity := member(message, "id", str, ""):
        told["id"] = identity
    return Reading(asked, partial(answer, told, wanted, binary))


def outputs_of(message: Mapping[str, Any], known: Sequence[str]) -> tuple[list[str], frozenset[str]]:
    """Return the outputs that are asked for, all where none is named, and which of them go behind the JSON."""
    told = member(message, "outputs", list, []) or [{"name": name} for name in known]
    wanted = list(dict.fromkeys(named(one) for one in told))
    if strange := [name for name in wanted if name not in known]:
        raise bad(f"expected outputs among {', '.join(known)}, got {strange[0]!r}")
    usual = member(message, "parameters", dict, {}).get("binary_data_output", False)
    binary = {one["name"] for one in told if member(one, "parameters", dict, {}).get("binary_data", usual)}
    return wanted, frozenset(binary)


def inputs_of(call: Call, tensors: Mapping[str, Array]) -> list[Array]:
    """Return a model input `[1, ...]` for each picture, or row of the model's own input."""
    own = call.served.first.own.input.name
    if len(tensors) != 1 or not tensors.keys() <= {IMAGE, own}:
        raise bad(f"expected one input, {IMAGE!r} or {own!r}, got {', '.join(map(repr, tensors)) or 'none'}")
    [(name, values)] = tensors.items()
    call.places(len(values) if values.ndim else 1)
    if name != own and values.dtype.kind != "O":
        raise bad(f"expected files of pictures (BYTES) for {IMAGE!r}, got {values.dtype} numbers")
    if name == IMAGE and values.dtype.kind == "O":
        return [prepared(call.served, one, f"picture {i}") for i, one in enumerate(pictures_of(values))]
    rows = call.served.first.own.as_taken(values)
    return [rows[i : i + 1] for i in range(len(rows))]


def pictures_of(values: Array) -> list[Any]:
    if not values.size or values.size != len(np.atleast_1d(values)):
        raise bad(f"expected files of pictures [N] or [N, 1] for {IMAGE!r}, got the shape {list(values.shape)}")
    return list(values.ravel())


def prepared(served: Served, one: Any, name: str) -> Array:
    if not isinstance(one, bytes | str):
        raise bad(f"expected the base64 of a picture file for {name}, got a {type(one).__name__}")
    data = one if isinstance(one, bytes) else from_base64(one, name)
    return served.first.explainer.prepare(served.open_picture(name, data)).inputs


# ----- its answer -----


def answer(told: dict[str, Any], wanted: Sequence[str], binary: frozenset[str], found: Sequence[Found]) -> Response:
    explained = [explanation_of(one) for one in found]
    rows = [{**more, **one.outputs} for one, more in zip(found, explained, strict=True)]
    return write_message(told, {name: joined(name, [row[name] for row in rows]) for name in wanted}, binary)


def explanation_of(found: Found) -> dict[str, Array]:
    """Return the outputs that explain, `[1, ...]`; an error is raised, and nothing asked is nothing returned."""
    if found.decision is None:
        return {}
    if isinstance(found.decision, DdcamError):
        raise found.decision
    return shown(found.decision)


def shown(decision: Decision) -> dict[str, Array]:
    model, attribution = decision.problem.model, decision.attribution
    mask = np.zeros((1, model.split.count), np.float32)
    mask[0, list(attribution.subset or ())] = 1
    proof = attribution.certificate
    saliency = at_input(attribution.grid_map, model.split, model.opened.preprocessing)
    return {
        MAP: saliency.astype(np.float32)[None, None],
        UNITS: mask,
        SUFFICIENT: np.array([proof is not None and proof.sufficient]),
        MINIMAL: np.array([proof is not None and proof.minimal]),
    }


def joined(name: str, rows: Sequence[Array]) -> Array:
    """Lay the rows of an output below each other; one without an axis for them comes for one picture alone."""
    if len(rows) == 1:
        return rows[0]
    if any(row.shape[:1] != (1,) or row.shape != rows[0].shape for row in rows):
        raise HTTPException(400, f"expected one picture a request, because the output {name!r} has no row for each")
    return np.concatenate(rows)

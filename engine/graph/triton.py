"""The configuration that Triton Inference Server wants beside a model: inputs, outputs and how it may be batched."""

import json
from collections.abc import Iterable

import numpy as np
import onnx
from onnx import helper

MOST = 16
"""Pictures that the server may put together where the model's batch is free."""


def config_text(content: bytes, name: str, labelled: str) -> str:
    """Write config.pbtxt for a serialised model; `labelled` is the output whose classes labels.txt names.

    The input `explain` has a default and is left out, so every request is explained. Where the first axis of all
    inputs and outputs is free, the server puts requests together.
    """
    graph = onnx.load_from_string(content).graph
    given = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in given]
    free = all(sizes(value)[:1] == [-1] for value in (*inputs, *graph.output))
    blocks = [*(block("input", value, free) for value in inputs)]
    blocks += [block("output", value, free, "labels.txt" if value.name == labelled else "") for value in graph.output]
    head = [f"name: {json.dumps(name)}", 'backend: "onnxruntime"', f"max_batch_size: {MOST if free else 0}"]
    return "\n".join([*head, *(["dynamic_batching { }"] if free else []), *blocks]) + "\n"


def block(kind: str, value: onnx.ValueInfoProto, free: bool, labels: str = "") -> str:
    """Write one input or output, without the batch where the server adds that; a number a picture is `[1]` there."""
    shape = sizes(value)[1:] if free else sizes(value)
    lines = [f"name: {json.dumps(value.name)}", f"data_type: {type_of(value)}", f"dims: {listed(shape or [1])}"]
    if not shape:
        lines.append("reshape { shape: [ ] }")
    if labels:
        lines.append(f"label_filename: {json.dumps(labels)}")
    inner = "\n".join(f"    {line}" for line in lines)
    return f"{kind} [\n  {{\n{inner}\n  }}\n]"


def listed(numbers: Iterable[int]) -> str:
    return f"[ {', '.join(map(str, numbers))} ]"


def sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in value.type.tensor_type.shape.dim]


def type_of(value: onnx.ValueInfoProto) -> str:
    """Name an element type as Triton does: TYPE_FP32, TYPE_UINT8, TYPE_BOOL, ..."""
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))
    kinds = {"f": "FP", "i": "INT", "u": "UINT"}
    return "TYPE_BOOL" if dtype.kind == "b" else f"TYPE_{kinds[dtype.kind]}{8 * dtype.itemsize}"

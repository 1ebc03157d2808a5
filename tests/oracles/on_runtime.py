"""Run the backward graph of a few nodes in ONNX Runtime, in float32."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ddcam.engine.autodiff.backward import backward
from ddcam.engine.autodiff.forward import Forward, joined, known_of
from ddcam.engine.graph.build import Var

Arrays = Mapping[str, NDArray[Any]]


def gradients(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    seed: NDArray[Any],
    opset: int = 18,
    *,
    weights: Arrays | None = None,
) -> list[NDArray[Any]]:
    """Return the gradient of sum(seed * y) by every input."""
    model = model_of(nodes, inputs, weights or {}, opset)
    forward = Forward(model, known_of(model, inputs, None))
    op = forward.builder("back_")
    found = backward(forward, "y", list(inputs), Var(op, "seed", "float32", forward.known.shapes["y"]))
    names = [var.name for var in found]
    whole = joined(
        forward,
        op,
        [*model.graph.input, declared("seed", seed)],
        [declared(name, value) for name, value in zip(names, inputs.values(), strict=True)],
    )
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    feeds = {name: value for name, value in (dict(inputs) | {"seed": seed}).items() if name in used}
    return [np.asarray(value) for value in session.run(names, feeds)]


def model_of(nodes: Sequence[onnx.NodeProto], inputs: Arrays, weights: Arrays, opset: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes),
        "case",
        [declared(name, value) for name, value in inputs.items()],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def declared(name: str, value: NDArray[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape))

"""Judge gradient rules by finite differences in float64, run by onnx's own reference evaluator."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from exact import EXACT
from exact_windows import EXACT_WINDOWS
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from ddcam.engine.autodiff.backward import backward
from ddcam.engine.autodiff.forward import Forward
from ddcam.engine.autodiff.node import Known
from ddcam.engine.graph.build import Var

Arrays = Mapping[str, NDArray[Any]]
OPSET = 18
STEP = 1e-6


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Arrays, weights: Arrays, outputs: Sequence[str], opset: int = OPSET
) -> onnx.ModelProto:
    """Make a model of some nodes, its inputs declared by example and its outputs by name."""
    graph = helper.make_graph(
        list(nodes),
        "case",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), list(value.shape))
            for name, value in inputs.items()
        ],
        [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto, feeds: Arrays) -> list[NDArray[Any]]:
    return [
        np.asarray(value)
        for value in ReferenceEvaluator(model, new_ops=[*EXACT, *EXACT_WINDOWS]).run(None, dict(feeds))
    ]


def known(model: onnx.ModelProto, inputs: Arrays, batched: bool) -> Known:
    """Run the model once; with `batched` the first axis of everything that is not a weight counts as free."""
    names = [name for node in model.graph.node for name in node.output if name]
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    values = dict(inputs) | dict(zip(names, run(probe, inputs), strict=True))
    free = (None,) if batched else ()
    shapes = {name: (*free, *value.shape[len(free) :]) for name, value in values.items()}
    numbers = {} if batched else {n: v for n, v in values.items() if v.dtype.kind in "iu" and n not in inputs}
    return Known(shapes, {name: value.dtype.name for name, value in values.items()}, numbers)


def gradients(
    model: onnx.ModelProto,
    inputs: Arrays,
    wrt: Sequence[str],
    seed: NDArray[Any],
    *,
    of: str = "y",
    batched: bool = False,
) -> list[NDArray[Any]]:
    """Build the backward graph of `of`, run it on the inputs and return the gradients."""
    return run(with_backward(model, inputs, wrt, seed, of=of, batched=batched), dict(inputs) | {"seed": seed})


def with_backward(
    model: onnx.ModelProto, inputs: Arrays, wrt: Sequence[str], seed: NDArray[Any], *, of: str, batched: bool
) -> onnx.ModelProto:
    """Return the model with its backward graph: the gradients are its outputs."""
    forward = Forward(model, known(model, inputs, batched))
    op = forward.builder("back_")
    given = Var(op, "seed", str(seed.dtype), forward.known.shapes[of])
    found = backward(forward, of, wrt, given)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.node.extend(op.nodes)
    whole.graph.initializer.extend(op.tensors.values())
    whole.graph.input.append(helper.make_tensor_value_info("seed", onnx.TensorProto.DOUBLE, list(seed.shape)))
    del whole.graph.output[:]
    whole.graph.output.extend(onnx.ValueInfoProto(name=var.name) for var in found)
    return whole


def require_gradients(
    model: onnx.ModelProto, inputs: Arrays, wrt: Sequence[str], *, batched: bool = False, tolerance: float = 1e-5
) -> None:
    """Compare every gradient with central differences along random directions; relative to its own size."""
    rng = np.random.default_rng(0)
    seed = rng.normal(size=run(model, inputs)[0].shape)
    for name, found in zip(wrt, gradients(model, inputs, wrt, seed, batched=batched), strict=True):
        assert found.shape == inputs[name].shape, f"gradient of {name}: {found.shape} for {inputs[name].shape}"
        for _ in range(3):
            direction = rng.normal(size=inputs[name].shape)
            ends = [
                (run(model, dict(inputs) | {name: inputs[name] + sign * STEP * direction})[0] * seed).sum()
                for sign in (1, -1)
            ]
            expected, got = (ends[0] - ends[1]) / (2 * STEP), float((found * direction).sum())
            scale = max(1.0, abs(expected), float(np.abs(found * direction).sum()))
            assert abs(got - expected) <= tolerance * scale, f"gradient of {name}: {got} instead of {expected}"

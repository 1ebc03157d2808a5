"""Rules against onnx-ad, which differentiates ONNX graphs by rules of its own: two programs that share nothing."""

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from on_runtime import Arrays, gradients, model_of
from onnx import helper

onnx_ad = pytest.importorskip("onnx_ad")
pytestmark = pytest.mark.oracle

SMOOTH = [
    "Neg", "Abs", "Exp", "Erf", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Asinh", "Tanh", "Sigmoid", "Softplus",
    "Softsign", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Mish", "Gelu", "Identity",
]  # fmt: skip
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "Add": ((2, 3, 4), (3, 1)),
    "Sub": ((2, 3, 4), (4,)),
    "Mul": ((2, 1, 4), (2, 3, 4)),
    "Div": ((2, 3, 4), (1, 3, 4)),
    "MatMul": ((2, 3, 4), (4, 5)),
    "Gemm": ((3, 4), (4, 5), (5,)),
    "Sum": ((2, 3), (2, 3), (2, 3)),
    "GlobalAveragePool": ((2, 3, 4, 5),),
    "GlobalMaxPool": ((2, 3, 4, 5),),
    "Softmax": ((3, 5),),
    "LogSoftmax": ((3, 5),),
    "Transpose": ((2, 3, 4),),
    "Flatten": ((2, 3, 4),),
}
WINDOWS: list[tuple[str, dict[str, Any]]] = [
    ("Conv", {"pads": [1, 1, 1, 1]}),
    ("Conv", {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("Conv", {"dilations": [2, 2]}),
    ("ConvTranspose", {"strides": [2, 2]}),
    ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2]}),
    ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
]


def of_onnx_ad(model: onnx.ModelProto, inputs: Arrays, seed: np.ndarray) -> list[np.ndarray]:
    """Return its gradients of sum(seed * y); its seeds have a last axis of their own."""
    model = onnx.shape_inference.infer_shapes(model)
    whole = onnx_ad.reverse(model, layout="onnx")
    session = onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    used = {item.name for item in session.get_inputs()}
    feeds = {name: value for name, value in (dict(inputs) | {"adj_y": seed[..., None]}).items() if name in used}
    return [value[..., 0] for value in session.run([f"adj_{name}" for name in inputs], feeds)]


def require_same(node: onnx.NodeProto, inputs: Arrays, opset: int = 20, weights: Arrays | None = None) -> None:
    model = model_of([node], inputs, weights or {}, opset)
    [y] = onnxruntime.InferenceSession(model.SerializeToString()).run(None, dict(inputs))
    seed = np.random.default_rng(1).normal(size=y.shape).astype(np.float32)
    expected = of_onnx_ad(model, inputs, seed)

    for one, other in zip(gradients([node], inputs, seed, opset, weights=weights), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


def drawn(*shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in zip("abc", shapes, strict=False)}


@pytest.mark.parametrize("kind", SMOOTH)
def test_elementwise(kind: str) -> None:
    require_same(helper.make_node(kind, ["a"], ["y"]), drawn((4, 7)))


@pytest.mark.parametrize("kind", SHAPES)
def test_products_and_broadcasts(kind: str) -> None:
    inputs = drawn(*SHAPES[kind])
    if kind == "Div":
        inputs["b"] = np.abs(inputs["b"]) + 0.5
    require_same(helper.make_node(kind, list(inputs), ["y"]), inputs)


@pytest.mark.parametrize(("kind", "attributes"), WINDOWS)
def test_windows(kind: str, attributes: dict[str, Any]) -> None:
    names = ["a", "b"] if kind.startswith("Conv") else ["a"]
    arrays = drawn((2, 3, 9, 9), (4, 3, 3, 3) if kind == "Conv" else (3, 4, 3, 3))
    weights = {"b": arrays.pop("b")} if kind == "ConvTranspose" else {}  # by which it does not differentiate
    node = helper.make_node(kind, names, ["y"], **attributes)
    require_same(node, {name: arrays[name] for name in names if name in arrays}, weights=weights)


def test_layer_norm_and_batch_norm() -> None:
    require_same(helper.make_node("LayerNormalization", ["a", "b", "c"], ["y"]), drawn((3, 4, 6), (6,), (6,)))
    statistics = {"m": np.ones(3, np.float32), "v": np.full(3, 2, np.float32)}
    node = helper.make_node("BatchNormalization", ["a", "b", "c", "m", "v"], ["y"])
    require_same(node, drawn((2, 3, 4), (3,), (3,)), weights=statistics)

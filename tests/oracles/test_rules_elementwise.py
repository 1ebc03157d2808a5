"""Rules of elementwise operators, run by ONNX Runtime in float32, against PyTorch's own derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_runtime import Arrays, gradients
from onnx import helper

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

Case = tuple[str, dict[str, Any], Callable[..., Any], list[float]]
GRID = [-9.0, -6.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 9.0]
UNARY: list[Case] = [
    ("Neg", {}, torch.neg, []),
    ("Abs", {}, torch.abs, []),
    ("Exp", {}, torch.exp, []),
    ("Erf", {}, torch.erf, []),
    ("Sin", {}, torch.sin, []),
    ("Cos", {}, torch.cos, []),
    ("Atan", {}, torch.atan, []),
    ("Sinh", {}, torch.sinh, []),
    ("Cosh", {}, torch.cosh, []),
    ("Asinh", {}, torch.asinh, []),
    ("Tanh", {}, torch.tanh, []),
    ("Sigmoid", {}, torch.sigmoid, []),
    ("Softplus", {}, F.softplus, []),
    ("Softsign", {}, F.softsign, []),
    ("Relu", {}, F.relu, []),
    ("LeakyRelu", {"alpha": 0.2}, lambda x: F.leaky_relu(x, 0.2), []),
    ("Elu", {"alpha": 1.5}, lambda x: F.elu(x, 1.5), []),
    ("Elu", {}, F.elu, []),
    ("Selu", {}, F.selu, []),
    ("Celu", {"alpha": 2.0}, lambda x: F.celu(x, 2.0), []),
    ("ThresholdedRelu", {"alpha": 1.0}, lambda x: F.threshold(x, 1.0, 0.0), []),
    ("Shrink", {"lambd": 0.5, "bias": 0.5}, lambda x: F.softshrink(x, 0.5), []),
    ("Shrink", {"lambd": 0.5}, lambda x: F.hardshrink(x, 0.5), []),
    ("HardSigmoid", {"alpha": 1 / 6}, F.hardsigmoid, []),
    ("HardSwish", {}, F.hardswish, []),
    ("Mish", {}, F.mish, []),
    ("Swish", {}, F.silu, []),
    ("Gelu", {}, F.gelu, []),
    ("Gelu", {"approximate": "tanh"}, lambda x: F.gelu(x, approximate="tanh"), []),
    ("Sqrt", {}, torch.sqrt, [0.25, 1.0, 7.0]),
    ("Log", {}, torch.log, [0.25, 1.0, 7.0]),
    ("Reciprocal", {}, torch.reciprocal, [-3.0, -0.25, 0.25, 7.0]),
    ("Tan", {}, torch.tan, [-1.5, -0.5, 0.0, 1.0]),
    ("Asin", {}, torch.asin, [-0.99, 0.0, 0.5]),
    ("Acos", {}, torch.acos, [-0.99, 0.0, 0.5]),
    ("Atanh", {}, torch.atanh, [-0.99, 0.0, 0.5]),
    ("Acosh", {}, torch.acosh, [1.01, 2.0, 9.0]),
]
"""Operator, attributes, PyTorch's function and where to compare; everywhere, kinks included, if that is empty."""


def of_torch(function: Callable[..., Any], arrays: Arrays, seed: np.ndarray) -> list[np.ndarray]:
    """Return PyTorch's gradients of sum(seed * function(arrays))."""
    given = [torch.tensor(value, requires_grad=True) for value in arrays.values()]
    function(*given).backward(torch.tensor(seed))
    return [value.grad.numpy() for value in given]


@pytest.mark.parametrize("case", UNARY, ids=lambda case: case[0])
def test_unary(case: Case) -> None:
    kind, attributes, function, places = case
    rng = np.random.default_rng(0)
    x = np.array(places or [*GRID, *rng.normal(size=40)], np.float32)
    seed = rng.normal(size=x.shape).astype(np.float32)

    [found] = gradients(
        [helper.make_node(kind, ["x"], ["y"], **attributes)], {"x": x}, seed, 24 if kind == "Swish" else 20
    )

    np.testing.assert_allclose(found, of_torch(function, {"x": x}, seed)[0], rtol=2e-5, atol=1e-6)


BINARY: list[tuple[str, Callable[..., Any]]] = [
    ("Add", torch.add),
    ("Sub", torch.sub),
    ("Mul", torch.mul),
    ("Div", torch.div),
    ("Pow", torch.pow),
    ("Max", torch.maximum),
    ("Min", torch.minimum),
    ("Mean", lambda a, b: (a + b) / 2),
    ("Mod", torch.fmod),
]


@pytest.mark.parametrize("case", BINARY, ids=lambda case: case[0])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (2, 1, 4))])
def test_binary(case: tuple[str, Callable[..., Any]], shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    kind, function = case
    rng = np.random.default_rng(1)
    inputs = {name: rng.uniform(0.5, 3, shape).astype(np.float32) for name, shape in zip("ab", shapes, strict=True)}
    seed = rng.normal(size=np.broadcast_shapes(*shapes)).astype(np.float32)
    node = helper.make_node(kind, ["a", "b"], ["y"], **({"fmod": 1} if kind == "Mod" else {}))

    for found, expected in zip(gradients([node], inputs, seed), of_torch(function, inputs, seed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_ties(kind: str) -> None:
    inputs = {"a": np.array([0, 1, 2], np.float32), "b": np.array([0, 1, 3], np.float32)}
    seed, function = np.ones(3, np.float32), torch.maximum if kind == "Max" else torch.minimum

    found = gradients([helper.make_node(kind, ["a", "b"], ["y"])], inputs, seed)

    np.testing.assert_array_equal(found, of_torch(function, inputs, seed))


def test_power_at_0() -> None:
    inputs = {"x": np.zeros(4, np.float32), "p": np.array([0, 1, 2, 3], np.float32)}
    seed = np.ones(4, np.float32)

    found = gradients([helper.make_node("Pow", ["x", "p"], ["y"])], inputs, seed)

    np.testing.assert_array_equal(found, of_torch(torch.pow, inputs, seed))


def test_prelu_clip_and_where() -> None:
    rng = np.random.default_rng(2)
    x = np.concatenate([GRID, rng.normal(size=25)]).astype(np.float32).reshape(3, 4, 3)
    seed = rng.normal(size=x.shape).astype(np.float32)
    slope = rng.uniform(-1, 1, (4, 1)).astype(np.float32)

    found = gradients([helper.make_node("PRelu", ["x", "a"], ["y"])], {"x": x, "a": slope}, seed)
    expected = of_torch(lambda x, a: F.prelu(x, a[:, 0]), {"x": x, "a": slope}, seed)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-5)

    bounds = {"low": np.float32(-1), "high": np.float32(3)}
    [found_x] = gradients([helper.make_node("Clip", ["x", "low", "high"], ["y"])], {"x": x}, seed, weights=bounds)
    np.testing.assert_array_equal(found_x, of_torch(lambda x: x.clamp(-1, 3), {"x": x}, seed)[0])

    mask, other = rng.random((4, 1)) > 0.5, x + 1
    node = helper.make_node("Where", ["c", "x", "b"], ["y"])
    both = gradients([node], {"x": x, "b": other}, seed, weights={"c": mask})
    kept = np.broadcast_to(mask, x.shape)
    np.testing.assert_array_equal(both, [np.where(kept, seed, 0), np.where(kept, 0, seed)])

"""Rules of elementwise operators against finite differences, and their conventions where there is no derivative."""

from typing import Any

import numpy as np
import pytest
from finite import gradients, model_of, require_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper

from ddcam.engine.errors import GradientError

Array = NDArray[np.float64]
UNARY: list[tuple[str, dict[str, Any], float, float, tuple[float, ...]]] = [
    ("Identity", {}, -3, 3, ()),
    ("Cast", {"to": 11}, -3, 3, ()),
    ("Erf", {}, -3, 3, ()),
    ("Sigmoid", {}, -6, 6, ()),
    ("Relu", {}, -3, 3, (0,)),
    ("HardSigmoid", {}, -5, 5, (-2.5, 2.5)),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.25}, -3, 3, (-0.5, 1.5)),
    ("HardSwish", {}, -5, 5, (-3, 3)),
    ("Gelu", {}, -4, 4, ()),
    ("Gelu", {"approximate": "tanh"}, -4, 4, ()),
    ("Dropout", {}, -3, 3, ()),
    ("Neg", {}, -3, 3, ()),
    ("Abs", {}, -3, 3, (0,)),
    ("Reciprocal", {}, 0.3, 3, ()),
    ("Reciprocal", {}, -3, -0.3, ()),
    ("Sqrt", {}, 0.3, 3, ()),
    ("Exp", {}, -3, 2, ()),
    ("Log", {}, 0.3, 3, ()),
    ("Sin", {}, -4, 4, ()),
    ("Cos", {}, -4, 4, ()),
    ("Tan", {}, -1.2, 1.2, ()),
    ("Asin", {}, -0.9, 0.9, ()),
    ("Acos", {}, -0.9, 0.9, ()),
    ("Atan", {}, -4, 4, ()),
    ("Sinh", {}, -2, 2, ()),
    ("Cosh", {}, -2, 2, ()),
    ("Tanh", {}, -3, 3, ()),
    ("Asinh", {}, -4, 4, ()),
    ("Acosh", {}, 1.2, 4, ()),
    ("Atanh", {}, -0.9, 0.9, ()),
    ("LeakyRelu", {}, -3, 3, (0,)),
    ("LeakyRelu", {"alpha": 1.5}, -3, 3, (0,)),
    ("LeakyRelu", {"alpha": -0.5}, -3, 3, (0,)),
    ("Elu", {}, -3, 3, ()),
    ("Elu", {"alpha": 1.5}, -3, 3, (0,)),
    ("Selu", {}, -3, 3, (0,)),
    ("Selu", {"alpha": 1.25, "gamma": 1.5}, -3, 3, (0,)),
    ("Celu", {}, -3, 3, ()),
    ("Celu", {"alpha": 2.5}, -3, 3, ()),
    ("ThresholdedRelu", {}, -3, 3, (1,)),
    ("ThresholdedRelu", {"alpha": -0.5}, -3, 3, (-0.5,)),
    ("Shrink", {"lambd": 1.0, "bias": 0.5}, -3, 3, (-1, 1)),
    ("Softplus", {}, -4, 4, ()),
    ("Softsign", {}, -4, 4, ()),
    ("Mish", {}, -4, 4, ()),
    ("Swish", {}, -4, 4, ()),
    ("Swish", {"alpha": 1.5}, -4, 4, ()),
]
"""Operator, attributes, the range to draw from and its kinks."""


def drawn(shape: tuple[int, ...], low: float, high: float, kinks: tuple[float, ...] = (), seed: int = 0) -> Array:
    """Draw uniformly, but not within a thousandth of a kink."""
    x = np.random.default_rng(seed).uniform(low, high, shape)
    for kink in kinks:
        x = np.where(np.abs(x - kink) < 1e-3, kink + 2e-3, x)
    return np.asarray(x)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("case", UNARY, ids=lambda case: case[0])
def test_unary(case: tuple[str, dict[str, Any], float, float, tuple[float, ...]], batched: bool) -> None:
    kind, attributes, low, high, kinks = case
    inputs = {"x": drawn((4, 5, 7), low, high, kinks)}
    opset = 24 if kind == "Swish" else 20
    model = model_of([helper.make_node(kind, ["x"], ["y"], **attributes)], inputs, {}, ["y"], opset=opset)

    require_gradients(model, inputs, ["x"], batched=batched)


@st.composite
def broadcasts(draw: st.DrawFn, count: int = 2) -> list[tuple[int, ...]]:
    """Shapes that broadcast together; the first has all axes."""
    full = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    shapes = [tuple(full)]
    for _ in range(count - 1):
        cut = full[draw(st.integers(0, len(full))) :]
        shapes.append(tuple(size if draw(st.booleans()) else 1 for size in cut))
    return shapes


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["Add", "Sub", "Mul", "Div", "Sum"]), broadcasts(), st.booleans(), st.booleans())
def test_binary(kind: str, shapes: list[tuple[int, ...]], turned: bool, constant: bool) -> None:
    a, b = (drawn(shape, 0.5, 2.0, seed=i) for i, shape in enumerate(shapes))
    names = ["b", "a"] if turned else ["a", "b"]
    inputs, weights = ({"a": a}, {"b": b}) if constant else ({"a": a, "b": b}, {})
    model = model_of([helper.make_node(kind, names, ["y"])], inputs, weights, ["y"])

    require_gradients(model, inputs, list(inputs))
    if not constant and len(shapes[1]) == len(shapes[0]) and shapes[0][0] == shapes[1][0]:
        require_gradients(model, inputs, list(inputs), batched=True)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["Max", "Min", "Mean", "Sum"]), st.integers(1, 4).flatmap(broadcasts))
def test_variadic(kind: str, shapes: list[tuple[int, ...]]) -> None:
    inputs = {f"x{i}": drawn(shape, -2, 2, seed=i + 5) for i, shape in enumerate(shapes)}
    model = model_of([helper.make_node(kind, list(inputs), ["y"])], inputs, {}, ["y"])

    require_gradients(model, inputs, list(inputs))


@settings(max_examples=20, deadline=None)
@given(broadcasts(3), st.permutations([0, 1, 2]))
def test_where(shapes: list[tuple[int, ...]], order: list[int]) -> None:
    condition, a, b = (drawn(shapes[i], -2, 2, seed=i) for i in order)
    inputs = {"a": a, "b": b}
    model = model_of([helper.make_node("Where", ["c", "a", "b"], ["y"])], inputs, {"c": condition > 0}, ["y"])

    require_gradients(model, inputs, ["a", "b"])


@pytest.mark.parametrize("shape", [(), (1,), (5,), (4, 1), (3, 4, 5)])
def test_prelu(shape: tuple[int, ...]) -> None:
    inputs = {"x": drawn((3, 4, 5), -2, 2, (0,)), "a": drawn(shape, -0.5, 1.5, seed=1)}
    model = model_of([helper.make_node("PRelu", ["x", "a"], ["y"])], inputs, {}, ["y"])

    require_gradients(model, inputs, ["x", "a"])


def test_prelu_of_a_constant_slope() -> None:
    inputs, weights = {"x": drawn((3, 4, 5), -2, 2, (0,))}, {"a": drawn((4, 1), -0.5, 1.5, seed=1)}
    model = model_of([helper.make_node("PRelu", ["x", "a"], ["y"])], inputs, weights, ["y"])

    require_gradients(model, inputs, ["x"], batched=True)


EXPONENTS = [2.0, 3.0, 0.5, -1.0, 1.0, 0.0, 1.7, -2.0, 2, 4, [2.0, 0.0, 1.0, -0.5], [[2], [3]]]


@pytest.mark.parametrize("exponent", EXPONENTS, ids=str)
def test_power_of_a_constant(exponent: Any) -> None:
    inputs, weights = {"x": drawn((3, 2, 4), 0.3, 2)}, {"p": np.array(exponent)}
    model = model_of([helper.make_node("Pow", ["x", "p"], ["y"])], inputs, weights, ["y"])

    require_gradients(model, inputs, ["x"], batched=True)


@settings(max_examples=20, deadline=None)
@given(broadcasts(), st.booleans())
def test_power_of_a_computed_exponent(shapes: list[tuple[int, ...]], turned: bool) -> None:
    x, p = (drawn(shape, 0.3, 2, seed=i) for i, shape in enumerate(reversed(shapes) if turned else shapes))
    model = model_of([helper.make_node("Pow", ["x", "p"], ["y"])], {"x": x, "p": p}, {}, ["y"])

    require_gradients(model, {"x": x, "p": p}, ["x", "p"])


@pytest.mark.parametrize("shape", [(), (5,), (4, 1)])
def test_remainder(shape: tuple[int, ...]) -> None:
    inputs = {"a": drawn((3, 4, 5), -7, 7), "b": drawn(shape, 1.5, 2.5, seed=1)}
    model = model_of([helper.make_node("Mod", ["a", "b"], ["y"], fmod=1)], inputs, {}, ["y"])

    require_gradients(model, inputs, ["a", "b"])


def test_bounds_of_a_clip_may_be_computed() -> None:
    inputs = {"x": drawn((3, 20), -3, 3, (-1, 1.5)), "low": np.array(-1.0), "high": np.array(1.5)}
    model = model_of([helper.make_node("Clip", ["x", "low", "high"], ["y"])], inputs, {}, ["y"])

    require_gradients(model, inputs, ["x", "low", "high"])


@pytest.mark.parametrize("bounds", [("low", "high"), ("low", ""), ("", "high"), ("low",), ()])
def test_clip(bounds: tuple[str, ...]) -> None:
    inputs = {"x": drawn((3, 20), -3, 3, (-1, 1.5))}
    weights = {"low": np.array(-1.0), "high": np.array(1.5)}
    model = model_of([helper.make_node("Clip", ["x", *bounds], ["y"])], inputs, weights, ["y"])

    require_gradients(model, inputs, ["x"], batched=True)


def slopes(kind: str, x: list[float], **attributes: Any) -> list[float]:
    """Return the derivative at some places."""
    inputs = {"x": np.array(x, np.float64)}
    model = model_of([helper.make_node(kind, ["x"], ["y"], **attributes)], inputs, {}, ["y"], opset=20)
    return [float(value) for value in gradients(model, inputs, ["x"], np.ones(len(x)))[0]]


def test_relu_at_its_kink_has_slope_0() -> None:
    assert slopes("Relu", [-1, 0, 1e-30, 1]) == [0, 0, 1, 1]


def test_hard_swish_and_hard_sigmoid_are_flat_where_they_are_clipped() -> None:
    assert slopes("HardSwish", [-9, -3, 3, 9]) == pytest.approx([0, 0, 1, 1])
    assert slopes("HardSigmoid", [-9, -2.5, 2.5, 9]) == [0, 0, 0, 0]


def test_clip_passes_on_at_its_bounds() -> None:
    inputs, weights = {"x": np.array([-2.0, -1, 0, 1, 2])}, {"low": np.array(-1.0), "high": np.array(1.0)}
    model = model_of([helper.make_node("Clip", ["x", "low", "high"], ["y"])], inputs, weights, ["y"])

    [found] = gradients(model, inputs, ["x"], np.ones(5))

    assert found.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("kind", "attributes", "places", "expected"),
    [
        ("Abs", {}, [-2, 0, 2], [-1, 0, 1]),
        ("LeakyRelu", {"alpha": 0.25}, [-2, 0, 2], [0.25, 0.25, 1]),
        ("LeakyRelu", {"alpha": 2.0}, [-2, 0, 2], [2, 2, 1]),
        ("Elu", {"alpha": 2.0}, [0], [2]),
        ("ThresholdedRelu", {"alpha": 3.0}, [3, np.nextafter(3, 4)], [0, 1]),
        ("Shrink", {"lambd": 0.5}, [-0.5, 0, 0.5], [0, 0, 0]),
        ("Sqrt", {}, [4], [0.25]),
        ("Softplus", {}, [-600, 600], [0, 1]),
        ("Sigmoid", {}, [-600, 600], [0, 0]),
        ("Gelu", {}, [-50, 0, 50], [0, 0.5, 1]),
        ("Gelu", {"approximate": "tanh"}, [-15, 0, 15], [0, 0.5, 1]),
        ("Mish", {}, [-50, 0, 50], [0, 0.6, 1]),
    ],
)
def test_slopes_at_kinks_and_far_out(
    kind: str, attributes: dict[str, Any], places: list[float], expected: list[float]
) -> None:
    assert slopes(kind, places, **attributes) == pytest.approx(expected, abs=1e-12)


def ties(kind: str, rows: list[list[float]]) -> list[list[float]]:
    """Return the gradients of an operator at equal operands."""
    inputs = {f"x{i}": np.array(row, np.float64) for i, row in enumerate(rows)}
    model = model_of([helper.make_node(kind, list(inputs), ["y"])], inputs, {}, ["y"])
    return [found.tolist() for found in gradients(model, inputs, list(inputs), np.ones(len(rows[0])))]


@pytest.mark.parametrize("kind", ["Max", "Min"])
def test_equal_operands_share(kind: str) -> None:
    assert ties(kind, [[1, 1e30], [1, 1e30]]) == [[0.5, 0.5], [0.5, 0.5]]
    assert ties(kind, [[1, 2], [1, 2], [1, 2], [1, 2]]) == [[0.25, 0.25]] * 4


def test_powers_of_nought_are_finite() -> None:
    inputs = {"x": np.zeros(4), "p": np.array([0.0, 1.0, 2.0, 3.0])}
    model = model_of([helper.make_node("Pow", ["x", "p"], ["y"])], inputs, {}, ["y"])

    dx, dp = gradients(model, inputs, ["x", "p"], np.ones(4))

    assert dx.tolist() == [0, 1, 0, 0]
    assert dp.tolist() == [0, 0, 0, 0]


def test_dropout_in_training_is_refused() -> None:
    inputs, weights = {"x": np.ones(4)}, {"ratio": np.array(0.5), "training": np.array(True)}
    model = model_of([helper.make_node("Dropout", ["x", *weights], ["y"])], inputs, weights, ["y"])

    with pytest.raises(GradientError, match="drops at random"):
        gradients(model, inputs, ["x"], np.ones(4))

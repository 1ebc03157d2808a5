"""Rules of pools against finite differences, and what they do where places are equal."""

from typing import Any

import numpy as np
import pytest
from finite import gradients, model_of, require_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

SIZES = (7, 8, 6)


@st.composite
def pools(draw: st.DrawFn) -> tuple[int, dict[str, Any]]:
    """Draw the number of axes and what a pool may be told."""
    count = draw(st.sampled_from([1, 2, 2, 2, 3]))
    numbers = lambda low, high, n: draw(st.lists(st.integers(low, high), min_size=n, max_size=n))  # noqa: E731
    found: dict[str, Any] = {"kernel_shape": numbers(1, 4, count), "ceil_mode": draw(st.integers(0, 1))}
    found["strides"] = found["kernel_shape"] if draw(st.booleans()) else numbers(1, 3, count)
    if draw(st.booleans()):
        found["dilations"] = numbers(1, 2, count)
    mode = draw(st.sampled_from(["", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if mode == "pads":
        found["pads"] = [draw(st.integers(0, k - 1)) for k in [*found["kernel_shape"]] * 2]
    elif mode:
        found |= {"auto_pad": mode, "ceil_mode": 0}
    return count, found


def distinct(*shape: int) -> np.ndarray:
    """Return numbers of both signs, far enough apart for differences."""
    return (np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) - np.prod(shape) / 2 + 0.25) / 50


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(["MaxPool", "AveragePool", "LpPool"]), pools(), st.booleans(), st.integers(0, 1))
def test_pools(kind: str, pool: tuple[int, dict[str, Any]], batched: bool, count_padding: int) -> None:
    count, attributes = pool
    if kind == "AveragePool":
        attributes = attributes | {"count_include_pad": count_padding}
    x = {"x": distinct(2, 3, *SIZES[:count])}
    node = helper.make_node(kind, ["x"], ["y"], **attributes)

    require_gradients(model_of([node], x, {}, ["y"], opset=19), x, ["x"], batched=batched)


@pytest.mark.parametrize("p", [1, 2, 3])
@pytest.mark.parametrize("kind", ["LpPool", "GlobalLpPool"])
def test_norms(kind: str, p: int) -> None:
    x = {"x": distinct(2, 3, 5, 6)}
    shape = {"kernel_shape": [3, 2], "strides": [2, 2]} if kind == "LpPool" else {}

    node = helper.make_node(kind, ["x"], ["y"], p=p, **shape)
    require_gradients(model_of([node], x, {}, ["y"]), x, ["x"], batched=True)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_global_pools(kind: str, count: int) -> None:
    x = {"x": distinct(2, 3, *SIZES[:count])}

    require_gradients(model_of([helper.make_node(kind, ["x"], ["y"])], x, {}, ["y"]), x, ["x"], batched=True)


def gradient(kind: str, x: np.ndarray, seed: np.ndarray, **attributes: Any) -> np.ndarray:
    model = model_of([helper.make_node(kind, ["x"], ["y"], **attributes)], {"x": x}, {}, ["y"])
    return gradients(model, {"x": x}, ["x"], seed)[0]


def test_the_first_of_equals_gets_all() -> None:
    x = np.zeros((1, 1, 4, 4))
    x[0, 0, 1:3, 1:3] = 2  # row by row, (1, 1) is the first of every window of 3 x 3

    found = gradient("MaxPool", x, np.ones((1, 1, 2, 2)), kernel_shape=[3, 3])
    assert found[0, 0, 1, 1] == 4 == found.sum()
    x[0, 0, 0, 2], x[0, 0, 1, 1] = 2, 1  # an earlier row before an earlier column
    found = gradient("MaxPool", x, np.ones((1, 1, 1, 1)), kernel_shape=[4, 4])
    assert found[0, 0, 0, 2] == 1 == found.sum()


@pytest.mark.parametrize("value", [0.0, -1.0, 3.0])
def test_padding_never_gets_a_gradient(value: float) -> None:
    x = np.full((1, 2, 5, 5), value)

    found = gradient("MaxPool", x, np.ones((1, 2, 3, 3)), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    assert found.sum() == 18


def test_global_ties_share() -> None:
    x = np.zeros((1, 1, 2, 2))
    x[0, 0, 0] = 5

    assert gradient("GlobalMaxPool", x, np.ones((1, 1, 1, 1)))[0, 0].tolist() == [[0.5, 0.5], [0, 0]]


@pytest.mark.parametrize("p", [1, 2, 3])
def test_the_norm_of_nothing_has_gradient_zero(p: int) -> None:
    assert not gradient("GlobalLpPool", np.zeros((1, 1, 2, 2)), np.ones((1, 1, 1, 1)), p=p).any()

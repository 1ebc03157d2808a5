"""Rules of operators that choose by index against finite differences."""

from typing import Any

import numpy as np
import pytest
from finite import model_of, require_gradients
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from ddcam.engine.errors import GradientError


def check(op_type: str, shape: tuple[int, ...], indices: Any, *, batched: bool = True, **attributes: Any) -> None:
    """Check the gradient of a choice, its indices known beforehand and only at run time."""
    x, chosen = np.random.default_rng(6).normal(size=shape), np.asarray(indices, np.int64)
    node = helper.make_node(op_type, ["x", "i"], ["y"], **attributes)
    for model, inputs in (
        (model_of([node], {"x": x}, {"i": chosen}, ["y"]), {"x": x}),
        (model_of([node], {"x": x, "i": chosen}, {}, ["y"]), {"x": x, "i": chosen}),
    ):
        require_gradients(model, inputs, ["x"])
        if batched and "i" not in inputs:
            require_gradients(model, inputs, ["x"], batched=True)


INDICES = [
    0,
    -2,
    [3],
    [0, 1, 2],
    [1, 3],
    [3, 2, 1],
    [2, 0, 3, 1],
    [0, 0, 1, -1],
    [2] * 40,
    [[0, 1], [1, 2], [2, 3]],
    [[0, -4], [1, 1]],
]


@pytest.mark.parametrize("indices", INDICES)
@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_gather(indices: Any, axis: int) -> None:
    check("Gather", (4, 4, 4), indices, axis=axis, batched=axis != 0)


def test_gather_from_a_batch() -> None:
    x = np.random.default_rng(7).normal(size=(4, 3))
    node = helper.make_node("Gather", ["x", "i"], ["y"], axis=0)
    model = model_of([node], {"x": x}, {"i": np.array([2, 0, 2])}, ["y"])

    require_gradients(model, {"x": x}, ["x"], batched=True)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_gather_at_random(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    chosen = st.integers(-shape[axis], shape[axis] - 1)
    indices = data.draw(st.one_of(st.lists(chosen, min_size=1, max_size=9), chosen))

    check("Gather", shape, indices, axis=axis, batched=axis % len(shape) != 0)


def test_windows_of_a_flat_tensor() -> None:
    windows = np.lib.stride_tricks.sliding_window_view(np.arange(2 * 5 * 5).reshape(2, 5, 5), (3, 3), (1, 2))
    x = np.random.default_rng(8).normal(size=(2, 5, 5))
    nodes = [helper.make_node("Reshape", ["x", "s"], ["f"]), helper.make_node("Gather", ["f", "i"], ["y"])]
    model = model_of(nodes, {"x": x}, {"s": np.array([-1]), "i": windows.copy()}, ["y"])

    require_gradients(model, {"x": x}, ["x"])


@pytest.mark.parametrize(("axis", "shape"), [(0, (2, 3, 5)), (1, (4, 2, 5)), (2, (4, 3, 2)), (2, (4, 3, 9))])
def test_gather_elements(axis: int, shape: tuple[int, ...]) -> None:
    x = (4, 3, 5)
    check("GatherElements", x, np.random.default_rng(9).integers(-x[axis], x[axis], shape), axis=axis)


@pytest.mark.parametrize(
    ("shape", "indices", "batch"),
    [
        ((3, 4, 2), [[0, 1], [-1, 2], [0, 1]], 0),
        ((3, 4), [[[0], [2]], [[2], [2]]], 0),
        ((3, 4, 2), [[1], [-1], [1]], 1),
        ((3, 4, 2), [[[1], [2]], [[0], [0]], [[3], [1]]], 1),
        ((2, 3, 4, 2), np.arange(24).reshape(2, 3, 2, 2) % 2, 2),
    ],
)
def test_gather_nd(shape: tuple[int, ...], indices: Any, batch: int) -> None:
    check("GatherND", shape, indices, batch_dims=batch)


@pytest.mark.parametrize("axis", [0, 1, 2])  # onnx's evaluator has no negative axis here
@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatter_elements(axis: int, reduction: str) -> None:
    rng = np.random.default_rng(10)
    shape = [3, 4, 5]
    shape[axis] = 2
    order = rng.permuted(np.broadcast_to(np.arange(3), (*shape, 3)), axis=-1)[..., :2]  # no place twice
    indices = np.moveaxis(np.take(order, 0, axis=axis), -1, axis % 3)
    inputs = {"x": rng.normal(size=(3, 4, 5)), "u": rng.normal(size=shape)}
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], axis=axis, reduction=reduction)
    model = model_of([node], inputs, {"i": indices}, ["y"])

    require_gradients(model, inputs, ["x", "u"])
    require_gradients(model, inputs, ["x", "u"], batched=True)


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_scatter_nd(reduction: str) -> None:
    rng = np.random.default_rng(11)
    inputs = {"x": rng.normal(size=(3, 4, 2)), "u": rng.normal(size=(2, 2, 2))}
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)
    model = model_of([node], inputs, {"i": np.array([[[0, 1], [2, 3]], [[1, 1], [0, 2]]])}, ["y"])

    require_gradients(model, inputs, ["x", "u"])


def test_adding_twice_to_one_place() -> None:
    rng = np.random.default_rng(12)
    inputs = {"x": rng.normal(size=(3, 2)), "u": rng.normal(size=(4, 2))}
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction="add")

    require_gradients(model_of([node], inputs, {"i": np.array([[0], [1], [0], [0]])}, ["y"]), inputs, ["x", "u"])


@pytest.mark.parametrize("reduction", ["mul", "max"])
def test_other_reductions_are_refused(reduction: str) -> None:
    inputs = {"x": np.ones((3, 2)), "u": np.ones((1, 2))}
    node = helper.make_node("ScatterND", ["x", "i", "u"], ["y"], reduction=reduction)

    with pytest.raises(GradientError, match=f"ScatterND .*'{reduction}'"):
        require_gradients(model_of([node], inputs, {"i": np.array([[0]])}, ["y"]), inputs, ["x"])


def test_compress_is_refused() -> None:
    x = np.ones((3, 2))
    node = helper.make_node("Compress", ["x", "c"], ["y"], axis=0)

    with pytest.raises(GradientError, match="Compress"):
        require_gradients(model_of([node], {"x": x}, {"c": np.array([True, False, True])}, ["y"]), {"x": x}, ["x"])

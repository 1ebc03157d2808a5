"""Rules of reductions against finite differences."""

import math

import numpy as np
import pytest
from finite import gradients, model_of, require_gradients, run
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from ddcam.engine.errors import GradientError

KINDS = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare"]
KINDS += ["ReduceLogSum", "ReduceLogSumExp"]

SHAPE = (3, 2, 4, 5)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.data(), st.booleans(), st.booleans(), st.booleans())
def test_reduction(kind: str, data: st.DataObject, keep: bool, batched: bool, noop: bool) -> None:
    rank = data.draw(st.integers(1, 4))
    axes = data.draw(st.none() | st.sets(st.integers(0, rank - 1)))
    if axes is not None:
        axes = {axis - rank if data.draw(st.booleans()) else axis for axis in axes}
    rng = np.random.default_rng(3)
    x = rng.permutation(np.linspace(0.3, 1.7, 120))[: math.prod(SHAPE[:rank])].reshape(SHAPE[:rank])
    inputs = {"x": x if kind == "ReduceLogSum" else x * rng.choice([-1, 1], x.shape)}
    weights = {} if axes is None else {"axes": np.array(sorted(axes), np.int64)}
    node = helper.make_node(kind, ["x", *weights], ["y"], keepdims=int(keep), noop_with_empty_axes=int(noop))
    whole = not noop and not axes
    batched = batched and keep and not whole  # else the first axis of y is not the batch

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], batched=batched)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("axis", [1, 2, -1, -2])
@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_softmax(kind: str, axis: int, batched: bool) -> None:
    inputs = {"x": np.random.default_rng(4).normal(size=(3, 4, 5))}
    node = helper.make_node(kind, ["x"], ["y"], axis=axis)

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["x"], batched=batched)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization(p: int, axis: int, batched: bool) -> None:
    inputs = {"x": np.random.default_rng(4).normal(size=(3, 4, 5))}
    node = helper.make_node("LpNormalization", ["x"], ["y"], axis=axis, p=p)

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["x"], batched=batched)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("exclusive", [0, 1])
def test_cumulative_sum(exclusive: int, reverse: int, axis: int) -> None:
    inputs, weights = {"x": np.random.default_rng(4).normal(size=(3, 4, 5))}, {"axis": np.array(axis)}
    node = helper.make_node("CumSum", ["x", "axis"], ["y"], exclusive=exclusive, reverse=reverse)

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], batched=True)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("largest", [0, 1])
def test_top_k(largest: int, axis: int) -> None:
    inputs = {"x": np.random.default_rng(4).permutation(60).reshape(3, 4, 5) / 10}
    node = helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=axis, largest=largest)
    model = model_of([node], inputs, {"k": np.array([2])}, ["y"])

    require_gradients(model, inputs, ["x"], batched=axis != 0)


def slopes(kind: str, rows: list[list[float]], **attributes: int) -> list[list[float]]:
    """Return the gradient of a reduction along the last axis."""
    inputs = {"x": np.array(rows, np.float64)}
    weights = {} if kind == "LpNormalization" else {"axes": np.array([-1])}
    model = model_of([helper.make_node(kind, ["x", *weights], ["y"], **attributes)], inputs, weights, ["y"])
    seed = np.ones_like(run(model, inputs)[0])
    return np.asarray(gradients(model, inputs, ["x"], seed)[0]).tolist()


@pytest.mark.parametrize("kind", ["ReduceMax", "ReduceMin"])
def test_equal_elements_share(kind: str) -> None:
    assert slopes(kind, [[2, 2, 2, 2]]) == [[0.25, 0.25, 0.25, 0.25]]
    assert slopes(kind, [[2, 2], [0, 0]], keepdims=0) == [[0.5, 0.5], [0.5, 0.5]]


def test_products_with_noughts() -> None:
    assert slopes("ReduceProd", [[2, 3, 4], [2, 0, 4], [0, 0, 4]]) == [[12, 8, 6], [0, 8, 0], [0, 0, 0]]


def test_lengths_of_nought_have_slope_0() -> None:
    assert slopes("ReduceL1", [[0, 0, -2]]) == [[0, 0, -1]]
    assert slopes("ReduceL2", [[0, 0, 0], [0, 3, 0]]) == [[0, 0, 0], [0, 1, 0]]


def test_softmax_of_far_apart_scores_is_finite() -> None:
    inputs = {"x": np.array([[300.0, 0.0, -300.0]])}
    for kind, expected in (("Softmax", [0, 0, 0]), ("LogSoftmax", [1 - 6, 2, 3])):
        model = model_of([helper.make_node(kind, ["x"], ["y"])], inputs, {}, ["y"])
        found = gradients(model, inputs, ["x"], np.array([[1.0, 2.0, 3.0]]))[0]
        assert found == pytest.approx(np.array([expected]), abs=1e-9)


def test_computed_axes_are_refused() -> None:
    inputs = {"x": np.ones((2, 3)), "axes": np.array([1])}
    model = model_of([helper.make_node("ReduceSum", ["x", "axes"], ["y"])], inputs, {}, ["y"])

    with pytest.raises(GradientError, match="axes are computed"):
        gradients(model, inputs, ["x"], np.ones((2, 1)))


DEFAULTS = [("Softmax", {}), ("LogSoftmax", {}), ("LpNormalization", {}), ("CumSum", {"axis": 1}), ("TopK", {"k": [2]})]


@pytest.mark.parametrize("case", DEFAULTS, ids=lambda case: case[0])
def test_attributes_left_out(case: tuple[str, dict[str, object]]) -> None:
    kind, given = case
    inputs = {"x": np.random.default_rng(4).normal(size=(3, 4, 5))}
    weights = {name: np.array(value) for name, value in given.items()}
    node = helper.make_node(kind, ["x", *weights], ["y", "i"] if kind == "TopK" else ["y"])

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"])

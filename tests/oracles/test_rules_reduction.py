"""Rules of reductions, run by ONNX Runtime in float32, against PyTorch's own derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_runtime import gradients
from onnx import helper

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

REDUCTIONS: list[tuple[str, Callable[..., Any]]] = [
    ("ReduceSum", torch.sum),
    ("ReduceMean", torch.mean),
    ("ReduceMax", torch.amax),
    ("ReduceMin", torch.amin),
    ("ReduceL1", lambda x, dim, keepdim: torch.linalg.vector_norm(x, 1, dim, keepdim)),
    ("ReduceL2", lambda x, dim, keepdim: torch.linalg.vector_norm(x, 2, dim, keepdim)),
    ("ReduceSumSquare", lambda x, dim, keepdim: (x * x).sum(dim, keepdim)),
    ("ReduceLogSumExp", torch.logsumexp),
    ("ReduceLogSum", lambda x, dim, keepdim: x.sum(dim, keepdim).log()),
]


def compare(
    function: Callable[..., Any],
    node: Any,
    x: np.ndarray,
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 18,
) -> None:
    given = torch.tensor(x, requires_grad=True)
    y = function(given)
    seed = np.random.default_rng(1).normal(size=tuple(y.shape)).astype(np.float32)
    y.backward(torch.tensor(seed))

    [found] = gradients([node], {"x": x}, seed, opset, weights=weights)

    np.testing.assert_allclose(found, given.grad.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("axes", [(0,), (-1,), (1, 2), (0, 1, 2)])
@pytest.mark.parametrize("case", REDUCTIONS, ids=lambda case: case[0])
def test_reduction(case: tuple[str, Callable[..., Any]], axes: tuple[int, ...], keep: int) -> None:
    kind, function = case
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32).round(1)  # with ties
    x[0] = 0  # with lengths of 0
    if kind == "ReduceLogSum":
        x = np.abs(x) + 1
    node = helper.make_node(kind, ["x", "axes"], ["y"], keepdims=keep)

    compare(lambda x: function(x, dim=axes, keepdim=bool(keep)), node, x, {"axes": np.array(axes)})


def test_product() -> None:
    x = np.array([[2, 3, 4], [2, 0, 4], [0, 0, 4]], np.float32)
    node = helper.make_node("ReduceProd", ["x", "axes"], ["y"], keepdims=0)

    compare(lambda x: x.prod(1), node, x, {"axes": np.array([1])})


@pytest.mark.parametrize("noop", [0, 1])
@pytest.mark.parametrize("case", REDUCTIONS, ids=lambda case: case[0])
def test_no_axes(case: tuple[str, Callable[..., Any]], noop: int) -> None:
    kind, function = case
    x = np.random.default_rng(2).uniform(0.5, 1.5, (1, 4, 5)).astype(np.float32)
    node = helper.make_node(kind, ["x"], ["y"], noop_with_empty_axes=noop)
    # with no axes to reduce, each element is reduced by itself, as over an axis of size 1
    compare(lambda x: function(x, dim=(0,) if noop else (0, 1, 2), keepdim=True), node, x)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_along_an_axis(axis: int) -> None:
    x = np.random.default_rng(3).normal(size=(3, 4, 5)).astype(np.float32)

    compare(lambda x: x.softmax(axis), helper.make_node("Softmax", ["x"], ["y"], axis=axis), 3 * x)
    compare(lambda x: x.log_softmax(axis), helper.make_node("LogSoftmax", ["x"], ["y"], axis=axis), 3 * x)
    for p in (1, 2):
        node = helper.make_node("LpNormalization", ["x"], ["y"], axis=axis, p=p)
        compare(lambda x, p=p: F.normalize(x, p, axis), node, x)
    compare(lambda x: x.cumsum(axis), helper.make_node("CumSum", ["x", "a"], ["y"]), x, {"a": np.array(axis)})
    for largest in (0, 1):
        node = helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=axis, largest=largest)
        compare(lambda x, d=largest: x.topk(2, axis, largest=bool(d)).values, node, x, {"k": np.array([2])})


def test_large_scores() -> None:
    x = np.array([[80.0, -90.0, 0.0, 79.0]], np.float32)

    compare(lambda x: x.softmax(1), helper.make_node("Softmax", ["x"], ["y"]), x * 10)
    compare(lambda x: x.log_softmax(1), helper.make_node("LogSoftmax", ["x"], ["y"]), x * 10)
    compare(
        lambda x: x.logsumexp(1, True), helper.make_node("ReduceLogSumExp", ["x", "a"], ["y"]), x, {"a": np.array([1])}
    )

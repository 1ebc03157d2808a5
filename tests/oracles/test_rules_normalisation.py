"""Rules of normalisations, run by ONNX Runtime in float32, against PyTorch's own derivatives in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_runtime import gradients
from onnx import helper

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle

SHAPE = (3, 6, 5, 4)
CHANNELS = 6


def compare(function: Callable[..., Any], node: Any, inputs: dict[str, np.ndarray], opset: int = 18) -> None:
    given = [torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in inputs.values()]
    seed = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    function(*given).backward(torch.tensor(seed, dtype=torch.float64))

    found = gradients([node], inputs, seed, opset)

    for name, one, exact in zip(inputs, found, given, strict=True):
        expected = exact.grad.numpy()
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=3e-6 * np.abs(expected).max(), err_msg=name)


def drawn(*names: str, size: tuple[int, ...] = (CHANNELS,)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    x = {"x": rng.normal(3, 2, SHAPE).astype(np.float32)}
    return x | {name: rng.uniform(0.5, 2, size).astype(np.float32) for name in names}


def test_batch_normalization() -> None:
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=1e-3)
    inputs = drawn("s", "b", "m", "v")

    def function(x: Any, s: Any, b: Any, m: Any, v: Any) -> Any:
        s, b, m, v = (value[:, None, None] for value in (s, b, m, v))
        return (x - m) / (v + 1e-3).sqrt() * s + b

    compare(function, node, inputs)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_layer_normalization(axis: int) -> None:
    shape = SHAPE[axis:]
    node = helper.make_node("LayerNormalization", ["x", "s", "b"], ["y"], axis=axis, epsilon=1e-3)

    compare(lambda x, s, b: F.layer_norm(x, shape, s, b, 1e-3), node, drawn("s", "b", size=shape))


def test_layer_normalization_of_values_far_from_0() -> None:
    inputs = drawn("s", size=SHAPE[-1:])
    inputs["x"] += 100
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y"], epsilon=1e-3)

    compare(lambda x, s: F.layer_norm(x, SHAPE[-1:], s, None, 1e-3), node, inputs)


def test_instance_normalization() -> None:
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], epsilon=1e-3)

    compare(lambda x, s, b: F.instance_norm(x, weight=s, bias=b, eps=1e-3), node, drawn("s", "b"))


@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_normalization(groups: int) -> None:
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], epsilon=1e-3, num_groups=groups)

    compare(lambda x, s, b: F.group_norm(x, groups, s, b, 1e-3), node, drawn("s", "b"), 21)
    each = CHANNELS // groups
    compare(
        lambda x, s, b: F.group_norm(x, groups, s.repeat_interleave(each), b.repeat_interleave(each), 1e-3),
        node,
        drawn("s", "b", size=(groups,)),
    )


@pytest.mark.parametrize("axis", [2, -1])
def test_rms_normalization(axis: int) -> None:
    shape = SHAPE[axis:]
    node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], axis=axis, epsilon=1e-3)

    compare(lambda x, s: F.rms_norm(x, shape, s, 1e-3), node, drawn("s", size=shape), 23)


def test_mean_variance_normalization() -> None:
    def function(x: Any) -> Any:
        return (x - x.mean((0, 2, 3), True)) / x.std((0, 2, 3), correction=0, keepdim=True)

    compare(function, helper.make_node("MeanVarianceNormalization", ["x"], ["y"]), drawn())


@pytest.mark.parametrize("size", [1, 3, 5])
def test_local_response_normalization(size: int) -> None:
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.5, beta=0.75, bias=2.0)

    compare(lambda x: F.local_response_norm(x, size, 0.5, 0.75, 2.0), node, drawn())

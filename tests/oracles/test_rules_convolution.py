"""Rules of convolutions and pools, run by ONNX Runtime in float32, against PyTorch's own derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from on_runtime import gradients
from onnx import helper

torch = pytest.importorskip("torch")
F = torch.nn.functional
pytestmark = pytest.mark.oracle


def compare(kind: str, function: Callable[..., Any], *arrays: np.ndarray, weights: int = 0, **attributes: Any) -> None:
    """Compare the gradients by all arrays but the last few, which are weights."""
    values = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = function(*values)
    seed = np.random.default_rng(1).normal(size=tuple(y.shape)).astype(np.float32)
    y.backward(torch.tensor(seed))
    named = {f"x{i}": array for i, array in enumerate(arrays)}
    fixed = {name: named.pop(name) for name in list(named)[len(arrays) - weights :]}
    node = helper.make_node(kind, [*named, *fixed], ["y"], **attributes)

    for found, value in zip(gradients([node], named, seed, 19, weights=fixed), values, strict=False):
        np.testing.assert_allclose(found, value.grad.numpy(), rtol=1e-4, atol=1e-4)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


CONVOLUTIONS = [
    # size, kernel, stride, padding, dilation, groups, channels in and out
    (15, 3, 1, 1, 1, 1, 8, 16),
    (15, 3, 2, 1, 1, 1, 8, 16),
    (16, 3, 2, 1, 1, 1, 8, 16),
    (16, 7, 2, 3, 1, 1, 3, 16),
    (16, 1, 2, 0, 1, 1, 8, 16),
    (15, 5, 1, 2, 1, 8, 8, 8),
    (15, 3, 2, 1, 1, 8, 8, 8),
    (16, 5, 2, 2, 1, 8, 8, 8),
    (16, 5, 2, 2, 1, 8, 8, 16),
    (16, 3, 2, 1, 1, 4, 8, 16),
    (19, 11, 4, 2, 1, 1, 3, 8),
    (16, 4, 4, 0, 1, 1, 3, 8),
    (17, 3, 1, 2, 2, 1, 8, 8),
    (17, 3, 3, 4, 2, 2, 8, 8),
]


@pytest.mark.parametrize("weights", [0, 2])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_conv(case: tuple[int, ...], weights: int) -> None:
    size, k, s, p, d, groups, inputs, outputs = case
    how = {"strides": [s, s], "pads": [p] * 4, "dilations": [d, d], "group": groups}
    arrays = normal(2, inputs, size, size + 1), normal(outputs, inputs // groups, k, k), normal(outputs)

    compare("Conv", lambda x, w, b: F.conv2d(x, w, b, s, p, d, groups), *arrays, weights=weights, **how)


@pytest.mark.parametrize("weights", [0, 2])
@pytest.mark.parametrize(("s", "p", "more", "d", "groups"), [(1, 1, 0, 1, 1), (2, 1, 1, 1, 2), (3, 0, 2, 2, 4)])
def test_conv_transpose(s: int, p: int, more: int, d: int, groups: int, weights: int) -> None:
    arrays = normal(2, 8, 6, 7), normal(8, 4, 3, 3), normal(4 * groups)
    how = {"strides": [s, s], "pads": [p] * 4, "dilations": [d, d], "group": groups, "output_padding": [more, more]}

    compare(
        "ConvTranspose",
        lambda x, w, b: F.conv_transpose2d(x, w, b, s, p, more, groups, d),
        *arrays,
        weights=weights,
        **how,
    )


@pytest.mark.parametrize("size", [12, 15])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("k", "s", "p", "d"), [(2, 2, 0, 1), (3, 2, 1, 1), (3, 2, 0, 1), (3, 1, 1, 1), (3, 3, 1, 2)])
def test_max_pool(k: int, s: int, p: int, d: int, ceil: bool, size: int) -> None:
    x = normal(2, 3, size, size + 1).round(1)  # with ties
    how = {"kernel_shape": [k, k], "strides": [s, s], "pads": [p] * 4, "dilations": [d, d], "ceil_mode": int(ceil)}

    compare("MaxPool", lambda x: F.max_pool2d(x, k, s, p, d, ceil), x, **how)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("size", [12, 15])
@pytest.mark.parametrize(("k", "s", "p"), [(2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 1, 1), (5, 3, 2), (12, 12, 0)])
def test_average_pool(k: int, s: int, p: int, size: int, include: bool) -> None:
    how = {"kernel_shape": [k, k], "strides": [s, s], "pads": [p] * 4, "count_include_pad": int(include)}

    compare("AveragePool", lambda x: F.avg_pool2d(x, k, s, p, False, include), normal(2, 3, size, size + 1), **how)


def test_other_pools() -> None:
    x = normal(2, 3, 9, 8)

    compare("GlobalAveragePool", lambda x: F.adaptive_avg_pool2d(x, 1), x)
    compare("GlobalMaxPool", lambda x: x.amax((2, 3), keepdim=True), x.round(1))
    compare("GlobalLpPool", lambda x: torch.linalg.vector_norm(x, 3, (2, 3), True), x, p=3)
    compare("LpPool", lambda x: F.lp_pool2d(x, 2.0, 3, 2), x, p=2, kernel_shape=[3, 3], strides=[2, 2])
    compare("MaxPool", lambda x: F.max_pool1d(x, 3, 2, 1), x[0], kernel_shape=[3], strides=[2], pads=[1, 1])
    compare("MaxPool", lambda x: F.max_pool3d(x, 3, 2), x[None], kernel_shape=[3] * 3, strides=[2] * 3)
    compare("AveragePool", lambda x: F.avg_pool3d(x, 3, 2), x[None], kernel_shape=[3] * 3, strides=[2] * 3)

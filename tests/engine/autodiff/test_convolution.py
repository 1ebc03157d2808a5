"""Rules of convolutions against finite differences."""

from typing import Any

import numpy as np
import pytest
from finite import gradients, model_of, require_gradients
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from ddcam.engine.errors import GradientError

SIZES = (7, 8, 6)


@st.composite
def geometries(draw: st.DrawFn, padded: bool = True) -> tuple[int, dict[str, Any]]:
    """Draw the number of axes, and kernel, strides, dilations and pads."""
    count = draw(st.sampled_from([1, 2, 2, 2, 3]))
    numbers = lambda low, high, n: draw(st.lists(st.integers(low, high), min_size=n, max_size=n))  # noqa: E731
    found = {"kernel_shape": numbers(1, 3, count), "strides": numbers(1, 3, count)}
    if draw(st.booleans()):
        found["dilations"] = numbers(1, 2, count)
    if padded:
        mode = draw(st.sampled_from(["pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        found |= {"pads": numbers(0, 3, 2 * count)} if mode == "pads" else {"auto_pad": mode}
    return count, found


@settings(max_examples=60, deadline=None)
@given(geometries(), st.sampled_from([(1, 2, 3), (2, 4, 2), (3, 3, 3), (2, 2, 4)]), st.booleans())
def test_conv_of_the_picture(
    geometry: tuple[int, dict[str, Any]], channels: tuple[int, int, int], batched: bool
) -> None:
    (count, attributes), (group, inputs, outputs) = geometry, channels
    assume("dilations" not in attributes or not attributes.get("auto_pad", "").startswith("SAME"))  # onnx errs there
    rng = np.random.default_rng(0)
    x = {"x": rng.normal(size=(2, inputs, *SIZES[:count]))}
    w = {"w": rng.normal(size=(outputs, inputs // group, *attributes["kernel_shape"])), "b": rng.normal(size=outputs)}
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=group, **attributes)

    require_gradients(model_of([node], x, w, ["y"]), x, ["x"], batched=batched)


@settings(max_examples=30, deadline=None)
@given(geometries(), st.sampled_from([(1, 2, 3), (2, 4, 2), (3, 3, 3)]))
def test_conv_of_everything(geometry: tuple[int, dict[str, Any]], channels: tuple[int, int, int]) -> None:
    (count, attributes), (group, inputs, outputs) = geometry, channels
    assume("dilations" not in attributes or not attributes.get("auto_pad", "").startswith("SAME"))
    rng = np.random.default_rng(0)
    all_of_it = {
        "x": rng.normal(size=(2, inputs, *SIZES[:count])),
        "w": rng.normal(size=(outputs, inputs // group, *attributes["kernel_shape"])),
        "b": rng.normal(size=outputs),
    }
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], group=group, **attributes)

    require_gradients(model_of([node], all_of_it, {}, ["y"]), all_of_it, ["x", "w", "b"])


def test_conv_of_weights_in_a_free_batch() -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(2, 4, 6, 7)), "z": rng.normal(size=(2, 4, 3, 3))}
    weights = (
        helper.make_node("ReduceMean", ["z"], ["w1"], keepdims=1, axes=[0]),
        helper.make_node("Reshape", ["w1", "shape"], ["w"]),
    )
    conv = helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2, 1])
    model = model_of([*weights, conv], inputs, {"shape": np.array([2, 2, 3, 3])}, ["y"], opset=17)

    require_gradients(model, inputs, ["x", "z"])


@settings(max_examples=60, deadline=None)
@given(
    geometries(padded=False),
    st.sampled_from([(1, 2, 3), (2, 4, 1), (3, 3, 1)]),
    st.sampled_from(["pads", "output_padding", "output_shape", "SAME_UPPER", "SAME_LOWER"]),
    st.booleans(),
)
def test_conv_transpose(
    geometry: tuple[int, dict[str, Any]], channels: tuple[int, int, int], mode: str, batched: bool
) -> None:
    (count, attributes), (group, inputs, outputs) = geometry, channels
    rng = np.random.default_rng(0)
    if mode == "pads":
        attributes["pads"] = [min(1, k - 1) for k in [*attributes["kernel_shape"]] * 2]
    elif mode == "output_padding":
        attributes["output_padding"] = [stride - 1 for stride in attributes["strides"]]
    elif mode == "output_shape":
        attributes["output_shape"] = [
            s * 3 + k for s, k in zip(attributes["strides"], attributes["kernel_shape"], strict=True)
        ]
        assume("dilations" not in attributes)
    else:
        attributes["auto_pad"] = mode
        dilations = attributes.get("dilations", [1] * count)
        reach = [d * (k - 1) + 1 for d, k in zip(dilations, attributes["kernel_shape"], strict=True)]
        assume(all(r >= s for r, s in zip(reach, attributes["strides"], strict=True)))
    x = {"x": rng.normal(size=(2, inputs, *(4, 4, 4)[:count]))}
    w = {"w": rng.normal(size=(inputs, outputs, *attributes["kernel_shape"])), "b": rng.normal(size=outputs * group)}
    node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=group, **attributes)

    require_gradients(model_of([node], x, w, ["y"]), x, ["x"], batched=batched)
    if not batched:
        require_gradients(model_of([node], x | w, {}, ["y"]), x | w, ["w", "b"])


def test_a_deformable_convolution_is_refused() -> None:
    rng = np.random.default_rng(0)
    inputs = {"x": rng.normal(size=(1, 2, 5, 5))}
    weights = {"w": rng.normal(size=(2, 2, 3, 3)), "o": np.zeros((1, 18, 3, 3))}
    model = model_of([helper.make_node("DeformConv", ["x", "w", "o"], ["y"], name="bend")], inputs, weights, ["y"], 19)

    with pytest.raises(GradientError, match=r"DeformConv \(node 'bend'\)"):
        gradients(model, inputs, ["x"], np.ones((1, 2, 3, 3)))


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((2, 3), {}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((3, 2), {"strides": [2, 1], "pads": [0, 1, 2, 0], "dilations": [1, 2]}),
    ],
)
@pytest.mark.parametrize("batched", [False, True])
def test_columns_added_up(kernel: tuple[int, int], attributes: dict[str, Any], batched: bool) -> None:
    sizes, strides, pads = (7, 8), attributes.get("strides", [1, 1]), attributes.get("pads", [0] * 4)
    dilations = attributes.get("dilations", [1, 1])
    windows = [
        (size + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i, size in enumerate(sizes)
    ]
    x = {"x": np.random.default_rng(0).normal(size=(2, 3 * kernel[0] * kernel[1], windows[0] * windows[1]))}
    fixed = {"image": np.array(sizes), "block": np.array(kernel)}
    model = model_of([helper.make_node("Col2Im", ["x", "image", "block"], ["y"], **attributes)], x, fixed, ["y"])

    require_gradients(model, x, ["x"], batched=batched)

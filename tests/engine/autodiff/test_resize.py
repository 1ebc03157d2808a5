"""The rule of Resize against ONNX Runtime: resizing is linear, so its gradient must be its transpose."""

from typing import Any

import numpy as np
import onnx
import pytest
from finite import model_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from ddcam.engine.autodiff.backward import backward
from ddcam.engine.autodiff.forward import joined, prepare_forward
from ddcam.engine.errors import GradientError
from ddcam.engine.graph.build import Var
from ddcam.engine.runtime.session import Session

TRANSFORMS = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric"]


def transposed(model: onnx.ModelProto, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Build the gradient, with a free batch, and run it in ONNX Runtime."""
    forward = prepare_forward(model, ["y"], {"x": x[:1]}, {"x": x})
    op = forward.builder("back_")
    seed = helper.make_tensor_value_info("seed", onnx.TensorProto.FLOAT, None)
    [found] = backward(forward, "y", ["x"], Var(op, "seed", "float32", forward.known.shapes["y"]))
    whole = joined(forward, op, [*model.graph.input, seed], [onnx.ValueInfoProto(name=found.name)])
    feeds = {"x": x, "seed": g}
    session = Session(whole.SerializeToString())
    return session.run({name: feeds[name] for name in session.inputs})[0]


def check(shape: tuple[int, ...], further: list[str], weights: dict[str, Any], **attributes: Any) -> None:
    """Require <g, resize(x)> = <dx, x> for random numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    node = helper.make_node("Resize", ["x", *further], ["y"], **attributes)
    model = model_of([node], {"x": x}, {name: np.asarray(v) for name, v in weights.items()}, ["y"], opset=19)
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    [y] = Session(model.SerializeToString()).run({"x": x})
    g = rng.normal(size=y.shape).astype(np.float32)
    found = transposed(model, x, g)

    assert found.shape == x.shape
    products = g * y
    assert abs(products.sum() - (found * x).sum()) <= 1e-5 * np.abs(products).sum()


def by_scales(scales: list[float], **attributes: Any) -> None:
    check((2, 3, 5, 7), ["", "scales"], {"scales": np.array(scales, np.float32)}, **attributes)


def by_sizes(sizes: list[int], **attributes: Any) -> None:
    check((2, 3, 5, 7), ["", "", "sizes"], {"sizes": np.array(sizes)}, axes=[2, 3], **attributes)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["linear", "cubic", "nearest"]),
    st.sampled_from(TRANSFORMS),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
def test_to_sizes(mode: str, transform: str, sizes: tuple[int, int]) -> None:
    by_sizes(list(sizes), mode=mode, coordinate_transformation_mode=transform)


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("scales", [[1, 1, 2, 3], [1, 1, 0.6, 1.7], [1, 1, 1, 0.5]])
def test_by_scales(mode: str, transform: str, scales: list[float]) -> None:
    by_scales(scales, mode=mode, coordinate_transformation_mode=transform)


@pytest.mark.parametrize("nearest", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_nearest(nearest: str, transform: str) -> None:
    by_scales([1, 1, 1.7, 0.6], mode="nearest", nearest_mode=nearest, coordinate_transformation_mode=transform)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias(mode: str) -> None:
    by_sizes([2, 3], mode=mode, antialias=1)


def test_cubic_without_what_lies_outside() -> None:
    by_sizes([9, 4], mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1)


def test_channels() -> None:
    by_scales([1, 2, 1, 1], mode="nearest")


def test_a_region() -> None:
    regions = {
        "roi": np.array([0, 0, 0.1, 0.3, 1, 1, 0.7, 1.2], np.float32),
        "scales": np.array([1, 1, 1.5, 0.6], np.float32),
    }
    check((2, 3, 5, 7), ["roi", "scales"], regions, mode="linear", coordinate_transformation_mode="tf_crop_and_resize")


def test_kept_aspect_ratio_is_refused() -> None:
    with pytest.raises(GradientError, match="aspect ratio"):
        by_sizes([4, 4], mode="linear", keep_aspect_ratio_policy="not_larger")

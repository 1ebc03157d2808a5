"""Methods on the picture's gradient: what they sum to, what they come to without noise, and their options."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ddcam.engine import METHODS
from ddcam.engine.errors import OptionError
from ddcam.engine.methods import method_named
from ddcam.engine.methods.saliency import GRADIENT
from ddcam.engine.methods.smooth_grad import PIECE
from ddcam.engine.model import Model
from ddcam.engine.problem import Problem

Load = Callable[..., Model]
SMOOTH = ("smoothgrad", "smoothgrad-squared", "vargrad")


def without_biases(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Set every vector of weights to 0: all biases, in families without normalisation."""
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 1 and tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    return proto


def with_whole_numbers(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Let a model take uint8 pixels, which it casts and scales."""
    graph = proto.graph
    for node in graph.node:
        node.input[:] = ["scaled" if name == "picture" else name for name in node.input]
    cast = onnx.helper.make_node("Cast", ["picture"], ["real"], to=onnx.TensorProto.FLOAT)
    scale = onnx.helper.make_node("Div", ["real", "two hundred"], ["scaled"])
    graph.initializer.append(numpy_helper.from_array(np.float32(200), "two hundred"))
    nodes = [cast, scale, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    return proto


@pytest.fixture
def posed(zoo: SimpleNamespace, load_here: Load) -> Callable[..., Problem]:
    def pose(family: str, **kwargs: str) -> Problem:
        layout = kwargs.get("layout", "NCHW")
        return Problem(load_here(zoo.build(family, **kwargs)[0]), zoo.pictures(1, layout, seed=5))

    return pose


@pytest.mark.parametrize("family", ["hidden", "residual", "convolutional"])
def test_without_biases_input_x_gradient_sums_to_the_logit(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    problem = Problem(load_here(without_biases(zoo.build(family, ending="none")[0])), zoo.pictures(1, seed=5))

    found = METHODS["input-x-gradient"](problem)

    assert found.scores.sum() == pytest.approx(problem.logits[problem.target], rel=1e-4)
    assert (found.scores < 0).any()
    np.testing.assert_array_equal(found.grid_map, np.maximum(found.scores, 0))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_saliency_is_the_size_of_the_gradient(posed: Callable[..., Problem], layout: str) -> None:
    problem = posed("squeeze_excite", layout=layout)

    [gradient] = problem.run(GRADIENT)

    assert gradient.shape == (3, 16, 16)
    np.testing.assert_allclose(METHODS["saliency"](problem).grid_map, np.abs(gradient).max(0), rtol=1e-5)


@pytest.mark.parametrize("family", ["plain", "squeeze_excite", "vit"])
def test_without_noise_smoothgrad_is_saliency(posed: Callable[..., Problem], family: str) -> None:
    problem = posed(family)
    plain, smooth, squared, variance = (
        method_named(name)(problem).scores for name in ("saliency", *(f"{name}:sigma=0:samples=3" for name in SMOOTH))
    )

    np.testing.assert_allclose(smooth, plain, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(squared, plain**2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(variance, 0, atol=1e-6)


def test_noisy_pictures_are_averaged_in_pieces_as_if_together(posed: Callable[..., Problem]) -> None:
    problem, samples = posed("squeeze_excite"), 2 * PIECE + 3
    noise = np.random.default_rng(7).standard_normal((samples, 3, 16, 16), np.float32) * 0.2 * np.ptp(problem.picture)
    gradients = problem.run(GRADIENT, problem.picture + noise).astype(np.float64)
    options = f"samples={samples}:sigma=0.2:seed=7"
    expected = (np.abs(gradients.mean(0)), (gradients**2).mean(0), gradients.var(0))

    for name, values in zip(SMOOTH, expected, strict=True):
        found = method_named(f"{name}:{options}")(problem).scores
        np.testing.assert_allclose(found, values.max(0), rtol=1e-3, atol=1e-5)
        assert not np.allclose(found, METHODS[name](problem, samples=samples, sigma=0.2, seed=8).scores, rtol=1e-2)


@pytest.mark.parametrize("baseline", ["zero", "black", "blur"])
@pytest.mark.parametrize(("family", "layout"), [("squeeze_excite", "NHWC"), ("convnext", "NCHW"), ("vit", "NCHW")])
def test_integrated_gradients_sum_to_the_change_of_the_logit(
    posed: Callable[..., Problem], family: str, layout: str, baseline: str
) -> None:
    problem = posed(family, layout=layout)
    before = problem.score_images(problem.baseline(baseline))[0, problem.target]

    found = METHODS["integrated-gradients"](problem, baseline=baseline, steps=40)

    change = problem.logits[problem.target] - before
    assert found.scores.sum() == pytest.approx(change, rel=0.02, abs=0.005)
    assert f"changes by {change:.3g}"[:-1] in found.weighting
    assert not found.warnings


def test_a_rough_integral_is_warned_of(posed: Callable[..., Problem]) -> None:
    found = METHODS["integrated-gradients"](posed("squeeze_excite"), steps=1)

    [warning] = found.warnings
    assert "take more with steps=" in warning


@pytest.mark.parametrize("family", ["squeeze_excite", "residual"])
def test_whole_numbers_are_differentiated_after_their_cast(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    picture = np.random.default_rng(5).integers(0, 256, (1, 3, 16, 16), np.uint8)
    real = Problem(load_here(zoo.build(family)[0]), picture.astype(np.float32) / 200)
    whole = Problem(load_here(with_whole_numbers(zoo.build(family)[0])), picture)

    for name in ("saliency", "smoothgrad", "fullgrad", "integrated-gradients"):
        scale = 1 if name in ("integrated-gradients", "fullgrad") else 200
        found, expected = (METHODS[name](problem).scores for problem in (whole, real))
        np.testing.assert_allclose(found * scale, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("text", ["smoothgrad:samples=0", "vargrad:sigma=-1", "integrated-gradients:steps=0"])
def test_senseless_options_are_refused(posed: Callable[..., Problem], text: str) -> None:
    with pytest.raises(OptionError, match="expected"):
        method_named(text)(posed("residual"))


def test_an_unknown_baseline_is_refused(posed: Callable[..., Problem]) -> None:
    with pytest.raises(OptionError, match="zero, black or blur, got 'pink'"):
        method_named("integrated-gradients:baseline=pink")(posed("residual"))


def test_patches_do_not_hinder_maps_of_pixels(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(zoo.build("residual")[0], units="patch"), zoo.pictures(1, seed=5))

    assert METHODS["saliency"](problem).grid_map.shape == (16, 16)

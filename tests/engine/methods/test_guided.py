"""Guided backpropagation and its kin: written out by hand on one layer, and refused without ReLUs."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ddcam.engine import METHODS
from ddcam.engine.errors import GradientError, OptionError
from ddcam.engine.model import Model
from ddcam.engine.problem import Problem

Load = Callable[..., Model]


def scaled(draft: Any, rectify: Callable[[str], str]) -> np.ndarray:
    """Draw a model that scales pixels by positive and negative numbers, rectifies them and adds up; return these."""
    signs, weights = (draft.random.normal(size=(3, 16, 16)).astype(np.float32) for _ in range(2))
    x = rectify(draft.add("Mul", [draft.picture(), draft.constant(signs)]))
    y = draft.add("Mul", [x, draft.constant(weights)], "features")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", y)), 3, 5, "logits")
    return np.stack([signs, weights])


@pytest.mark.parametrize("kind", ["Relu", "Clip"])
def test_what_passes_a_relu_backwards(zoo: SimpleNamespace, load_here: Load, kind: str) -> None:
    draft = zoo.Draft(17)
    bounds = [draft.constant(np.float32(v)) for v in (0, 1)] if kind == "Clip" else []
    signs, weights = scaled(draft, lambda x: draft.add(kind, [x, *bounds]))
    picture = zoo.pictures(1, seed=5)
    problem = Problem(load_here(draft.model("logits")), picture)
    last = next(t for t in draft.tensors if list(t.dims) == [5, 3])
    row = np.frombuffer(last.raw_data, np.float32).reshape(5, 3)[problem.target] / 256
    g, x = weights * row[:, None, None], signs * picture[0]
    active = (x > 0) & ((x < 1) if bounds else True)

    guided, deconvolved, plain = (
        METHODS[name](problem).scores for name in ("guided-backpropagation", "deconvolution", "saliency")
    )

    np.testing.assert_allclose(plain, np.abs(signs * g * active).max(0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(deconvolved, np.abs(signs * np.maximum(g, 0)).max(0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(guided, np.abs(signs * np.maximum(g, 0) * active).max(0), rtol=1e-4, atol=1e-7)


def test_a_clip_that_is_no_relu_keeps_its_gradient(zoo: SimpleNamespace, load_here: Load) -> None:
    draft = zoo.Draft(17)
    bounds = [draft.constant(np.float32(v)) for v in (-1, 1)]
    scaled(draft, lambda x: draft.add("Clip", [x, *bounds]))
    problem = Problem(load_here(draft.model("logits")), zoo.pictures(1, seed=5))

    for name in ("guided-backpropagation", "deconvolution"):
        np.testing.assert_allclose(METHODS[name](problem).scores, METHODS["saliency"](problem).scores, rtol=1e-5)


@pytest.mark.parametrize("opset", [7, 12, 17, 21])
@pytest.mark.parametrize("family", ["squeeze_excite", "convnext", "vit", "mixer"])
def test_other_activations_are_refused(zoo: SimpleNamespace, load_here: Load, family: str, opset: int) -> None:
    problem = Problem(load_here(zoo.build(family, opset)[0]), zoo.pictures(1))

    with pytest.raises(GradientError, match="is another activation; take smoothgrad"):
        METHODS["guided-grad-cam"](problem)


@pytest.mark.parametrize("gate", ["silu", "hard swish"])
def test_gates_that_are_written_out_are_seen(zoo: SimpleNamespace, load_here: Load, gate: str) -> None:
    draft = zoo.Draft(17)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]))
    x = draft.conv(x, 8, 8, 3)
    if gate == "silu":
        weight = draft.add("Sigmoid", x)
    else:
        moved = draft.add("Add", [x, draft.constant(np.float32(3))])
        weight = draft.add("Clip", [moved, *(draft.constant(np.float32(v)) for v in (0, 6))])
    x = draft.add("Mul", [x, weight], "features")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    problem = Problem(load_here(draft.model("logits")), zoo.pictures(1))

    with pytest.raises(GradientError, match=r"Mul .* is another activation"):
        METHODS["guided-backpropagation"](problem)


def test_a_model_without_relu_is_refused(zoo: SimpleNamespace, load_here: Load) -> None:
    draft = zoo.Draft(17)
    x = draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4])
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")

    with pytest.raises(GradientError, match="this model has none"):
        METHODS["deconvolution"](Problem(load_here(draft.model("logits")), zoo.pictures(1)))


def test_guided_grad_cam_is_their_product(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(zoo.build("residual")[0]), zoo.pictures(1, seed=5))
    fine, coarse, both = (METHODS[n](problem).scores for n in ("guided-backpropagation", "grad-cam", "guided-grad-cam"))

    places, centres = (np.arange(16) + 0.5) / 4, np.arange(4) + 0.5
    rows = np.stack([np.interp(places, centres, column) for column in coarse.T], axis=1)
    enlarged = np.stack([np.interp(places, centres, row) for row in rows])
    np.testing.assert_allclose(both, fine * enlarged / coarse.max(), rtol=1e-4, atol=1e-6)


def test_guided_grad_cam_needs_a_feature_map(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(zoo.build("residual")[0], units="patch"), zoo.pictures(1))

    with pytest.raises(OptionError, match="leave out --units patch"):
        METHODS["guided-grad-cam"](problem)

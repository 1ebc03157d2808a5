"""Formulas on whole models: gradients are those of the file itself, whatever its family, operator set and layout."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from ddcam.engine import METHODS
from ddcam.engine.autodiff.formula import Formula, Layer
from ddcam.engine.autodiff.registry import VJP
from ddcam.engine.errors import CheckError, GradientError, OptionError
from ddcam.engine.graph.build import Var
from ddcam.engine.head import bind_head
from ddcam.engine.model import Model
from ddcam.engine.problem import Problem

Load = Callable[..., Model]


def gradient(layer: Layer) -> Var:
    return layer.gradient


PLAIN = Formula("plain", gradient)
VJP_CONV = VJP["Conv"]
OF_THE_PICTURE = Formula("of-the-picture", gradient, "input")
OPSETS = [7, 12, 17, 21, 24]


def differences(value: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-2) -> np.ndarray:
    """Differentiate a function of x by central differences, one number at a time."""
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = np.repeat(x[None].astype(np.float32), 2, axis=0)
        moved[(slice(None), *place)] += [step, -step]
        found[place] = (value(moved[0]) - value(moved[1])) / (2 * step)
    return found


def agree(found: np.ndarray, expected: np.ndarray) -> bool:
    """Tell whether nearly all numbers agree: a difference that crosses a kink is off by itself."""
    scale = np.abs(expected).max()
    return bool(scale > 0 and (np.abs(found - expected) <= 0.02 * scale).mean() >= 0.97)


def by_unit(layer: np.ndarray, model: Model) -> np.ndarray:
    """Bring `[K, h, w]` into the order of `Problem.features`: maps as they are, a row a token."""
    return layer.reshape(len(layer), -1).T if model.split.units == "token" else layer


def require_gradient_of_the_head(model: Model, picture: np.ndarray) -> None:
    problem = Problem(model, picture)
    everything = np.ones((1, problem.units), np.float32)

    def logit(x: np.ndarray) -> float:
        return float(bind_head(model.alone, x, 1).score(everything)[0, problem.target])

    raw = Problem(model, None, features=differences(logit, problem.raw).astype(np.float32))

    assert agree(by_unit(problem.run(PLAIN)[0], model), raw.features)


@pytest.mark.parametrize("opset", OPSETS)
def test_the_gradient_by_the_features_is_that_of_the_head_as_the_file_has_it(
    zoo: SimpleNamespace, load_here: Load, family: str, opset: int
) -> None:
    batch = ["N", 1][opset % 2]
    model = load_here(zoo.build(family, opset, ["Softmax", "none"][opset % 2], batch=batch)[0])

    require_gradient_of_the_head(model, zoo.pictures(1))


def test_it_is_so_in_nhwc(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    require_gradient_of_the_head(load_here(zoo.build(family, layout="NHWC")[0]), zoo.pictures(1, "NHWC"))


def test_half_precision_is_differentiated_in_single(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    half, single = (load_here(zoo.build(family, dtype=dtype)[0]) for dtype in ("float16", "float32"))
    found, expected = (
        Problem(m, zoo.pictures(1, dtype=m.opened.picture.dtype)).run(PLAIN, target=1)[0] for m in (half, single)
    )

    np.testing.assert_allclose(found, expected, atol=0.05 * np.abs(expected).max())


def test_the_gradient_by_the_picture_is_that_of_the_model(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    model = load_here(zoo.build(family, ending="none")[0])
    problem = Problem(model, zoo.pictures(1))
    expected = differences(lambda x: float(problem.score_images(x)[0, problem.target]), problem.picture)

    assert agree(problem.run(OF_THE_PICTURE), expected)


def test_many_pictures_and_targets_are_asked_at_once(zoo: SimpleNamespace, load_here: Load, family: str) -> None:
    model = load_here(zoo.build(family, batch=1)[0])
    problem, pictures = Problem(model, zoo.pictures(1)), zoo.pictures(5, seed=3)
    together = problem.run(OF_THE_PICTURE, pictures, target=2)
    alone = [problem.run(OF_THE_PICTURE, pictures[i : i + 1], target=2)[0] for i in range(5)]

    np.testing.assert_allclose(together, np.stack(alone), atol=1e-5 * np.abs(together).max())


def test_a_wrong_rule_is_found_before_it_is_used(zoo: SimpleNamespace, load_here: Load, monkeypatch: Any) -> None:
    problem = Problem(load_here(zoo.build("residual")[0]), zoo.pictures(1))
    monkeypatch.setitem(VJP, "Conv", lambda node, g: (g.op.Mul(VJP_CONV(node, g)[0], 0.9), None, None))

    with pytest.raises(CheckError, match="is off by"):
        problem.run(OF_THE_PICTURE)


def rounded(zoo: SimpleNamespace) -> onnx.ModelProto:
    """Return a model that quantises its features behind the split and dequantises them again."""
    draft = zoo.Draft(17)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0]), "features")
    scale, zero = draft.constant(np.array(0.02, np.float32)), draft.constant(np.array(0, np.uint8))
    x = draft.add("DequantizeLinear", [draft.add("QuantizeLinear", [x, scale, zero]), scale, zero])
    x = draft.add("Flatten", draft.add("GlobalAveragePool", draft.conv(x, 8, 8, 1)))
    draft.dense(x, 8, 5, "logits")
    return draft.model("logits")


def test_quantised_models_are_refused_with_a_way_out(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(rounded(zoo), split="features"), zoo.pictures(1))

    with pytest.raises(GradientError, match=r"quantised: the gradient through .* is zero .* dd-cam"):
        METHODS["grad-cam"](problem)


def test_patches_have_no_map_to_read(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(zoo.build("plain")[0], units="patch"), zoo.pictures(1))

    with pytest.raises(OptionError, match="leave out --units patch"):
        METHODS["grad-cam"](problem)

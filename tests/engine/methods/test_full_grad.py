"""FullGrad: picture and biases together make the logit, and the map is that of the published code."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ddcam.engine import METHODS
from ddcam.engine.autodiff.formula import Formula, Layer
from ddcam.engine.graph.build import Var
from ddcam.engine.model import Model
from ddcam.engine.problem import Problem

Load = Callable[..., Model]


def everything(picture: Layer, *layers: Layer) -> Var:
    """Return all that makes the logit, `[N, 1 + layers]`."""
    shares = [picture.features * picture.gradient, *(layer.bias * layer.gradient for layer in layers)]
    return picture.features.op.Concat(*(share.sum((1, 2, 3)).reshape([-1, 1]) for share in shares), axis=1)


COMPLETE = Formula("complete", everything, "biases")


def without_last_bias(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Set the biases of linear layers to 0."""
    named = {node.input[2] for node in proto.graph.node if node.op_type == "Gemm"}
    for tensor in proto.graph.initializer:
        if tensor.name in named:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(tensor.dims, np.float32), tensor.name))
    return proto


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("family", "layers"), [("plain", 2), ("hidden", 2), ("residual", 3), ("convolutional", 3)])
def test_picture_and_biases_make_the_logit(
    zoo: SimpleNamespace, load_here: Load, family: str, layers: int, layout: str
) -> None:
    model = load_here(without_last_bias(zoo.build(family, layout=layout)[0]))
    problem = Problem(model, zoo.pictures(1, layout, seed=5))

    [shares] = problem.run(COMPLETE)

    assert shares.shape == (1 + layers,)
    assert np.abs(shares[1:]).min() > 0
    assert shares.sum() == pytest.approx(problem.logits[problem.target], rel=1e-4)


def test_a_batch_normalisation_that_cannot_be_folded_has_a_bias_too(zoo: SimpleNamespace, load_here: Load) -> None:
    draft = zoo.Draft(17)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]))
    x = draft.add("Relu", draft.batch_norm(draft.add("MaxPool", x, kernel_shape=[2, 2]), 8), "features")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    problem = Problem(load_here(without_last_bias(draft.model("logits"))), zoo.pictures(1, seed=5))

    [shares] = problem.run(COMPLETE)

    assert shares.shape == (3,)
    assert shares.sum() == pytest.approx(problem.logits[problem.target], rel=1e-4)


def test_pictures_of_a_batch_do_not_meet(zoo: SimpleNamespace, load_here: Load) -> None:
    problem = Problem(load_here(zoo.build("residual")[0]), zoo.pictures(1))
    formula, pictures = METHODS["fullgrad"].formula, zoo.pictures(3, seed=5)
    assert formula is not None

    together = problem.run(formula, pictures)
    alone = np.concatenate([problem.run(formula, pictures[i : i + 1]) for i in range(3)])

    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    assert together.shape == (3, 16, 16)
    assert together.min(axis=(1, 2)).max() == 0

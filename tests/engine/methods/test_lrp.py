"""Relevance is handed back whole, to what made the logit."""

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ddcam.engine.errors import GradientError, OptionError
from ddcam.engine.methods import METHODS, method_named
from ddcam.engine.methods.lrp import lrp
from ddcam.engine.problem import Problem

RELU = ("plain", "hidden", "residual", "concatenated", "convolutional")
CASES = [
    *((family, rule) for family in (*RELU, "squeeze_excite", "convnext") for rule in ("epsilon", "epsilon-gamma")),
    # What raises a result alone explains none of a negative one, as activations other than ReLU let through.
    *((family, rule) for family in RELU for rule in ("epsilon-plus", "epsilon-plus-flat", "z-plus")),
]


def without_biases(model: onnx.ModelProto) -> onnx.ModelProto:
    """Set to zero whatever a layer adds, the shift of batch and layer norms too."""
    added = {"Conv": (2,), "Gemm": (2,), "BatchNormalization": (2, 3), "LayerNormalization": (2,), "Add": (0, 1)}
    names = {n.input[i] for n in model.graph.node for i in added.get(n.op_type, ()) if i < len(n.input)}
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name in names and array.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(array), tensor.name))
    return model


def pose(zoo, load_here, family: str, **kwargs) -> Problem:
    model = without_biases(zoo.build(family, **kwargs)[0])
    return Problem(load_here(model), zoo.pictures(1, kwargs.get("layout", "NCHW")))


@pytest.mark.parametrize(("family", "rule"), CASES)
def test_without_biases_the_map_sums_to_the_logit(zoo, load_here, family, rule):
    problem = pose(zoo, load_here, family)

    found = method_named(f"lrp:rule={rule}")(problem).scores

    assert found.shape == (16, 16)
    allowed = 1e-3 if family == "convnext" else 1e-4  # large shares of both signs: an epsilon of 1e-6 takes 2e-4 of it
    assert found.sum(dtype=np.float64) == pytest.approx(problem.logits[problem.target], rel=allowed)


@pytest.mark.parametrize("kwargs", [{"layout": "NHWC"}, {"opset": 11}, {"opset": 20}, {"batch": 1}])
@pytest.mark.parametrize("family", ["plain", "squeeze_excite"])
def test_layouts_opsets_and_fixed_batches_keep_the_sum(zoo, load_here, family, kwargs):
    problem = pose(zoo, load_here, family, **kwargs)

    found = method_named("lrp:rule=epsilon")(problem).scores

    assert found.sum(dtype=np.float64) == pytest.approx(problem.logits[problem.target], rel=1e-4)


def test_gelu_written_out_passes_as_the_operator_does(zoo, load_here):
    written, operator = (lrp(pose(zoo, load_here, "convnext", opset=opset)).scores for opset in (17, 20))

    np.testing.assert_allclose(written, operator, atol=1e-3 * np.abs(operator).max())


def test_bias_takes_its_share_and_a_layer_written_as_product_and_sum_is_the_layer(zoo, load_here):
    def draw(dense: str) -> Problem:
        draft = zoo.Draft()
        draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
        x = draft.add("Relu", draft.conv("features", 8, 8, 3))
        x = draft.add("Flatten", draft.add("GlobalAveragePool", x))
        weight, bias = draft.weight(8, 5, fan=8), draft.weight(5, fan=20)
        if dense == "Gemm":
            draft.add("Gemm", [x, weight, bias], "logits")
        else:
            draft.add("Add", [draft.add("MatMul", [x, weight]), bias], "logits")
        return Problem(load_here(draft.model(draft.end("Softmax"))), zoo.pictures(1))

    one, two = draw("Gemm"), draw("MatMul")

    np.testing.assert_allclose(lrp(one).scores, lrp(two).scores, rtol=1e-3, atol=1e-6)
    assert lrp(one).scores.sum() != pytest.approx(one.logits[one.target], rel=1e-2)


def test_the_first_layer_shares_evenly_among_what_it_sees(zoo, load_here):
    draft = zoo.Draft(seed=3)
    x = draft.conv(draft.picture(), 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    x = draft.add("Relu", draft.conv(draft.add("Relu", x), 8, 8, 3), "features")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    problem = Problem(load_here(draft.model(draft.end("Softmax"))), zoo.pictures(1))

    squares = lrp(problem).scores.reshape(4, 4, 4, 4).swapaxes(1, 2).reshape(16, 16)

    np.testing.assert_allclose(squares, squares[:, :1].repeat(16, 1), rtol=1e-4)
    assert np.unique(squares[:, 0].round(6)).size > 8


def test_a_mixer_has_no_attention_and_is_explained(zoo, load_here):
    problem = pose(zoo, load_here, "mixer")

    assert method_named("lrp:rule=epsilon")(problem).scores.sum(dtype=np.float64) == pytest.approx(
        problem.logits[problem.target], rel=5e-3
    )


@pytest.mark.parametrize("family", ["vit", "vit_mean"])
def test_attention_is_refused_with_what_to_take(zoo, load_here, family):
    with pytest.raises(GradientError, match=r"no relevance through .* attention-relevance"):
        lrp(pose(zoo, load_here, family))


def test_a_map_of_what_biases_left_over_is_warned_of(zoo, load_here):
    model = zoo.build("plain")[0]
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.shape == (5,):  # of the classes
            tensor.CopyFrom(numpy_helper.from_array(array + 100, tensor.name))
    biased = Problem(load_here(model), zoo.pictures(1))

    [warning] = lrp(biased).warnings

    assert "sums to" in warning
    assert lrp(pose(zoo, load_here, "plain")).warnings == ()


def test_gamma_grows_into_z_plus(zoo, load_here):
    problem = pose(zoo, load_here, "hidden")
    plus = method_named("lrp:rule=epsilon-plus")(problem).scores

    far, near = (method_named(f"lrp:rule=epsilon-gamma:gamma={g}")(problem).scores for g in (1e4, 1))

    assert np.abs(far - plus).max() < 1e-2 * np.abs(plus).max() < np.abs(near - plus).max()


def test_an_unknown_rule_is_refused(zoo, load_here):
    with pytest.raises(OptionError, match="epsilon-plus"):
        method_named("lrp:rule=plus")(pose(zoo, load_here, "plain"))


def test_every_rule_is_a_graph_of_its_own():
    default, other = METHODS["lrp"].formula, method_named("lrp:rule=epsilon").formula

    assert default is not None
    assert other is not None
    assert (default.name, default.rules["Conv"]) != (other.name, other.rules["Conv"])

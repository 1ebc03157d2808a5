"""Attention followed through the blocks, against the products as the papers write them."""

import numpy as np
import onnx
import pytest

from ddcam.engine.errors import GradientError
from ddcam.engine.methods.attention import attention_relevance, attention_rollout
from ddcam.engine.problem import Problem

FIXED = {"vit": 1, "vit_registers": 3, "vit_mean": 0}


def attentions(zoo, model: onnx.ModelProto, picture: np.ndarray) -> list[np.ndarray]:
    """Run the model and return the mean attention of each block, `[T, T]`."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    names = [node.output[0] for node in model.graph.node if node.op_type == "Softmax"][:-1]  # the last are the classes
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return [value[0].mean(0) for value in zoo.run(probe, {"picture": picture}, names)]


@pytest.mark.parametrize("family", FIXED)
def test_rollout_is_the_product_of_mean_attention_and_identity(zoo, load_here, family):
    model, picture, fixed = zoo.build(family)[0], zoo.pictures(1), FIXED[family]
    first, second = ((a + np.eye(len(a))) / 2 for a in attentions(zoo, model, picture))

    found = attention_rollout(Problem(load_here(model), picture)).scores

    rows = second @ first
    expected = rows[0] if fixed else rows.mean(0)
    np.testing.assert_allclose(found, expected[fixed:].reshape(4, 4), rtol=1e-4)


def test_a_row_of_rollout_sums_to_one(zoo, load_here):
    problem = Problem(load_here(zoo.build("vit_mean")[0]), zoo.pictures(1))

    assert attention_rollout(problem).scores.sum() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("kwargs", [{"batch": 1}, {"opset": 11}, {"layout": "NHWC"}])
@pytest.mark.parametrize("method", [attention_rollout, attention_relevance])
def test_what_surrounds_the_blocks_changes_nothing(zoo, load_here, method, kwargs):
    usual = method(Problem(load_here(zoo.build("vit")[0]), zoo.pictures(1))).scores
    picture = zoo.pictures(1)
    if "layout" in kwargs:
        picture = np.ascontiguousarray(np.moveaxis(picture, 1, 3))

    other = method(Problem(load_here(zoo.build("vit", **kwargs)[0]), picture)).scores

    np.testing.assert_allclose(other, usual, rtol=1e-3, atol=1e-7)


def test_relevance_sees_the_class_and_is_never_negative(zoo, load_here):
    model = load_here(zoo.build("vit")[0])
    first, second = Problem(model, zoo.pictures(1)).top()[:2]
    maps = [
        attention_relevance(Problem(model, zoo.pictures(1), target=str(c.index), preserve="topk:3")).scores
        for c in (first, second)
    ]

    assert (maps[0] >= 0).all()
    assert np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1] < 0.999


@pytest.mark.parametrize("family", ["plain", "mixer"])
def test_without_attention_both_are_refused(zoo, load_here, family):
    problem = Problem(load_here(zoo.build(family)[0]), zoo.pictures(1))

    for method in (attention_rollout, attention_relevance):
        with pytest.raises(GradientError, match="no attention between tokens; explain with"):
            method(problem)


def test_an_operator_that_hides_its_probabilities_is_refused(zoo, load_here):
    problem = Problem(load_here(zoo.build("vit", 23)[0]), zoo.pictures(1))

    with pytest.raises(GradientError, match=r"Attention .* keeps its probabilities to itself"):
        attention_rollout(problem)


def test_windows_are_refused(zoo, load_here):
    draft = zoo.Draft()
    tokens = draft.conv(draft.picture(), 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0])
    tokens = draft.add("Transpose", draft.reshape(tokens, [8, 16]), "tokens", perm=[0, 2, 1])
    windows = draft.reshape(draft.project(tokens, 8, 8), [4, 4, 8])
    turned = draft.add("Transpose", windows, perm=[0, 1, 3, 2])
    weights = draft.add("Softmax", draft.add("MatMul", [windows, turned]), axis=3)
    mixed = draft.reshape(draft.add("MatMul", [weights, windows]), [16, 8])
    mixed = draft.add("Add", [draft.project(mixed, 8, 8), "tokens"], "features")
    draft.dense(draft.reduce("ReduceMean", mixed, [1], keepdims=0), 8, 5, "logits")
    problem = Problem(load_here(draft.model(draft.end("Softmax"))), zoo.pictures(1))

    with pytest.raises(GradientError, match="not between all 16 tokens, but windows"):
        attention_relevance(problem)

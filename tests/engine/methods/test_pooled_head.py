"""CAM, Recipro-CAM and FEM: on a head that pools and multiplies, all that is known of them in closed form."""

import numpy as np
import onnx
import pytest

from ddcam.engine.errors import OptionError
from ddcam.engine.methods.cam import cam
from ddcam.engine.methods.fem import fem
from ddcam.engine.methods.recipro_cam import recipro_cam, windows_of
from ddcam.engine.problem import Problem
from ddcam.engine.search.predicate import probabilities


def pooled(zoo, load_here, units=None, layout="NCHW") -> tuple[Problem, np.ndarray, float]:
    """Return a problem with a pooled linear head, the target's weights `[K]` and its bias."""
    proto, _ = zoo.build("plain", ending="none", layout=layout)
    problem = Problem(load_here(proto, units=units), zoo.pictures(1, layout))
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
    matrix = next(t for name in proto.graph.node[-1].input if (t := tensors.get(name)) is not None and t.ndim == 2)
    weights = (matrix if matrix.shape[0] == 5 else matrix.T)[problem.target].astype(float)
    return problem, weights, float(problem.logits[problem.target] - weights @ problem.maps.mean(axis=(1, 2)))


@pytest.mark.parametrize(("units", "layout"), [(None, "NCHW"), ("cell", "NCHW"), (None, "NHWC"), ("cell", "NHWC")])
def test_cam_weighs_channels_as_the_classifier_layer_does(zoo, load_here, units, layout):
    problem, weights, bias = pooled(zoo, load_here, units, layout)
    found = cam(problem).scores

    np.testing.assert_allclose(found, np.tensordot(weights, problem.maps, axes=1), rtol=1e-3, atol=1e-4)
    assert found.mean() + bias == pytest.approx(problem.logits[problem.target], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("family", ["hidden", "convolutional", "convnext", "squeeze_excite", "vit", "vit_mean"])
def test_cam_refuses_heads_that_do_more(zoo, load_here, family):
    problem = Problem(load_here(zoo.build(family)[0]), zoo.pictures(1))

    with pytest.raises(OptionError, match="only pool and multiply"):
        cam(problem)


def test_cam_refuses_a_linear_head_with_weights_for_every_position(zoo, load_here):
    draft = zoo.Draft(17)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    draft.dense(draft.add("Flatten", x), 8 * 16, 5, "logits")
    problem = Problem(load_here(draft.model("logits"), split="features"), zoo.pictures(1))

    assert problem.model.head_class[0] == "additive"
    with pytest.raises(OptionError, match="only pool and multiply"):
        cam(problem)


@pytest.mark.parametrize("units", [None, "cell"])
def test_recipro_cam_on_logits_is_cam_over_the_number_of_cells_and_the_bias(zoo, load_here, units):
    problem, weights, bias = pooled(zoo, load_here, units)
    found = recipro_cam(problem, score="logit")
    expected = np.tensordot(weights, problem.maps, axes=1) / found.scores.size + bias

    np.testing.assert_allclose(found.scores, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.grid_map, expected - expected.min(), atol=1e-4)


def test_recipro_cam_scores_maps_by_probability_and_tokens_by_logit(zoo, load_here):
    for family, score, window in (("convnext", "prob", "cell"), ("vit", "logit", "gaussian")):
        problem = Problem(load_here(zoo.build(family)[0]), zoo.pictures(1))

        same = recipro_cam(problem, score=score, window=window).scores
        np.testing.assert_array_equal(recipro_cam(problem).scores, same)


def test_recipro_cam_of_a_token_is_the_score_of_that_token_alone(zoo, load_here):
    problem = Problem(load_here(zoo.build("vit")[0]), zoo.pictures(1))
    logits = problem.score(np.eye(problem.units, dtype=np.float32))
    expected = probabilities(logits, "softmax")[:, problem.target]

    found = recipro_cam(problem, window="cell", score="prob").scores

    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-3, atol=1e-6)


def test_windows_lie_around_their_positions():
    assert windows_of((3, 4), "cell").shape == (12, 3, 4)
    np.testing.assert_array_equal(windows_of((3, 4), "cell").reshape(12, 12), np.eye(12))
    np.testing.assert_allclose(windows_of((3, 4), "gaussian")[5] * 16, [[1, 2, 1, 0], [2, 4, 2, 0], [1, 2, 1, 0]])
    np.testing.assert_allclose(windows_of((3, 4), "gaussian")[3] * 16, [[0, 0, 2, 4], [0, 0, 1, 2], [0, 0, 0, 0]])


def test_fem_adds_the_means_of_channels_where_they_stand_out(zoo, load_here):
    problem = Problem(load_here(zoo.build("concatenated")[0]), zoo.pictures(1))
    masks, features = np.zeros(problem.split.grid), np.zeros(problem.split.grid)
    for channel in problem.maps.astype(float):
        outstanding = channel > channel.mean() + 2 * channel.std()
        masks += channel.mean() * outstanding
        features += outstanding.mean() * channel

    assert masks.any()
    np.testing.assert_allclose(fem(problem).scores, masks, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fem(problem, form="features").scores, features, rtol=1e-5, atol=1e-7)


def test_other_windows_and_forms_are_refused(zoo, load_here):
    problem = Problem(load_here(zoo.build("plain")[0]), zoo.pictures(1))

    with pytest.raises(OptionError, match="window="):
        recipro_cam(problem, window="square")
    with pytest.raises(OptionError, match="form="):
        fem(problem, form="paper")

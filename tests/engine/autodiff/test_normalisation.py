"""Rules of normalisations against finite differences."""

import numpy as np
import onnx
import pytest
from finite import gradients, model_of, require_gradients
from onnx import helper

from ddcam.engine.errors import GradientError


@pytest.mark.parametrize("computed", [False, True])
@pytest.mark.parametrize("spatial", [(), (4,), (3, 2)])
def test_batch_normalization(spatial: tuple[int, ...], computed: bool) -> None:
    rng = np.random.default_rng(5)
    inputs = {"x": rng.normal(size=(3, 5, *spatial))}
    fixed = {"s": rng.normal(size=5), "b": rng.normal(size=5), "m": rng.normal(size=5), "v": rng.uniform(0.5, 2, 5)}
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=0.01)
    if computed:
        model = model_of([node], inputs | fixed, {}, ["y"])
        require_gradients(model, inputs | fixed, ["x", *fixed])
    else:
        require_gradients(model_of([node], inputs, fixed, ["y"]), inputs, ["x"], batched=True)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("axis", [1, 2, -1, -2, 0])
def test_layer_normalization(axis: int, bias: bool, batched: bool) -> None:
    rng = np.random.default_rng(6)
    shape = (3, 4, 5)
    inputs = {"x": rng.normal(size=shape)}
    weights = {"s": rng.normal(size=shape[axis:])} | ({"b": rng.normal(size=shape[axis:])} if bias else {})
    node = helper.make_node("LayerNormalization", ["x", *weights], ["y"], axis=axis, epsilon=0.01)

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], batched=batched)
    if not batched:
        every = inputs | weights
        require_gradients(model_of([node], every, {}, ["y"]), every, list(every))


@pytest.mark.parametrize("spatial", [(4,), (3, 2), (2, 3, 2)])
def test_instance_normalization(spatial: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    inputs, weights = {"x": rng.normal(size=(3, 4, *spatial))}, {"s": rng.normal(size=4), "b": rng.normal(size=4)}
    node = helper.make_node("InstanceNormalization", ["x", "s", "b"], ["y"], epsilon=0.01)

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], batched=True)
    every = inputs | weights
    require_gradients(model_of([node], every, {}, ["y"]), every, list(every))


@pytest.mark.parametrize("opset", [18, 21])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("spatial", [(4,), (3, 2)])
def test_group_normalization(spatial: tuple[int, ...], groups: int, opset: int) -> None:
    rng, count = np.random.default_rng(8), groups if opset == 18 else 6
    inputs = {"x": rng.normal(size=(3, 6, *spatial))}
    weights = {"s": rng.normal(size=count), "b": rng.normal(size=count)}
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], epsilon=0.01, num_groups=groups)
    if opset == 21:
        node.attribute.append(helper.make_attribute("stash_type", onnx.TensorProto.DOUBLE))

    require_gradients(model_of([node], inputs, weights, ["y"], opset), inputs, ["x"], batched=True)
    every = inputs | weights
    require_gradients(model_of([node], every, {}, ["y"], opset), every, list(every))


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("axis", [1, -1])
def test_rms_normalization(axis: int, batched: bool) -> None:
    rng, shape = np.random.default_rng(9), (3, 4, 5)
    inputs, weights = {"x": rng.normal(size=shape)}, {"s": rng.normal(size=shape[axis:])}
    node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], axis=axis, epsilon=0.01)

    require_gradients(model_of([node], inputs, weights, ["y"], 23), inputs, ["x"], batched=batched)
    if not batched:
        every = inputs | weights
        require_gradients(model_of([node], every, {}, ["y"], 23), every, list(every))


@pytest.mark.parametrize("axes", [None, [1, 2], [0, 2, 3], [-1]])
def test_mean_variance_normalization(axes: list[int] | None) -> None:
    inputs = {"x": np.random.default_rng(10).normal(size=(3, 2, 4, 5))}
    node = helper.make_node("MeanVarianceNormalization", ["x"], ["y"], **({"axes": axes} if axes else {}))

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["x"], batched=True)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_local_response_normalization(size: int) -> None:
    inputs = {"x": np.random.default_rng(11).normal(size=(2, 6, 3, 2))}
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=0.5, beta=0.75, bias=1.5)

    require_gradients(model_of([node], inputs, {}, ["y"]), inputs, ["x"], batched=True)


def test_layer_normalization_over_an_open_axis() -> None:
    inputs, weights = {"x": np.random.default_rng(12).normal(size=(3, 4))}, {"s": np.ones((3, 4))}
    node = helper.make_node("LayerNormalization", ["x", "s"], ["y"], axis=0, epsilon=0.01)

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], batched=True)


def test_batch_normalization_in_training_is_refused() -> None:
    inputs, weights = {"x": np.ones((2, 3))}, {name: np.ones(3) for name in "sbmv"}
    node = helper.make_node("BatchNormalization", ["x", *weights], ["y", "mean", "var"], training_mode=1)
    model = model_of([node], inputs, weights, ["y"])

    with pytest.raises(GradientError, match="training mode"):
        gradients(model, inputs, ["x"], np.ones((2, 3)))


DEFAULTS: list[tuple[str, str, dict[str, int]]] = [
    ("BatchNormalization", "sbmv", {}),
    ("InstanceNormalization", "sb", {}),
    ("GroupNormalization", "sb", {"num_groups": 6}),
    ("LRN", "", {"size": 3}),
]


@pytest.mark.parametrize("case", DEFAULTS, ids=lambda case: case[0])
def test_attributes_left_out(case: tuple[str, str, dict[str, int]]) -> None:
    kind, names, needed = case
    rng = np.random.default_rng(13)
    # variances of the order of epsilon, and values at which LRN's small alpha still counts
    inputs = {"x": rng.normal(size=(2, 6, 3, 2)) * (30 if kind == "LRN" else 0.003)}
    weights = {name: rng.uniform(1, 2, 6) * (1e-5 if name == "v" else 1) for name in names}
    node = helper.make_node(kind, ["x", *weights], ["y"], **needed)

    require_gradients(model_of([node], inputs, weights, ["y"]), inputs, ["x"], tolerance=1e-4)


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization"])
def test_axis_and_epsilon_left_out(kind: str) -> None:
    rng = np.random.default_rng(14)
    inputs, weights = {"x": rng.normal(size=(3, 4, 5)) * 0.003}, {"s": rng.normal(size=5)}
    model = model_of([helper.make_node(kind, ["x", "s"], ["y"])], inputs, weights, ["y"], 23)

    require_gradients(model, inputs, ["x"], tolerance=1e-4)

"""Probing from where units meet gives what the whole head gives, and units are followed only while they stay apart."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from ddcam.engine.graph.advance import advance, axis_after
from ddcam.engine.types import Split, Value

APART = {"plain", "residual", "concatenated", "squeeze_excite", "convnext"}
"""Families whose head begins with pooling: one number per channel is left."""


def masks_for(units: int) -> np.ndarray:
    masks = np.random.default_rng(units).integers(0, 2, (8, units)).astype(np.float32)
    masks[0], masks[1] = 1, 0
    return masks


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("opset", [7, 13, 17])
def test_probes_equal_the_whole_head(zoo: Any, load_here: Any, family: str, layout: str, opset: int) -> None:
    try:
        proto, _ = zoo.build(family, opset, layout=layout)
    except Exception as error:
        pytest.skip(f"{family} cannot be written with opset {opset}: {error}")
    model = load_here(proto)
    features = model.features(zoo.pictures(1, layout))
    masks = masks_for(model.split.count)
    probed = model.bind(model.each(features)).score(masks)

    np.testing.assert_allclose(probed, model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", ["N", 1])
def test_pooled_channels_come_to_one_number_each(zoo: Any, load_here: Any, family: str, batch: str | int) -> None:
    model = load_here(zoo.build(family, batch=batch)[0])

    assert (model.apart is not None) == (family in APART)
    if family in APART:
        assert model.each(model.features(zoo.pictures(1))).size == model.split.count
        assert model.batch > 1


def test_effects_of_units_are_known_where_they_add_up(zoo: Any, load_here: Any, family: str) -> None:
    model = load_here(zoo.build(family)[0])
    effects = model.unit_effects

    assert (effects is not None) == (family in APART and zoo.FAMILIES[family].head == "additive")
    if effects is not None:
        each = model.each(model.features(zoo.pictures(1)))
        bound, alone = model.bind(each), np.eye(model.split.count, dtype=np.float32)
        expected = bound.score(alone) - bound.score(np.zeros_like(alone[:1]))
        np.testing.assert_allclose(each.reshape(-1, 1) * effects, expected, rtol=1e-4, atol=1e-5)


def test_a_removed_unit_need_not_be_zero_where_units_meet(zoo: Any, load_here: Any) -> None:
    """A sigmoid makes one half of a channel of zeros; the probe selects that."""
    draft = zoo.Draft(17)
    maps = draft.add("Conv", ["picture", draft.weight(6, 3, 3, 3, fan=27)], "maps", pads=[1, 1, 1, 1])
    pool = draft.add("GlobalAveragePool", draft.add("Sigmoid", maps))
    draft.dense(draft.add("Flatten", pool), 6, 5, "logits")
    model = load_here(draft.model(draft.end("Softmax")), split="maps")
    features, masks = model.features(zoo.pictures(1)), masks_for(6)

    np.testing.assert_allclose(model.probe.removed, np.full((1, 6), 0.5))
    probed = model.bind(model.each(features)).score(masks)
    np.testing.assert_allclose(probed, model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-6)


STEPS = [
    ("Relu", {}, 1, (1, 6, 4, 4), (1, 6, 4, 4), 1),
    ("GlobalAveragePool", {}, 1, (1, 6, 4, 4), (1, 6, 1, 1), 1),
    ("MaxPool", {"kernel_shape": [2, 2]}, 3, (1, 4, 4, 6), (1, 3, 3, 6), None),
    ("ReduceMean", {"axes": [1, 2], "keepdims": 0}, 3, (1, 4, 4, 6), (1, 6), 1),
    ("ReduceMean", {"axes": [-1]}, 3, (1, 4, 4, 6), (1, 4, 4, 1), None),
    ("ReduceMean", {}, 1, (1, 6, 4, 4), (1, 1, 1, 1), None),
    ("Transpose", {"perm": [0, 2, 3, 1]}, 1, (1, 6, 4, 4), (1, 4, 4, 6), 3),
    ("Flatten", {}, 1, (1, 6, 1, 1), (1, 6), 1),
    ("Flatten", {}, 1, (1, 6, 4, 4), (1, 96), None),
    ("Reshape", {}, 3, (1, 1, 1, 6), (1, 6), 1),
    ("Reshape", {}, 1, (1, 6, 1, 1), (6, 1), None),
    ("LayerNormalization", {"axis": -1}, 1, (1, 9, 8), (1, 9, 8), 1),
    ("LayerNormalization", {"axis": 1}, 1, (1, 9, 8), (1, 9, 8), None),
    ("MatMul", {}, 1, (1, 9, 8), (1, 9, 5), 1),
    ("MatMul", {}, 1, (1, 8), (1, 5), None),
    ("Softmax", {}, 1, (1, 9, 8), (1, 9, 8), None),
    ("Add", {}, 1, (1, 6, 1, 1), (1, 6, 4, 4), None),
]


@pytest.mark.parametrize(("kind", "attributes", "axis", "before", "after", "expected"), STEPS)
def test_units_are_followed_while_they_stay_apart(
    kind: str,
    attributes: dict[str, Any],
    axis: int,
    before: tuple[int, ...],
    after: tuple[int, ...],
    expected: int | None,
) -> None:
    node = helper.make_node(kind, ["x", "w"], ["y"], **attributes)
    weight = numpy_helper.from_array(np.zeros((before[-1], after[-1]), np.float32), "w")
    graph = helper.make_graph([node], "g", [], [], [weight] if kind in ("MatMul", "Add") else [])

    assert axis_after(graph, node, axis, before, after) == expected


def test_a_tensor_that_two_operators_read_is_not_passed() -> None:
    """Behind a branching the two ways meet again, and units with them."""
    nodes = [helper.make_node(*step) for step in (("Relu", "x", "a"), ("Sigmoid", "a", "b"), ("Mul", "ab", "c"))]
    nodes.append(helper.make_node("ReduceSum", ["c"], ["y"]))
    values = {name: Value((1, 6, 4, 4), "float32") for name in "xabc"} | {"y": Value((1, 1, 1, 1), "float32")}
    split = Split("x", "float32", (1, 6, 4, 4), "channel", 6, 1, (4, 4), (), "")
    graph = onnx.GraphProto(name="g", node=nodes)

    assert advance(graph, split, "y", values).tensor == "a"
    assert advance(graph, Split(**vars(split) | {"units": "cell"}), "y", values).tensor == "x"

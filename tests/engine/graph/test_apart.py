"""Probing from where units meet gives what the whole head gives, and units are followed only while they stay apart."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from ddcam.engine.graph.apart import Step, advance, axis_after
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
    probed = model.bind(features).score(masks)

    np.testing.assert_allclose(probed, model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", ["N", 1])
def test_pooled_channels_come_to_one_number_each(zoo: Any, load_here: Any, family: str, batch: str | int) -> None:
    model = load_here(zoo.build(family, batch=batch)[0])

    assert (model.probe.kind == "apart") == (family in APART)
    if family in APART:
        assert int(np.prod(model.probe.point.shape)) == model.split.count
        assert model.batch > 1


def test_effects_of_units_are_known_where_they_add_up(zoo: Any, load_here: Any, family: str) -> None:
    model = load_here(zoo.build(family)[0])
    effects = model.unit_effects

    assert (effects is not None) == (family in APART and zoo.FAMILIES[family].head == "additive")
    if effects is not None:
        features = model.features(zoo.pictures(1))
        each = model.probe.prepare(features)["ddcam_features"]
        bound, alone = model.bind(features), np.eye(model.split.count, dtype=np.float32)
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
    probed = model.bind(features).score(masks)
    np.testing.assert_allclose(probed, model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-6)


def test_channels_that_are_turned_round_are_answered_rightly(zoo: Any, load_here: Any) -> None:
    """Whatever the graph is taken for, the proof on a photograph decides."""
    draft = zoo.Draft(17)
    maps = draft.add("Conv", ["picture", draft.weight(6, 3, 3, 3, fan=27)], "maps", pads=[1, 1, 1, 1])
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", draft.add("Relu", maps)))
    numbers = [draft.constant(np.array([value])) for value in (-1, -7, 1, -1)]
    draft.dense(draft.add("Relu", draft.dense(draft.add("Slice", [pooled, *numbers]), 6, 8)), 8, 5, "logits")
    model = load_here(draft.model(draft.end("Softmax")), split="maps")
    features, masks = model.features(zoo.pictures(1)), masks_for(6)

    probed = model.bind(features).score(masks)
    np.testing.assert_allclose(probed, model.bind_alone(features).score(masks), rtol=1e-5, atol=1e-6)


STEPS = [
    ("Relu", {}, 1, (1, 6, 4, 4), (1, 6, 4, 4), 1),
    ("GlobalAveragePool", {}, 1, (1, 6, 4, 4), (1, 6, 1, 1), 1),
    ("MaxPool", {"kernel_shape": [2, 2]}, 3, (1, 4, 4, 6), (1, 3, 3, 6), None),
    ("ReduceMean", {"axes": [1, 2], "keepdims": 0}, 3, (1, 4, 4, 6), (1, 6), 1),
    ("ReduceMean", {"axes": [-1]}, 3, (1, 4, 4, 6), (1, 4, 4, 1), None),
    ("Transpose", {"perm": [0, 2, 3, 1]}, 1, (1, 6, 4, 4), (1, 4, 4, 6), 3),
    ("Flatten", {}, 1, (1, 6, 1, 1), (1, 6), 1),
    ("Flatten", {}, 1, (1, 6, 4, 4), (1, 96), None),
    ("Reshape", {}, 3, (1, 1, 1, 6), (1, 6), 1),
    ("Reshape", {}, 1, (1, 6, 1, 1), (6, 1), 0),
    ("Reshape", {}, 1, (1, 6, 4), (1, 4, 6), None),
    ("Reshape", {}, 1, (1, 4, 4, 6), (1, 2, 2, 4, 6), None),
    ("Reshape", {}, 2, (1, 9, 6), (1, 9, 2, 3), None),
    ("Reshape", {}, 1, (1, 9, 6), (1, 9, 2, 3), 1),
    ("Reshape", {}, 1, (1, 9, 6), (9, 6), 0),
    ("Reshape", {}, 1, (1, 1, 4), (1, 1, 1, 4), None),
    ("LayerNormalization", {"axis": -1}, 1, (1, 9, 8), (1, 9, 8), 1),
    ("LayerNormalization", {"axis": 1}, 1, (1, 9, 8), (1, 9, 8), None),
    ("MatMul", {}, 1, (1, 9, 8), (1, 9, 5), 1),
    ("MatMul", {}, 1, (1, 8), (1, 5), None),
    ("MatMul", {}, 2, (1, 9, 8), (1, 9, 8), None),
    ("Gemm", {}, 0, (9, 8), (9, 5), 0),
    ("Gemm", {"transA": 1}, 0, (8, 8), (8, 5), None),
    ("Softmax", {}, 1, (1, 9, 8), (1, 9, 8), 1),
    ("Softmax", {}, 2, (1, 9, 8), (1, 9, 8), None),
    ("Softmax", {"axis": 1}, 1, (1, 9, 8), (1, 9, 8), None),
    ("Softmax", {"axis": 1}, 2, (1, 9, 8), (1, 9, 8), None),
    ("Add", {}, 1, (1, 6, 1, 1), (1, 6, 4, 4), 1),
    ("Conv", {"group": 6}, 1, (1, 6, 4, 4), (1, 6, 4, 4), 1),
    ("Conv", {"group": 6}, 1, (1, 6, 4, 4), (1, 12, 4, 4), None),
    ("Conv", {"group": 2}, 1, (1, 6, 4, 4), (1, 6, 4, 4), None),
    ("BatchNormalization", {}, 2, (1, 4, 6), (1, 4, 6), None),
    ("Gather", {"axis": 1}, 1, (1, 6, 4), (1, 6, 4), None),
    ("Gather", {"axis": 1}, 2, (1, 6, 4), (1, 4), 1),
    ("Gather", {"axis": 2}, 1, (1, 6, 4), (1, 6, 2, 2), 1),
    ("Slice", {}, 1, (1, 6, 4), (1, 6, 2), 1),
    ("Slice", {}, 1, (1, 6, 4), (1, 5, 4), None),
    ("Concat", {"axis": -1}, 1, (1, 6, 4), (1, 6, 9), 1),
    ("Concat", {"axis": 1}, 1, (1, 6, 4), (1, 9, 4), None),
    ("CumSum", {}, 1, (1, 6, 4), (1, 6, 4), None),
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
    shapes = {"x": before, "w": tuple(weight.dims), "y": after}

    assert axis_after(Step(node, {"x": axis}, shapes, {"w": weight})) == expected


def test_a_mean_over_all_axes_lets_units_meet() -> None:
    shapes = {"x": (1, 6, 4, 4), "y": (1, 1, 1, 1)}

    assert axis_after(Step(helper.make_node("ReduceMean", ["x"], ["y"]), {"x": 1}, shapes, {})) is None


@pytest.mark.parametrize("axes", [(1, 2), (0, 3)])
def test_operands_with_units_on_different_axes_let_them_meet(axes: tuple[int, int]) -> None:
    node, shape = helper.make_node("Add", ["x", "w"], ["y"]), (6, 6, 6, 6)
    shapes = dict.fromkeys("xwy", shape)

    assert axis_after(Step(node, dict(zip("xw", axes, strict=True)), shapes, {})) is None
    assert axis_after(Step(node, {"x": 1, "w": 1}, shapes, {})) == 1


def test_units_that_are_turned_round_are_not_where_they_were() -> None:
    """A Slice with step -1 leaves the axis as long as it was, and every unit at another place."""
    numbers = {"start": [-1], "end": [-7], "axes": [1], "step": [-1]}
    held = {name: numpy_helper.from_array(np.array(value), name) for name, value in numbers.items()}
    shapes = {"x": (1, 6, 4), "y": (1, 6, 4)} | dict.fromkeys(numbers, (1,))

    assert axis_after(Step(helper.make_node("Slice", ["x", *numbers], ["y"]), {"x": 1}, shapes, held)) is None


def test_units_that_are_shifted_by_padding_are_not_where_they_were() -> None:
    """One place more in front and one less behind."""
    held = {"pads": numpy_helper.from_array(np.array([0, 1, 0, 0, -1, 0]), "pads")}
    shapes = {"x": (1, 6, 4), "y": (1, 6, 4), "pads": (6,)}

    assert axis_after(Step(helper.make_node("Pad", ["x", "pads"], ["y"]), {"x": 1}, shapes, held)) is None


def reached(steps: list[tuple[str, str, str]], units: str = "channel", **shapes: tuple[int, ...]) -> str:
    """Advance from `x` [1, 6, 4, 4] through nodes `(operator, inputs, output)` towards `y`."""
    nodes = [helper.make_node(kind, list(inputs), [output]) for kind, inputs, output in steps]
    values = {name: Value((1, 6, 4, 4), "float32") for name in {"x"} | {step[2] for step in steps}}
    values |= {name: Value(shape, "float32") for name, shape in shapes.items()}
    split = Split("x", "float32", (1, 6, 4, 4), units, 6, 1, (4, 4), (), "")
    return advance(onnx.GraphProto(name="g", node=nodes), split, "y", values).tensor


GATED = [("Relu", "x", "a"), ("Sigmoid", "a", "b"), ("Mul", "ab", "c"), ("ReduceSum", "c", "y")]


def test_a_tensor_that_two_operators_read_is_passed_where_both_ways_stay_apart() -> None:
    assert reached(GATED, y=(1, 1, 1, 1)) == "c"


def test_cells_are_not_followed() -> None:
    assert reached(GATED, units="cell", y=(1, 1, 1, 1)) == "x"


def test_a_tensor_that_two_operators_read_is_not_passed_where_one_way_lets_units_meet() -> None:
    """Each channel is weighed by a sum over all of them."""
    steps = [("Relu", "x", "a"), ("ReduceSum", "a", "b"), ("Mul", "ab", "c"), ("Relu", "c", "y")]

    assert reached(steps, b=(1, 1, 1, 1)) == "a"


def test_a_tensor_that_two_operators_read_is_not_passed_where_one_way_moves_the_units() -> None:
    steps = [("Relu", "x", "a"), ("Transpose", "a", "b"), ("Add", "ab", "c"), ("Relu", "c", "y")]
    square = dict.fromkeys("xabcy", (1, 6, 6, 1))

    assert reached(steps, **square) == "a"


def test_units_on_the_first_axis_are_followed_but_no_place_to_select_at() -> None:
    """There they would be taken for the batch."""
    steps = [("Relu", "x", "a"), ("Flatten", "a", "b"), ("Relu", "b", "c"), ("ReduceSum", "c", "y")]

    assert reached(steps, b=(6, 16), c=(6, 16), y=(1, 1)) == "a"


def test_no_place_to_select_at_is_one_of_integers() -> None:
    nodes = [
        ("Relu", "x", "a"),
        ("QuantizeLinear", "as", "b"),
        ("DequantizeLinear", "bs", "c"),
        ("ReduceSum", "c", "y"),
    ]
    graph = onnx.GraphProto(name="g", node=[helper.make_node(k, list(i), [o]) for k, i, o in nodes])
    graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "s"))
    values = {name: Value((1, 6, 4, 4), "int8" if name == "b" else "float32") for name in "xabc"}
    split = Split("x", "float32", (1, 6, 4, 4), "channel", 6, 1, (4, 4), (), "")

    assert advance(graph, split, "y", values | {"y": Value((1, 1), "float32")}).tensor == "c"
    assert advance(graph, split, "c", values).tensor == "a"

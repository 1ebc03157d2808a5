"""Patches: squares of the model's input are removed, and every answer is that of the whole file."""

from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.errors import OptionError, SplitError
from ddcam.engine.head import random_masks
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.types import Question
from ddcam.engine.whole import bytes_alive


def mixed(pair: np.ndarray, mask: np.ndarray, layout: str, side: int) -> np.ndarray:
    """Put a model input together square by square, as the definition says."""
    made = pair[:1].copy()
    axes = (2, 3) if layout == "NCHW" else (1, 2)
    columns = -(-made.shape[axes[1]] // side)
    for unit in np.flatnonzero(mask == 0):
        row, column = divmod(int(unit), columns)
        square: list[Any] = [slice(None)] * 4
        square[axes[0]], square[axes[1]] = (slice(i * side, (i + 1) * side) for i in (row, column))
        made[tuple(square)] = pair[1:][tuple(square)]
    return made


def expected(zoo: SimpleNamespace, proto: onnx.ModelProto, posed: Problem, masks: np.ndarray) -> np.ndarray:
    """Run the file itself on each mixed input alone."""
    picture, side = posed.model.opened.picture, posed.split.patch
    inputs = [mixed(posed.raw, mask, picture.layout, side) for mask in masks]
    return np.concatenate([zoo.run(proto, {picture.name: one})[0] for one in inputs]).astype(np.float64)


def network(draft: Any, hidden: int = 12) -> str:
    """An MLP on pixels: no tensor of it has units."""
    x = draft.add("Flatten", "picture")
    draft.dense(draft.add("Relu", draft.dense(x, 768, hidden)), hidden, 5, "logits")
    return "logits"


def linear(draft: Any) -> str:
    draft.dense(draft.add("Flatten", "picture"), 768, 5, "logits")
    return "logits"


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 17])
@pytest.mark.parametrize(("layout", "batch"), [("NCHW", "N"), ("NHWC", 1)])
def test_masks_are_answered_as_the_file_answers_the_mixed_pictures(zoo, load_here, opset, layout, batch):
    proto = zoo.build("squeeze_excite", opset, "none", layout=layout, batch=batch)[0]
    posed = Problem(load_here(proto, units="patch", patch=5), zoo.pictures(1, layout, seed=3))
    masks = random_masks(16, 9)
    masks[0], masks[1] = 0, 1
    answers = expected(zoo, proto, posed, masks)

    np.testing.assert_allclose(posed.score(masks), answers, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose([posed.score_alone(mask > 0) for mask in masks], answers, rtol=1e-4, atol=1e-4)
    assert posed.model.probe.batchable, posed.model.probe.reason
    assert posed.batch > 1


@pytest.mark.parametrize("name", ["vit", "mixer", "convnext"])
@pytest.mark.parametrize("baseline", ["mean", "blur", "zero"])
def test_every_baseline_goes_through_every_kind_of_model(zoo, load_here, name, baseline):
    proto = zoo.build(name, ending="none")[0]
    posed = Problem(load_here(proto, units="patch", patch=4, baseline=baseline), zoo.pictures(1, seed=3))
    masks = random_masks(16, 6)

    assert (posed.split.units, posed.split.tensor, posed.split.baseline) == ("patch", "picture", baseline)
    np.testing.assert_allclose(posed.score(masks), expected(zoo, proto, posed, masks), rtol=1e-4, atol=1e-4)


def of_type(proto: onnx.ModelProto, dtype: str) -> onnx.ModelProto:
    """Let the model take pictures of another type, which it casts."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("pixels", element, ["N", 3, 16, 16]))
    proto.graph.node.insert(0, helper.make_node("Cast", ["pixels"], ["picture"], to=TensorProto.FLOAT))
    return proto


@pytest.mark.parametrize("opset", [7, 13])
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_inputs_of_other_types_are_mixed_bit_by_bit(zoo, load_here, opset, dtype):
    proto = of_type(zoo.build("plain", opset, "none")[0], dtype)
    inputs = np.random.default_rng(1).uniform(-99, 99, (1, 3, 16, 16)) + (100 if dtype == "uint8" else 0)
    posed = Problem(load_here(proto, units="patch", patch=7), inputs.astype(dtype))
    masks = random_masks(9, 5)

    assert posed.raw.dtype == dtype
    np.testing.assert_allclose(posed.score(masks), expected(zoo, proto, posed, masks), rtol=1e-5, atol=1e-3)


def reaches(kept: dict[tuple[int, ...], bool], mask: tuple[int, ...]) -> bool:
    """Tell whether a subset is kept and no subset with one unit less is."""
    fewer = [tuple(0 if i == unit else bit for i, bit in enumerate(mask)) for unit, on in enumerate(mask) if on]
    return kept[mask] and not any(kept[one] for one in fewer)


@pytest.mark.parametrize("side", [6, 8])
@pytest.mark.parametrize("search", ["ordered", "ddmin", "units"])
def test_an_mlp_on_pixels_is_explained_as_brute_force_over_the_file_says(zoo, load_here, side, search):
    draft = zoo.Draft()
    proto = draft.model(network(draft))
    model, sizes = load_here(proto, patch=side), []
    for seed in range(4):
        posed = Problem(model, zoo.pictures(1, seed=seed), question=Question(search=search))
        masks = list(product((0, 1), repeat=posed.units))
        answers = expected(zoo, proto, posed, np.array(masks))
        kept = dict(zip(masks, (answers.argmax(axis=1) == posed.target).tolist(), strict=True))
        found = dd_cam(posed)

        if kept[(0,) * posed.units]:
            assert found.outcome == "empty-suffices"
            continue
        assert reaches(kept, tuple(int(i in found.subset) for i in range(posed.units)))
        assert found.certificate.holds
        sizes.append(len(found.subset))
    assert sizes


def test_a_model_without_maps_or_tokens_gets_patches_and_says_why(zoo, load_here):
    draft = zoo.Draft()
    proto = draft.model(network(draft))
    model = load_here(proto)

    assert model.opened.candidates == ()
    assert (model.split.units, model.split.count, model.split.patch, model.split.baseline) == ("patch", 256, 1, "mean")
    assert "no tensor behind the input has units" in model.split.reason
    assert model.split.shape == (1, 3, 16, 16)
    with pytest.raises(SplitError, match="use --units patch"):
        load_here(proto, units="channel")


def test_a_model_with_maps_gets_patches_only_when_asked(zoo, load_here):
    proto = zoo.build("plain")[0]

    assert load_here(proto).split.units == "channel"
    assert load_here(proto, units="patch").split.reason.startswith("asked for; 16 x 16 squares of 1 pixels")


@pytest.mark.parametrize(("side", "grid"), [(1, (16, 16)), (5, (4, 4)), (8, (2, 2)), (15, (2, 2)), (16, (1, 1))])
def test_squares_that_do_not_divide_the_input_are_cut_off(zoo, load_here, side, grid):
    split = load_here(zoo.build("plain")[0], units="patch", patch=side).split

    assert (split.grid, split.count) == (grid, grid[0] * grid[1])


@pytest.mark.parametrize(
    ("wishes", "error", "text"),
    [
        ({"units": "patch", "patch": 0}, OptionError, "expected patches of 1 to 16 pixels"),
        ({"units": "patch", "patch": 17}, OptionError, "input of 16x16, got 17"),
        ({"units": "patch", "baseline": "grey"}, OptionError, "expected a baseline mean, blur, zero, got 'grey'"),
        ({"units": "patch", "split": "features"}, SplitError, "leave out 'features'"),
        ({"units": "cell", "patch": 4}, OptionError, "the units are cells; add --units patch"),
        ({"baseline": "blur"}, OptionError, "the units are channels; add --units patch"),
    ],
)
def test_what_does_not_fit_is_refused(zoo, load_here, wishes, error, text):
    with pytest.raises(error, match=text):
        load_here(zoo.build("plain")[0], **wishes)


def test_an_empty_subset_is_the_baseline_of_that_very_picture(zoo, load_here):
    proto = zoo.build("plain", ending="none")[0]
    model = load_here(proto, units="patch", patch=4)
    for seed in (3, 4):
        posed = Problem(model, zoo.pictures(1, seed=seed) + seed)
        [alone] = zoo.run(proto, {"picture": posed.raw[1:]})

        np.testing.assert_allclose(posed.score_alone(np.zeros(16, bool)), alone[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(posed.features, posed.raw[0])


# ----- the search -----


def test_what_differs_most_from_the_baseline_is_tried_first_and_costs_no_probe(zoo, load_here):
    posed = Problem(load_here(zoo.build("hidden")[0], units="patch", patch=4, baseline="zero"), spotted())

    assert posed.order[:3].tolist() == [9, 2, 0]
    assert posed.order_probes == 0


def spotted() -> np.ndarray:
    inputs = np.zeros((1, 3, 16, 16), np.float32)
    inputs[0, 0, 9, 5], inputs[0, :, 3, 8] = -7, 2
    return inputs


def test_weights_at_the_input_are_no_effects_of_patches(zoo, load_here):
    """A convolution from one channel to as many as there are classes, and as many patches as values."""
    draft = zoo.Draft()
    x = draft.add("ReduceMean", "picture", axes=[1], keepdims=1)
    x = draft.add("Relu", draft.conv(x, 1, 5, 1))
    draft.add("Flatten", draft.add("GlobalAveragePool", x), "logits")
    proto = draft.model("logits")
    del proto.graph.node[0]
    proto.graph.node[0].input[0] = "picture"
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    model = load_here(proto, units="patch", patch=1)
    found = dd_cam(Problem(model, zoo.pictures(1)[:, :1], preserve="confidence:0.9"))

    assert model.effects_by_class is None
    assert found.certificate.holds


def test_a_batch_is_as_large_as_the_whole_model_allows(zoo, load_here):
    model = load_here(zoo.build("plain")[0], units="patch")

    assert model.probe.size.bytes == bytes_alive(model.opened)


def test_pixels_that_only_add_up_are_searched_by_arithmetic(zoo, load_here):
    draft = zoo.Draft()
    proto = draft.model(linear(draft))
    model = load_here(proto, patch=3, baseline="zero")
    posed = Problem(model, spotted() + np.float32(0.1), preserve="confidence:0.9")
    masks = random_masks(posed.units, 8)
    found = dd_cam(posed)

    assert model.head_class[0] == "additive"
    np.testing.assert_allclose(posed.table.logits(masks), expected(zoo, proto, posed, masks), rtol=1e-4, atol=1e-4)
    assert found.certificate.holds
    assert "contribution matrix" in found.search


def test_patches_that_are_their_baseline_are_not_asked_for_what_they_add(zoo, load_here, monkeypatch):
    draft = zoo.Draft()
    posed = Problem(load_here(draft.model(linear(draft)), patch=4, baseline="zero"), spotted())
    asked: list[np.ndarray] = []
    score = posed.score
    monkeypatch.setattr(posed, "score", lambda masks: asked.append(masks) or score(masks))

    assert np.flatnonzero(posed.table.matrix.any(axis=1)).tolist() == [2, 9]
    assert np.concatenate(asked).sum(axis=0).nonzero()[0].tolist() == [2, 9]


@pytest.mark.parametrize("preserve", ["top1", "confidence:0.9"])
def test_batch_and_threads_change_no_subset(zoo, load_here, preserve):
    proto = zoo.build("squeeze_excite")[0]
    answers = set()
    for batch, threads in ((1, 1), (7, 1), (64, 2)):
        model = load_here(proto, units="patch", patch=3, batch=batch, threads=threads)
        answers.add(dd_cam(Problem(model, zoo.pictures(1, seed=5), preserve=preserve)).subset)

    assert len(answers) == 1


# ----- models of other kinds -----


def forest(*, labels: str = "ints", classes: int = 3) -> onnx.ModelProto:
    """Flatten 1 x 6 x 6 pixels and decide by a tree: is pixel 7 above 0.5? then, is pixel 28 above 0.5?"""
    names = {"ints": {"classlabels_int64s": [0, 1, 2]}, "words": {"classlabels_strings": ["cat", "dog", "owl"]}}
    leaves = [(1, 0, 0.8), (1, 1, 0.2), (3, 1, 0.7), (3, 2, 0.3), (4, 2, 0.9), (4, 0, 0.1)]
    tree = {
        "nodes_treeids": [0] * 5,
        "nodes_nodeids": [0, 1, 2, 3, 4],
        "nodes_featureids": [7, 0, 28, 0, 0],
        "nodes_values": [0.5, 0.0, 0.5, 0.0, 0.0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 3, 0, 0],
        "nodes_falsenodeids": [2, 0, 4, 0, 0],
    }
    if classes > 1:
        tree |= {"class_treeids": [0] * 6, "class_nodeids": [n for n, _, _ in leaves], **names[labels]}
        tree |= {"class_ids": [c for _, c, _ in leaves], "class_weights": [w for _, _, w in leaves]}
        node = helper.make_node("TreeEnsembleClassifier", ["row"], ["label", "y"], domain="ai.onnx.ml", **tree)
    else:
        tree |= {"target_treeids": [0] * 3, "target_nodeids": [1, 3, 4], "target_ids": [0] * 3}
        tree |= {"target_weights": [1.0, 5.0, 20.0], "n_targets": 1}
        node = helper.make_node("TreeEnsembleRegressor", ["row"], ["y"], domain="ai.onnx.ml", **tree)
    shape = onnx.numpy_helper.from_array(np.array([-1, 36]), "shape")
    kind = TensorProto.INT64 if labels == "ints" else TensorProto.STRING
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", classes])]
    if classes > 1:
        outputs.insert(0, helper.make_tensor_value_info("label", kind, ["N"]))
    picture = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 6, 6])
    nodes = [helper.make_node("Reshape", ["pixels", "shape"], ["row"]), node]
    graph = helper.make_graph(nodes, "forest", [picture], outputs, [shape])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8)


def shown(*pixels: int) -> np.ndarray:
    """A dark picture in which some pixels are bright."""
    inputs = np.zeros((1, 1, 6, 6), np.float32)
    inputs.ravel()[list(pixels)] = 1
    return inputs


@pytest.mark.parametrize("labels", ["ints", "words"])
def test_a_tree_needs_the_pixels_that_it_asks_about(load_here, labels):
    model = load_here(forest(labels=labels), patch=1, baseline="zero")
    both = dd_cam(Problem(model, shown(7, 28, 3, 30)))
    first = dd_cam(Problem(model, shown(7, 12)))

    assert (model.split.units, model.removals) == ("patch", 0)
    assert (both.subset, first.subset) == ((7, 28), (7,))
    assert both.certificate.holds
    assert both.certificate.margin_empty < 0


def test_a_forest_that_predicts_a_value_keeps_it_within_a_tolerance(load_here):
    model = load_here(forest(classes=1), patch=2, baseline="zero")
    near = dd_cam(Problem(model, shown(7, 28), preserve="tolerance:16"))
    exact = dd_cam(Problem(model, shown(7, 28), preserve="tolerance:1"))

    assert model.split.count == 9
    assert (near.subset, exact.subset) == ((0,), (0, 8))
    assert exact.certificate.holds

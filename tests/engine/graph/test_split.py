"""Which tensors can be split at, and which one is chosen."""

import math
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from ddcam.engine.errors import SplitError
from ddcam.engine.graph.cut import expose
from ddcam.engine.graph.interface import find_logits, find_picture_input
from ddcam.engine.graph.split import choose_split, find_candidates, is_attention
from ddcam.engine.graph.walk import separators
from ddcam.engine.types import Measured, Split


@pytest.fixture
def look(zoo: SimpleNamespace):
    """Find the candidates of a model and make its choice: `look(proto)(units=..., tensor=...)`."""

    def look_at(proto: onnx.ModelProto) -> SimpleNamespace:
        picture, logits = find_picture_input(proto), find_logits(proto, "picture")
        inputs = zoo.pictures(2, picture.layout, picture.dtype)
        measured: Measured = zoo.trial(expose(proto).SerializeToString(), inputs, free_batch=picture.free_batch)
        found = find_candidates(proto, picture, logits, measured.values)
        ends = "picture", logits.tensor

        def choose(**wishes: str) -> Split:
            return choose_split(proto, found, ends, **wishes)

        return SimpleNamespace(candidates=found, choose=choose, ends=ends)

    return look_at


def test_choice_of_every_family(zoo, look, family):
    proto, features = zoo.build(family)
    expected = zoo.FAMILIES[family]

    split = look(proto).choose()

    assert (split.tensor, split.units, split.count) == (features, expected.units, expected.count)
    assert (split.grid, split.fixed, split.dtype) == (expected.grid, expected.fixed, "float32")


def test_candidates_carry_all_data_and_have_units(zoo, look, family):
    proto, _ = zoo.build(family, layout="NHWC")
    looked = look(proto)
    names = [c.tensor.name for c in looked.candidates]

    assert names == [name for name in separators(proto.graph, *looked.ends) if name in names]
    for candidate in looked.candidates:
        units = candidate.tensor.shape[candidate.unit_axis] - len(candidate.fixed)
        assert units > 1
        assert math.prod(candidate.grid) > 1
        assert candidate.form == "map" or math.prod(candidate.grid) == units


def test_every_candidate_can_be_asked_for(zoo, look, family):
    looked = look(zoo.build(family)[0])

    for candidate in looked.candidates:
        split = looked.choose(tensor=candidate.tensor.name)

        assert (split.tensor, split.reason) == (candidate.tensor.name, "asked for")


@pytest.mark.parametrize("parameters", [1, 3])
def test_class_and_register_tokens_are_fixed_in_all_layers(zoo, look, parameters):
    looked = look(zoo.build("vit" if parameters == 1 else "vit_registers")[0])
    fixed = {c.fixed for c in looked.candidates if c.tensor.shape == (1, 16 + parameters, 8)}

    assert fixed == {tuple(range(parameters))}
    assert {c.fixed for c in looked.candidates if c.tensor.shape == (1, 16, 8)} == {()}
    assert f"{list(range(parameters))} (class or register tokens) always stay" in looked.choose().reason


def test_tokens_turned_on_their_side_are_no_tokens(zoo, look):
    """`[N, D, T]`, as a convolution's map is flattened, would make channels into tokens."""
    looked = look(zoo.build("vit")[0])

    assert (1, 8, 16) not in {c.tensor.shape for c in looked.candidates}


def test_mixer_that_pools_tokens_on_their_side_keeps_its_tokens(zoo, look):
    draft = zoo.Draft()
    zoo.FAMILIES["mixer"].draw(draft)
    draft.nodes = draft.nodes[:-2]
    turned = draft.add("Transpose", "features", perm=[0, 2, 1])
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", turned)), 8, 5, "logits")

    assert look(draft.model("logits")).choose().tensor == "features"


@pytest.mark.parametrize("pooling", ["x.mean(3).mean(2)", "x.flatten(2).mean(2)"])
def test_map_that_is_pooled_in_two_steps_stays_a_map(zoo, look, pooling):
    """In between it is `[N, C, h]` or `[N, C, h w]`, which look like tokens."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    rows = draft.reshape(x, [8, 16]) if "flatten" in pooling else draft.reduce("ReduceMean", x, [3], keepdims=0)
    draft.dense(draft.reduce("ReduceMean", rows, [2], keepdims=0), 8, 5, "logits")
    looked = look(draft.model("logits"))

    assert (looked.choose().tensor, looked.choose().units) == ("features", "channel")
    with pytest.raises(SplitError, match="no row of tokens"):
        looked.choose(units="token")


def test_map_after_the_last_attention_is_chosen(zoo, look):
    """CoAtNet and its kin the other way round: attention first, convolutions last."""
    draft = zoo.Draft()
    zoo.FAMILIES["vit_mean"].draw(draft)
    del draft.nodes[-3:]
    tokens = draft.nodes[-1].output[0]
    square = draft.reshape(draft.add("Transpose", tokens, perm=[0, 2, 1]), [8, 4, 4])
    x = draft.add("Relu", draft.conv(square, 8, 8, 3), "last map")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    looked = look(draft.model("logits"))

    assert (looked.choose().tensor, looked.choose().units) == ("last map", "channel")
    assert looked.choose(units="token").tensor == "features"


def test_units_asked_for_decide(zoo, look):
    plain, vit = look(zoo.build("plain")[0]), look(zoo.build("vit")[0])

    assert (plain.choose(units="cell").count, plain.choose(units="channel").count) == (16, 8)
    assert vit.choose(units="channel").shape == (1, 8, 4, 4)
    assert vit.choose(units="token").count == 16
    with pytest.raises(SplitError, match="no row of tokens; use --units channel"):
        plain.choose(units="token")
    with pytest.raises(SplitError, match=r"features float32\[1, 17, 8\] has the units token, not cell"):
        vit.choose(units="cell", tensor="features")


def test_unknown_tensor_is_refused_with_close_ones(zoo, look):
    looked = look(zoo.build("plain")[0])

    with pytest.raises(SplitError, match=r"cannot split at 'feature': .* try 'features'.*lists all 5"):
        looked.choose(tensor="feature")
    with pytest.raises(SplitError, match=r"try 'Conv_2', 'BatchNormalization_3', 'features'"):
        looked.choose(tensor="?")


def test_tensor_inside_a_branch_is_refused(zoo, look):
    proto, _ = zoo.build("residual")
    inside = next(n.output[0] for n in proto.graph.node[2:] if n.op_type == "Relu")

    with pytest.raises(SplitError, match="not all data passes through it"):
        look(proto).choose(tensor=inside)


def test_model_without_maps_and_tokens_is_refused(zoo, look):
    draft = zoo.Draft()
    draft.dense(draft.add("Relu", draft.dense(draft.add("Flatten", "picture"), 768, 8)), 8, 5, "logits")

    with pytest.raises(SplitError, match="no tensor to split at"):
        look(draft.model("logits")).choose()


def test_model_of_tokens_alone_has_no_channels(zoo, look):
    """Patches cut by a reshape and a transpose of six axes, as in ViTs without a convolution."""
    draft = zoo.Draft()
    tiles = draft.add("Transpose", draft.reshape("picture", [3, 4, 4, 4, 4]), perm=[0, 2, 4, 1, 3, 5])
    x = draft.project(draft.reshape(tiles, [16, 48]), 48, 8)
    x = draft.norm(draft.add("Add", [x, draft.project(draft.gelu(x), 8, 8)]), 8, 3, "features")
    draft.dense(draft.reduce("ReduceMean", x, [1], keepdims=0), 8, 5, "logits")
    looked = look(draft.model("logits"))

    assert (looked.choose().tensor, looked.choose().grid) == ("features", (4, 4))
    with pytest.raises(SplitError, match="has only tokens; use --units token"):
        looked.choose(units="cell")


def test_tokens_that_fill_no_square_form_a_row(zoo, look):
    draft = zoo.Draft()
    x = draft.conv(draft.picture(), 3, 8, 4, strides=[4, 2], pads=[0, 0, 0, 0])
    tokens = draft.add("Transpose", draft.reshape(x, [8, 28]), perm=[0, 2, 1])
    some = draft.add("Slice", [tokens, *(draft.constant([value]) for value in (0, 27, 1))])
    x = draft.add("Tanh", draft.project(some, 8, 8), "features")
    draft.dense(draft.reduce("ReduceMean", x, [1], keepdims=0), 8, 5, "logits")
    looked = look(draft.model("logits"))

    assert [c.grid for c in looked.candidates if c.tensor.shape == (1, 28, 8)] == [(4, 7)], "the sides of the map"
    assert looked.choose().grid == (1, 27)


@pytest.mark.parametrize(
    ("expected", "operators"),
    [
        (True, ["Softmax", "MatMul"]),
        (True, ["Softmax", "Dropout", "Cast", "MatMul"]),
        (True, ["Softmax", "Einsum"]),
        (True, ["Softmax", "QuantizeLinear", "DequantizeLinear", "MatMul"]),
        (True, ["QLinearSoftmax", "QLinearMatMul"]),
        (True, ["Softmax", "FusedMatMul"]),
        (True, ["MultiHeadAttention"]),
        (True, ["Attention"]),
        (False, ["Softmax", "Mul"]),
        (False, ["Softmax"]),
        (False, ["Sigmoid", "MatMul"]),
        (False, ["Softmax", "Mul", "Relu", "Relu", "Relu", "Relu", "Relu", "MatMul"]),
    ],
)
def test_attention_weighs_in_a_product(expected, operators):
    path = [onnx.helper.make_node(op, [f"t{i}", "other"], [f"t{i + 1}"]) for i, op in enumerate(operators)]

    assert is_attention(path[0], path, {}) == expected


def test_attention_may_be_written_out(zoo, look):
    """JAX writes softmax as exp / sum(exp)."""
    proto, _ = zoo.build("vit", ending="none")
    sum_axis = onnx.numpy_helper.from_array(np.array([-1]), "sum axis")
    nodes = []
    for node in proto.graph.node:
        nodes.append(node)
        if node.op_type == "Softmax":
            (source,), (output,) = node.input, node.output
            odds = onnx.helper.make_node("Exp", [source], [f"{output} odds"])
            total = onnx.helper.make_node("ReduceSum", [f"{output} odds", "sum axis"], [f"{output} sum"])
            share = onnx.helper.make_node("Div", [f"{output} odds", f"{output} sum"], [output])
            nodes[-1:] = [odds, total, share]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.append(sum_axis)

    assert look(proto).choose().tensor == "features"

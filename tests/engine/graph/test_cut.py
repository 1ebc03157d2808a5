"""head(backbone(x)) == model(x), whatever the head reads besides the split tensor."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.errors import SplitError
from ddcam.engine.graph.cut import Part, expose, extract, shapes_of
from ddcam.engine.types import Measured


@pytest.fixture
def cut(zoo: SimpleNamespace):
    """Cut a model at a tensor and require that the parts, run as written, give what the whole gives."""

    def cut_at(proto: onnx.ModelProto, tensor: str, batch: str | int = "N") -> tuple[onnx.ModelProto, onnx.ModelProto]:
        layout = "NCHW" if proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value == 3 else "NHWC"
        target = proto.graph.output[0].name
        measured = measure(zoo, proto, layout, batch)
        parts = [
            extract(proto, measured, Part("picture", (tensor,))),
            extract(proto, measured, Part(tensor, (target,))),
        ]
        for count in (1, 2, 5) if batch == "N" else (1,):
            picture = zoo.pictures(count, layout, seed=count)
            [features] = zoo.run(parts[0], {"picture": picture})
            [got] = zoo.run(parts[1], {tensor: features})
            np.testing.assert_allclose(got, zoo.run(proto, {"picture": picture})[0], rtol=1e-5, atol=1e-6)
        for part in parts:
            onnx.checker.check_model(part)
        return parts[0], parts[1]

    return cut_at


def measure(zoo: SimpleNamespace, proto: onnx.ModelProto, layout: str = "NCHW", batch: str | int = "N") -> Measured:
    return zoo.trial(expose(proto).SerializeToString(), zoo.pictures(2, layout), free_batch=batch == "N")


def names(part: onnx.ModelProto) -> tuple[list[str], list[str]]:
    return [i.name for i in part.graph.input], [o.name for o in part.graph.output]


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("batch", ["N", 1])
def test_parts_give_what_the_whole_gives(zoo, cut, family, layout, batch):
    proto, features = zoo.build(family, layout=layout, batch=batch)

    backbone, head = cut(proto, features, batch)

    assert names(backbone) == (["picture"], [features])
    assert names(head) == ([features], ["output"])
    nodes = [n.output[0] for part in (backbone, head) for n in part.graph.node if n.op_type != "Shape"]
    assert len(nodes) == len(set(nodes))
    weights = [{t.name for t in part.graph.initializer} for part in (backbone, head)]
    assert weights[0] | weights[1] == {t.name for t in proto.graph.initializer}


@pytest.mark.parametrize("opset", [7, 8, 12, 13, 17, 21, 23, 26])
def test_head_asks_for_the_shape_of_the_picture(zoo, cut, opset):
    """PyTorch's `x.view(x.size(0), -1)` reads the batch from any tensor."""
    draft = zoo.Draft(opset)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    count = draft.add("Gather", [draft.add("Shape", "picture"), draft.constant([0])], axis=0)
    sizes = draft.add("Concat", [count, draft.constant([-1])], axis=0)
    draft.dense(draft.add("Reshape", [draft.add("GlobalAveragePool", x), sizes]), 8, 5, "logits")

    _, head = cut(draft.model("logits"), "features")

    assert names(head) == (["features"], ["logits"])
    assert "picture" not in {name for node in head.graph.node for name in node.input}


@pytest.mark.parametrize("keys", [{}, {"start": 1}, {"end": -1}, {"start": -3, "end": 3}, {"start": 0, "end": 1}])
def test_parts_of_a_shape(zoo, cut, keys):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    total = draft.reduce("ReduceSum", draft.add("Cast", draft.add("Shape", "picture", **keys), to=1), [0])
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    draft.dense(draft.add("Div", [pooled, total]), 8, 5, "logits")

    cut(draft.model("logits"), "features")


@pytest.mark.parametrize("operator", ["Shape", "Size"])
def test_shape_that_grows_with_a_multiple_of_the_batch(zoo, cut, operator):
    """Windows are `[2 N, 4, 4, 4]`: a shape of theirs is rebuilt from the batch of the features, not equal to it."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]))
    windows = draft.add("Reshape", [x, draft.constant([-1, 4, 4, 4])])
    x = draft.add(
        "Relu", draft.conv(draft.add("Reshape", [windows, draft.constant([-1, 8, 4, 4])]), 8, 8, 3), "features"
    )
    shape = draft.add(operator, windows)
    if operator == "Size":
        shape = draft.add("Reshape", [shape, draft.constant([1])])
    y = draft.add("Sigmoid", draft.add("Reshape", [x, shape]))
    y = draft.add("GlobalAveragePool", draft.add("Reshape", [y, draft.constant([-1, 8, 4, 4])]))
    draft.dense(draft.add("Flatten", y), 8, 5, "logits")

    cut(draft.model("logits"), "features")


def test_fixed_batch_leaves_constant_shapes(zoo, cut):
    draft = zoo.Draft(batch=1)
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    size = draft.add("Cast", draft.add("Size", "picture"), to=1)
    draft.dense(draft.add("Div", [draft.reduce("ReduceSum", x, [2, 3], 0), size]), 8, 5, "logits")

    _, head = cut(draft.model("logits"), "features", batch=1)

    assert "Size" not in {node.op_type for node in head.graph.node}


def test_shape_of_a_weight_is_kept(zoo, cut):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    like = draft.add("Shape", draft.constant(np.zeros(8)))
    ones = draft.add("Expand", [draft.constant([1.5]), like])
    draft.dense(draft.add("Mul", [draft.reduce("ReduceMean", x, [2, 3], 0), ones]), 8, 5, "logits")

    cut(draft.model("logits"), "features")


def test_weights_behind_a_conditional_come_along(zoo, cut):
    """The branches read names of the outer graph: a weight, and the features."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    factor = draft.weight(8, 1, 1)
    inner = [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)]
    branches = {
        f"{name}_branch": helper.make_graph([helper.make_node("Mul", [x, factor], ["inner"])], name, [], inner)
        for name in ("then", "else")
    }
    x = draft.add("If", draft.constant(np.array(True)), **branches)
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")

    backbone, head = cut(draft.model("logits"), "features")

    assert factor in {t.name for t in head.graph.initializer} - {t.name for t in backbone.graph.initializer}


def looped(zoo: SimpleNamespace, captured: str) -> onnx.ModelProto:
    """Make a model whose head adds a captured tensor to the features three times."""
    draft = zoo.Draft()
    before = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "before")
    x = draft.add("Tanh", draft.conv(before, 8, 8, 3), "features")
    draft.add("Identity", draft.weight(8, 1, 1), "weight")
    body = helper.make_graph(
        [helper.make_node("Add", ["state", captured], ["next"]), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    x = draft.add("Loop", [draft.constant(np.array(3)), "", x], body=body)
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    return draft.model("logits")


def test_loop_that_captures_a_constant(zoo, cut):
    _, head = cut(looped(zoo, "weight"), "features")

    assert [n.op_type for n in head.graph.node if n.output[0] == "weight"] == ["Identity"]


def test_loop_that_captures_what_lies_above_is_not_separable(zoo):
    proto = looped(zoo, "before")

    with pytest.raises(SplitError, match=r"cannot split at 'features'.* also reads \['picture'\]"):
        extract(proto, measure(zoo, proto), Part("features", ("logits",)))


def test_branch_is_not_separable(zoo):
    proto, _ = zoo.build("residual")
    inside = next(n.output[0] for n in proto.graph.node[2:] if n.op_type == "Relu")

    with pytest.raises(SplitError, match=rf"cannot split at '{inside}'.* also reads \['picture'\]"):
        extract(proto, measure(zoo, proto), Part(inside, ("output",)))


def test_one_of_two_outputs_of_a_node_is_not_separable(zoo):
    draft = zoo.Draft()
    x = draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4])
    draft.nodes.append(helper.make_node("Split", [x], ["left", "right"], axis=1))
    draft.dense(
        draft.add("Flatten", draft.add("GlobalAveragePool", draft.add("Mul", ["left", "right"]))), 4, 5, "logits"
    )
    proto = draft.model("logits")

    with pytest.raises(SplitError, match=r"cannot split at 'left'.* also reads \['right'\]"):
        extract(proto, measure(zoo, proto), Part("left", ("logits",)))


def test_old_files_list_weights_as_inputs(zoo, cut):
    proto, features = zoo.build("plain", opset=7)
    assert (proto.ir_version, len(proto.graph.input)) == (3, 1 + len(proto.graph.initializer))

    for part in cut(proto, features):
        assert part.ir_version == 4
        assert len(part.graph.input) == 1


def test_sparse_weights_come_along(zoo, cut):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    draft.dense(draft.add("Mul", [draft.reduce("ReduceMean", x, [2, 3], 0), "sparse"]), 8, 5, "logits")
    proto = draft.model("logits")
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.0, 2.0])
    indices = helper.make_tensor("", TensorProto.INT64, [2], [1, 3])
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [8]))

    backbone, head = cut(proto, "features")

    assert (len(backbone.graph.sparse_initializer), len(head.graph.sparse_initializer)) == (0, 1)


def test_foreign_operators_keep_their_operator_set(zoo, cut):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    draft.dense(draft.add("QuickGelu", pooled, domain="com.microsoft"), 8, 5, "logits")
    proto = draft.model("logits")
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    backbone, head = cut(proto, "features")

    assert {o.domain: o.version for o in backbone.opset_import} == {"": 17}
    assert {o.domain: o.version for o in head.opset_import} == {"": 17, "com.microsoft": 1}


def test_exposing_keeps_the_original_and_names_every_tensor(zoo):
    proto, _ = zoo.build("plain")
    before = proto.SerializeToString()
    exposed, two = expose(proto), expose(proto, ["features", "output", "features"])

    assert proto.SerializeToString() == before
    assert [o.name for o in exposed.graph.output] == [n.output[0] for n in proto.graph.node]
    assert [o.name for o in two.graph.output] == ["features", "output"]
    assert [v.shape for v in zoo.run(two, {"picture": zoo.pictures(3)})] == [(3, 8, 4, 4), (3, 5)]


def test_shapes_are_those_of_tensors_and_weights(zoo):
    proto, _ = zoo.build("plain")
    shapes = shapes_of(proto, measure(zoo, proto).values)

    assert shapes["picture"] == (1, 3, 16, 16)
    assert shapes["features"] == (1, 8, 4, 4)
    assert shapes[proto.graph.node[0].input[1]] == (8, 3, 5, 5)

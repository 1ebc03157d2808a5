"""Models that are out of order, or nothing that ddcam explains."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

Change = Callable[[ModelProto], bytes | None]
"""Changes a model in place, or gives the bytes of what cannot be held as a model."""


def declare(graph: GraphProto, name: str, shape: list[int | str], element: int = TensorProto.FLOAT) -> None:
    """Declare the one input, or the one output, anew."""
    ends = graph.input if name == "x" else graph.output
    del ends[:]
    ends.append(helper.make_tensor_value_info(name, element, shape))


def declare_as(name: str, shape: list[int | str], element: int = TensorProto.FLOAT) -> Change:
    return lambda model: declare(model.graph, name, shape, element)


def append(model: ModelProto, *nodes: NodeProto) -> None:
    """Put nodes between the linear layer, whose output becomes "z", and the output "y"."""
    model.graph.node[-1].output[0] = "z"
    model.graph.node.extend(nodes)


def constant(name: str, values: list[int] | int) -> NodeProto:
    return helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.array(values, np.int64)))


def drop(model: ModelProto, index: int) -> None:
    del model.graph.node[index]


def cut_bytes(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def add_bytes(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data += b"1234"


def not_numbers(model: ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.raw_data = np.full(list(weight.dims), np.nan, np.float32).tobytes()


def set_type(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = 99


def set_opset(model: ModelProto) -> None:
    model.opset_import[0].version = 99


def rename(model: ModelProto) -> None:
    model.graph.node[2].op_type = "Konv"


def rename_input(model: ModelProto) -> None:
    model.graph.node[2].input[0] = "undefined"


def two_makers(model: ModelProto) -> None:
    model.graph.node[1].output[0] = model.graph.node[0].output[0]


def wrong_weight(model: ModelProto) -> None:
    """Weights for 5 channels where there are 4."""
    weight = onnx.numpy_helper.from_array(np.ones((6, 5, 3, 3), np.float32), "w1")
    model.graph.initializer[1].CopyFrom(weight)


DAMAGED: dict[str, tuple[Change, str]] = {
    "a name that is no UTF-8": (lambda m: m.SerializeToString().replace(b"relu1", b"re\xff\xfe1"), "not an ONNX model"),
    "no nodes": (lambda m: m.graph.ClearField("node"), "no graph with nodes"),
    "no outputs": (lambda m: m.graph.ClearField("output"), "output"),
    "no inputs": (lambda m: m.graph.ClearField("input"), "not valid ONNX"),
    "no operator set": (lambda m: m.ClearField("opset_import"), "operator set"),
    "operator set of the future": (set_opset, "99"),
    "IR of the future": (lambda m: setattr(m, "ir_version", 99), "99"),
    "a node is missing": (lambda m: drop(m, 1), "r0"),
    "undefined tensor": (rename_input, "undefined"),
    "unknown operator": (rename, "Konv"),
    "cycle": (lambda m: m.graph.node[0].input.__setitem__(0, "r1"), "topologically"),
    "a tensor made twice": (two_makers, "c0"),
    "weight too short": (cut_bytes, "w0"),
    "weight too long": (add_bytes, "w0"),
    "weight of no type": (set_type, "w0"),
    "weight of the wrong shape": (wrong_weight, "conv1"),
    "weights that are no numbers": (not_numbers, "not finite"),
    "output of no type": (lambda m: declare(m.graph, "y", ["N", 4], 99), "class scores"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged(no_model, small: ModelProto, kind: str) -> None:
    change, names = DAMAGED[kind]
    changed = change(small)

    no_model(changed or small, names)


def second_input(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    append(model, helper.make_node("Mul", ["z", "scale"], ["y"]))


def second_picture(model: ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, ["N", 3, 8, 8]))
    drop(model, 0)
    model.graph.node.insert(0, helper.make_node("Add", ["x", "other"], ["sum"]))
    model.graph.node.insert(1, helper.make_node("Conv", ["sum", "w0"], ["c0"]))


def sequence(model: ModelProto) -> None:
    append(model, helper.make_node("SequenceConstruct", ["z"], ["y"]))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))


def boxes(model: ModelProto) -> None:
    append(model, constant("to", [1, 4420, 2]), helper.make_node("Expand", ["z", "to"], ["y"]))
    weight = onnx.numpy_helper.from_array(np.ones((6, 2), np.float32), "w2")
    model.graph.initializer[2].CopyFrom(weight)
    declare(model.graph, "y", [1, 4420, 2])


def one_score(model: ModelProto) -> None:
    model.graph.initializer[2].CopyFrom(onnx.numpy_helper.from_array(np.ones((6, 1), np.float32), "w2"))
    declare(model.graph, "y", ["N", 1])


def softmax_of_one(model: ModelProto) -> None:
    one_score(model)
    append(model, helper.make_node("Softmax", ["z"], ["y"], axis=1))


def strings(model: ModelProto) -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [4], [b"a", b"b", b"c", b"d"])
    best = helper.make_node("ArgMax", ["z"], ["best"], axis=1, keepdims=1)
    append(model, helper.make_node("Constant", [], ["names"], value=words), best)
    model.graph.node.append(helper.make_node("Gather", ["names", "best"], ["y"]))
    declare(model.graph, "y", ["N", 1], TensorProto.STRING)


def winner_only(model: ModelProto) -> None:
    append(model, helper.make_node("ArgMax", ["z"], ["y"], axis=1, keepdims=1))
    declare(model.graph, "y", ["N", 1], TensorProto.INT64)


def no_layers(model: ModelProto) -> None:
    """Pixels go through a ReLU and out as 192 classes."""
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Flatten", ["r"], ["y"])]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    declare(model.graph, "y", ["N", 192])


def constant_scores(model: ModelProto) -> None:
    """The scores do not depend on the picture."""
    append(model, constant("to", [1, 4]), helper.make_node("ConstantOfShape", ["to"], ["y"]))


def shape_alone(model: ModelProto) -> None:
    """The scores depend on the size of the picture alone."""
    append(model, helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Cast", ["s"], ["f"], to=1))
    model.graph.node.extend([constant("to", [1, 4]), helper.make_node("Reshape", ["f", "to"], ["y"])])


NOT_EXPLAINED: dict[str, tuple[Change, str]] = {
    "no picture": (declare_as("x", ["N", 3]), "takes a picture"),
    "a video": (declare_as("x", ["N", 3, 2, 8, 8]), "cannot run the model"),
    "tokens as input": (declare_as("x", ["N", 3, 8, 8], TensorProto.INT64), "takes a picture"),
    "four channels": (declare_as("x", ["N", 4, 8, 8]), "ONNX Runtime cannot run the model"),
    "batch fixed to two": (declare_as("x", [2, 3, 8, 8]), "batch of 1"),
    "number besides the picture": (second_input, "--hold scale=NUMBER"),
    "two pictures": (second_picture, "--input NAME"),
    "sequence": (sequence, "class scores"),
    "boxes": (boxes, "class scores"),
    "one score": (one_score, "tolerance:E"),
    "softmax of one score": (softmax_of_one, "softmax of one score"),
    "strings": (strings, "class scores"),
    "winner only": (winner_only, "class scores"),
    "constant scores": (constant_scores, "no class scores are computed from the input 'x'"),
    "scores of the shape": (shape_alone, "no class scores are computed from the input 'x'"),
}


@pytest.mark.parametrize("kind", NOT_EXPLAINED)
def test_not_explained(no_model, small: ModelProto, kind: str) -> None:
    change, names = NOT_EXPLAINED[kind]
    change(small)

    no_model(small, names)


def test_a_model_without_layers_has_no_channels(no_model, small: ModelProto) -> None:
    """It can be explained by patches of its input, which is what the message says."""
    no_layers(small)

    no_model(small, "no tensor to split at", "--units", "channel")
    no_model(small, "use --units patch", "--units", "token")

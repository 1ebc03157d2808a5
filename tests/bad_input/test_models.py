"""Models that are well-formed files but hostile, out of order, or nothing that ddcam explains."""

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


def gigantic(model: ModelProto) -> None:
    """4 GB out of a few bytes; the size is a constant."""
    filled = helper.make_node("ConstantOfShape", ["size"], ["many"])
    total = helper.make_node("ReduceMax", ["many"], ["largest"], keepdims=0)
    append(model, constant("size", [10**9]), filled, total, helper.make_node("Add", ["z", "largest"], ["y"]))


def gigantic_when_run(model: ModelProto) -> None:
    """8 GB out of a few bytes; the size is known only when the model runs."""
    shape = helper.make_node("NonZero", ["x"], ["places"])
    count = helper.make_node("Size", ["places"], ["count"])
    size = helper.make_node("Mul", ["count", "factor"], ["product"])
    row = helper.make_node("Reshape", ["product", "one"], ["size"])
    filled = helper.make_node("ConstantOfShape", ["size"], ["many"])
    total = helper.make_node("ReduceMax", ["many"], ["largest"], keepdims=0)
    end = helper.make_node("Add", ["z", "largest"], ["y"])
    append(model, constant("factor", 10**7), constant("one", [1]), shape, count, size, row, filled, total, end)


def nested(depth: int) -> Change:
    """Build If in If in If from bytes, since protobuf itself refuses to copy what is nested too deep."""

    def change(model: ModelProto) -> bytes:
        outputs = helper.make_tensor_value_info("y", TensorProto.FLOAT, None).SerializeToString()
        leaf = helper.make_node("Identity", ["z"], ["y"]).SerializeToString()
        other = field(5, field(1, b"else_branch") + field(6, field(1, leaf) + field(12, outputs)) + b"\xa0\x01\x05")
        node = leaf
        for _ in range(depth):
            branch = field(1, node) + field(2, b"branch") + field(12, outputs)
            then = field(5, field(1, b"then_branch") + field(6, branch) + b"\xa0\x01\x05")
            node = helper.make_node("If", ["yes"], ["y"]).SerializeToString() + then + other
        yes = helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True)))
        append(model, yes)
        return model.SerializeToString() + field(7, field(1, node))  # messages in a row are merged

    return change


def field(number: int, content: bytes) -> bytes:
    """Encode a protobuf field that has a length."""
    size, length = len(content), b""
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def function(model: ModelProto, name: str, nodes: list[NodeProto]) -> None:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", name, ["a"], ["b"], nodes, opsets))


def call(name: str, read: str = "a", made: str = "b") -> NodeProto:
    return helper.make_node(name, [read], [made], domain="own")


def calling(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("own", 1))
    append(model, call("F0", "z", "y"))


def recursive(model: ModelProto) -> None:
    function(model, "F0", [call("F1")])
    function(model, "F1", [call("F0")])
    calling(model)


def recursive_in_a_branch(model: ModelProto) -> None:
    yes = helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True)))
    made = [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)]
    branch = helper.make_graph([call("F0", "a", "c")], "branch", [], made)
    function(model, "F0", [yes, helper.make_node("If", ["yes"], ["b"], then_branch=branch, else_branch=branch)])
    calling(model)


def exploding(model: ModelProto) -> None:
    """Ten functions that call the next one ten times each: ten thousand million nodes."""
    for level in range(10):
        inner = [call(f"F{level + 1}", "a" if i == 0 else f"c{i}", "b" if i == 9 else f"c{i + 1}") for i in range(10)]
        function(model, f"F{level}", inner)
    function(model, "F10", [helper.make_node("Relu", ["a"], ["b"])])
    calling(model)


HOSTILE: dict[str, tuple[Change, str]] = {
    "input of gigantic size": (declare_as("x", [1, 3, 100_000, 100_000]), "GiB"),
    "dimensions that overflow": (declare_as("x", [1, 3, 2**40, 2**40]), "GiB"),
    "constant of 4 GB": (gigantic, "'many'"),
    "10 nested branches": (nested(10), "nests subgraphs deeper than 8"),
    "60 nested branches": (nested(60), "not an ONNX model"),
    "custom operator": (lambda m: append(m, helper.make_node("Magic", ["z"], ["y"], "m", domain="me")), "me::Magic"),
    "steering the terminal": (
        lambda m: append(m, helper.make_node("Magic", ["z"], ["y"], "m\x1b[2J\a\nddcam: fine", domain="me")),
        "me::Magic",
    ),
    "compiled code": (
        lambda m: append(m, helper.make_node("EPContext", ["z"], ["y"], domain="com.microsoft")),
        "EPContext",
    ),
    "recursive functions": (recursive, "calls itself"),
    "recursion in a branch": (recursive_in_a_branch, "calls itself"),
    "exploding functions": (exploding, "GiB"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile(no_model, small: ModelProto, kind: str) -> None:
    change, names = HOSTILE[kind]
    changed = change(small)

    no_model(changed or small, names)


def test_gigantic_only_when_run(no_model, small: ModelProto) -> None:
    gigantic_when_run(small)

    no_model(small, "--memory", "--memory", "1")


def drop(model: ModelProto, index: int) -> None:
    del model.graph.node[index]


def reverse(model: ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


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
    "nodes in reverse": (reverse, "topologically"),
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
    "a video": (declare_as("x", ["N", 3, 2, 8, 8]), "takes a picture"),
    "tokens as input": (declare_as("x", ["N", 3, 8, 8], TensorProto.INT64), "takes a picture"),
    "four channels": (declare_as("x", ["N", 4, 8, 8]), "1 or 3 channels"),
    "batch fixed to two": (declare_as("x", [2, 3, 8, 8]), "batch of 1"),
    "number besides the picture": (second_input, "picture alone"),
    "two pictures": (second_picture, "picture alone"),
    "sequence": (sequence, "class scores"),
    "boxes": (boxes, "class scores"),
    "one score": (one_score, "at least two classes"),
    "strings": (strings, "class scores"),
    "winner only": (winner_only, "class scores"),
    "no layers": (no_layers, "no tensor to split at"),
    "constant scores": (constant_scores, "no class scores are computed from the input 'x'"),
    "scores of the shape": (shape_alone, "no class scores are computed from the input 'x'"),
}


@pytest.mark.parametrize("kind", NOT_EXPLAINED)
def test_not_explained(no_model, small: ModelProto, kind: str) -> None:
    change, names = NOT_EXPLAINED[kind]
    change(small)

    no_model(small, names)

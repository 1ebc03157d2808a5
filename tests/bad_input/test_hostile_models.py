"""Models that ask for too much, hide something or lead in circles, and odd ones that must work."""

from collections.abc import Callable
from pathlib import Path

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
        other = field(
            5,
            field(1, b"else_branch")
            + field(6, field(1, leaf) + field(2, b"other") + field(12, outputs))
            + b"\xa0\x01\x05",
        )
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


def sums(model: ModelProto) -> None:
    """Twelve sums of eight branches each: 8^12 ways from one end to the other."""
    model.graph.node[-3].input[0] = "s11"
    last, nodes = "r1", []
    for step in range(12):
        branches = [f"i{step}_{branch}" for branch in range(8)]
        nodes += [helper.make_node("Identity", [last], [branch]) for branch in branches]
        last = f"s{step}"
        nodes.append(helper.make_node("Sum", branches, [last]))
    end = list(model.graph.node)[-3:]
    del model.graph.node[-3:]
    model.graph.node.extend([*nodes, *end])


def extreme(model: ModelProto) -> None:
    """Scores so far apart that the probability of all classes but one is 0."""
    factor = helper.make_node("Constant", [], ["factor"], value=onnx.numpy_helper.from_array(np.float32([1e6])))
    append(model, factor, helper.make_node("Mul", ["z", "factor"], ["far"]))
    model.graph.node.append(helper.make_node("LogSoftmax", ["far"], ["y"], axis=1))


def reverse(model: ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


ODD: dict[str, Change] = {
    "three nested branches": nested(3),
    "a maze of sums": sums,
    "scores far apart": extreme,
    "nodes in reverse": reverse,
    "free names for the input": declare_as("x", ["?", 3, "height", "width"]),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_but_right(ddcam, small: ModelProto, picture: Path, tmp_path: Path, kind: str) -> None:
    changed = ODD[kind](small)
    (tmp_path / "model.onnx").write_bytes(changed or small.SerializeToString())

    code, _, lines = ddcam("explain", "model.onnx", picture, "-o", "out", "--size", "8x8")

    assert code == 0, lines

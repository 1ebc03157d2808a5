"""Who reads what, and what everything passes through, also across subgraphs and on random graphs."""

from random import Random

import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from ddcam.engine.graph.walk import (
    attribute,
    captured,
    consumers,
    downstream,
    feeds,
    initializers,
    integer,
    integers,
    path_nodes,
    producers,
    reads,
    separators,
    sort_nodes,
)


def graph(*nodes: onnx.NodeProto, weights: tuple[str, ...] = ()) -> onnx.GraphProto:
    tensors = [helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0]) for name in weights]
    return helper.make_graph(list(nodes), "g", [value("x")], [value("y")], tensors)


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])


def node(op_type: str, inputs: str, outputs: str, **attributes: object) -> onnx.NodeProto:
    """Make a node from space-separated names; `_` is an input or output left out."""
    names = [[n.replace("_", "") for n in text.split()] for text in (inputs, outputs)]
    return helper.make_node(op_type, *names, **attributes)


def branch(*nodes: onnx.NodeProto, output: str, inputs: tuple[str, ...] = ()) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "branch", [value(i) for i in inputs], [value(output)])


@st.composite
def graphs(draw: st.DrawFn) -> onnx.GraphProto:
    """Draw a graph from `x` to `y`: nodes with several inputs and outputs, shapes asked for, names captured."""
    names, nodes = ["x", "w"], []
    for i in range(draw(st.integers(1, 9))):
        inputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        outputs = [f"t{i}", f"u{i}"][: draw(st.integers(1, 2))]
        kind = draw(st.sampled_from(["Op", "Op", "Op", "Shape", "If"]))
        if kind == "If":
            body = branch(node("Op", " ".join(inputs), "inner"), output="inner")
            nodes.append(node("If", "w", " ".join(outputs), then_branch=body, else_branch=body))
        else:
            nodes.append(node(kind, " ".join(inputs[: 1 if kind == "Shape" else 3]), " ".join(outputs)))
        names += outputs
    last = draw(st.lists(st.sampled_from(names[2:]), min_size=1, max_size=2))
    return graph(*nodes, node("Op", " ".join(last), "y"), weights=("w",))


def reached(g: onnx.GraphProto, removed: str | None) -> bool:
    """Tell by definition whether data of `x` still arrives at `y` without one tensor."""
    found = {"x"} - {removed}
    for each in g.node:
        if each.op_type != "Shape" and found.intersection(reads(each)):
            found.update(set(each.output) - {removed})
    return "y" in found


@given(graphs())
@settings(max_examples=300)
def test_separators_are_the_tensors_without_which_nothing_arrives(g):
    assume(reached(g, None))
    tensors = ["x", *(name for each in g.node for name in each.output)]

    assert separators(g, "x", "y") == [name for name in tensors if not reached(g, name)]


@given(graphs())
def test_path_nodes_are_those_below_the_source_and_above_the_target(g):
    flow = {(name, out) for n in g.node if n.op_type != "Shape" for name in reads(n) for out in n.output}
    below, above = {"x"}, {"y"}
    for _ in g.node:
        below |= {out for name, out in flow if name in below}
        above |= {name for name, out in flow if out in above}
    expected = [
        n for n in g.node if n.op_type != "Shape" and below.intersection(reads(n)) and above.intersection(n.output)
    ]

    assert path_nodes(g, "x", "y") == expected
    assert downstream(g, ["x"]) == below


def test_target_that_is_not_reached_is_separated_by_the_source_alone():
    assert separators(graph(node("Op", "w", "y"), weights=("w",)), "x", "y") == ["x"]


def test_shape_of_the_picture_carries_no_data():
    g = graph(node("Shape", "x", "s"), node("Op", "x", "a"), node("Reshape", "a s", "b"), node("Op", "b", "y"))

    assert separators(g, "x", "y") == ["x", "a", "b", "y"]
    assert downstream(g, ["x"]) == {"x", "a", "b", "y"}


def test_subgraph_reads_what_it_does_not_make_itself():
    inner = branch(node("Op", "local deep", "out"), output="out")
    body = branch(
        node("Op", "i outer", "local"),
        node("If", "local", "b", then_branch=inner, else_branch=branch(output="last")),
        output="b",
        inputs=("i",),
    )
    body.initializer.append(helper.make_tensor("own", TensorProto.FLOAT, [1], [1.0]))
    body.node.append(node("Op", "own", "c"))

    assert sorted(captured(body)) == ["deep", "last", "outer"]
    assert sorted(reads(node("Loop", "_ count start", "y", body=body))) == ["count", "deep", "last", "outer", "start"]


def test_name_made_after_it_was_read_is_captured():
    body = branch(node("Op", "a", "b"), node("Op", "b", "a"), output="a")

    assert captured(body) == ["a"]


def test_sparse_weights_of_a_subgraph_are_its_own():
    values = helper.make_tensor("sparse", TensorProto.FLOAT, [1], [1.0])
    indices = helper.make_tensor("at", TensorProto.INT64, [1], [0])
    body = branch(node("Op", "sparse", "b"), output="b")
    body.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))

    assert captured(body) == []


def test_maker_and_readers_of_each_tensor():
    first, second = node("Split", "x", "a _ b"), node("Op", "a b a", "y")
    g = graph(first, second)

    assert producers(g) == {"a": first, "b": first, "y": second}
    assert consumers(g) == {"x": [first], "a": [second], "b": [second]}


def test_weights_that_old_files_list_as_inputs_need_not_be_fed():
    g = graph(node("Op", "x w", "y"), weights=("w",))
    g.input.append(value("w"))
    values = helper.make_tensor("s", TensorProto.FLOAT, [1], [1.0])
    g.sparse_initializer.append(
        helper.make_sparse_tensor(values, helper.make_tensor("at", TensorProto.INT64, [1], [0]), [3])
    )
    g.input.append(value("s"))

    assert [i.name for i in feeds(g)] == ["x"]
    assert list(initializers(g)) == ["w"]


@pytest.mark.parametrize(
    ("given_value", "expected", "as_integer", "as_list"),
    [(3, 3, 3, []), ([1, 2], [1, 2], 7, [1, 2]), (0, 0, 0, []), (2.5, 2.5, 7, []), ("s", b"s", 7, [])],
)
def test_attributes_are_read_by_type(given_value, expected, as_integer, as_list):
    made = node("Op", "x", "y", key=given_value)

    assert attribute(made, "key") == expected
    assert attribute(made, "other") is None
    assert integer(made, "key", 7) == as_integer
    assert integer(made, "other", 7) == 7
    assert integers(made, "key") == as_list
    assert integers(made, "other") == []


@given(graphs(), st.randoms(use_true_random=False))
def test_shuffled_nodes_are_put_in_order(g: onnx.GraphProto, random: Random) -> None:
    nodes = list(g.node)
    random.shuffle(nodes)
    shuffled = helper.make_graph(nodes, "g", list(g.input), list(g.output), list(g.initializer))
    sort_nodes(shuffled)
    seen = {"x", "w"}
    for made in shuffled.node:
        assert set(reads(made)) <= seen
        seen.update(made.output)

    assert sorted(n.SerializeToString() for n in shuffled.node) == sorted(n.SerializeToString() for n in g.node)


def test_a_sorted_graph_and_a_cycle_stay_as_they_are() -> None:
    for nodes in ([node("Op", "x", "a"), node("Op", "a", "y")], [node("Op", "b", "a"), node("Op", "a", "b")]):
        g = graph(*nodes)
        sort_nodes(g)

        assert list(g.node) == nodes

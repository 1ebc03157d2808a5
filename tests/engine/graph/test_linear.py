"""A head is additive by its graph when nothing but affine operators follow the split."""

import onnx
import pytest

from ddcam.engine.graph.linear import why_interacting


def why(*lines: str) -> str | None:
    """Ask about a graph from `f` to `y`; `w...` are weights."""
    text = "\n".join(lines)
    graph = onnx.parser.parse_graph(f"g (float[] f, float[] w, int64[] wi) => (float[] y) {{ {text} }}")
    return why_interacting(graph, "f", "y")


@pytest.mark.parametrize(
    "lines",
    [
        ["y = Conv(f, w)"],
        ["a = GlobalAveragePool(f)", "b = Flatten(a)", "y = Gemm(b, w, w)"],
        ["a = ReduceMean(f)", "y = MatMul(w, a)"],
        ["a = BatchNormalization(f, w, w, w, w)", "y = Identity(a)"],
        ["a = Mul(f, w)", "b = Mul(w, f)", "c = Add(a, b)", "y = Sub(c, w)"],
        ["a = Div(f, w)", "b = Neg(a)", "y = Sum(a, b, f)"],
        ["s = Shape(f)", "y = Reshape(f, s)"],
        ["a = Slice(f, wi, wi)", "b, c = Split(a)", "d = Concat <axis = 1> (b, c)", "y = Pad(d, wi)"],
        ["a = Gather(f, wi)", "b = Expand(a, wi)", "c = Cast <to = 1> (b)", "y = Dropout(c)"],
        ["unread = Relu(f)", "y = Identity(f)"],
        ["other = Relu(w)", "y = Mul(f, other)"],
    ],
)
def test_affine_operators_let_units_add_up(lines):
    assert why(*lines) is None


@pytest.mark.parametrize(
    ("reason", "lines"),
    [
        ("Relu (node 'a')", ["a = Relu(f)", "y = Gemm(a, w)"]),
        ("MaxPool (node 'y')", ["y = MaxPool(f)"]),
        ("Softmax (node 'a')", ["b = Identity(f)", "a = Softmax(b)", "y = Relu(a)"]),
        ("QuantizeLinear (node 'a')", ["a = QuantizeLinear(f, w)", "y = DequantizeLinear(a, w)"]),
        ("LayerNormalization (node 'y')", ["y = LayerNormalization(f, w)"]),
        ("Mul (node 'y') multiplying features with features", ["a = Identity(f)", "y = Mul(f, a)"]),
        ("Mul (node 'y') multiplying features with features", ["y = Mul(f, f)"]),
        ("MatMul (node 'y') multiplying features with features", ["y = MatMul(f, f)"]),
        ("Conv (node 'y') multiplying features with features", ["a = Neg(f)", "y = Conv(w, f, a)"]),
        ("Div (node 'y') dividing by features", ["y = Div(w, f)"]),
        ("Gather (node 'y') taking its shape or index from features", ["a = Cast <to = 7> (f)", "y = Gather(w, a)"]),
        ("Expand (node 'y') taking its shape or index from features", ["a = Cast <to = 7> (f)", "y = Expand(w, a)"]),
    ],
)
def test_first_operator_that_lets_units_interact_is_named(reason, lines):
    assert why(*lines) == reason


def test_name_of_the_node_comes_before_that_of_its_output():
    graph = onnx.parser.parse_graph("g (float[] f) => (float[] y) { y = Relu(f) }")
    graph.node[0].name = "last activation"

    assert why_interacting(graph, "f", "y") == "Relu (node 'last activation')"


def test_subgraph_makes_units_interact():
    inner = "then_branch = t () => (float[] o) { o = Identity(f) }, else_branch = e () => (float[] p) { p = Neg(f) }"
    graph = onnx.parser.parse_graph(f"g (float[] f, bool[] c) => (float[] y) {{ y = If (c) <{inner}> }}")

    assert why_interacting(graph, "f", "y") == "If (node 'y')"

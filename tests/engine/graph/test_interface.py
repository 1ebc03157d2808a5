"""Which input takes the picture, and where the class scores are before the final softmax."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.graph.interface import dtype_of, find_logits, find_picture_input, tensor_of
from ddcam.engine.types import Tensor

WEIGHTS = {
    "w": np.ones((8, 3, 3, 3)),
    "grey": np.ones((8, 1, 3, 3)),
}


def model(inputs: str, *nodes: str, outputs: str = "float[N,5] y") -> onnx.ModelProto:
    """Make a model in the notation of onnx.parser, with the weights of WEIGHTS that it reads."""
    graph = onnx.parser.parse_graph(f"g ({inputs}) => ({outputs}) {{ {' '.join(nodes)} }}")
    read = {name for node in graph.node for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in WEIGHTS.items() if name in read
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("expected", "inputs", "nodes"),
    [
        (("NCHW", 3, 16, 20, True), "float[N,3,16,20] x", []),
        (("NCHW", 1, 16, 20, False), "float[1,1,16,20] x", []),
        (("NHWC", 3, 16, 20, True), "float[N,16,20,3] x", []),
        (("NHWC", 1, None, None, True), "float[N,H,W,1] x", []),
        (("NCHW", 3, None, None, True), "float[N,3,H,W] x", []),
        (("NHWC", 3, None, None, True), "float[N,H,W,C] x", ["y = Transpose <perm = [0, 3, 1, 2]> (x)"]),
        (("NCHW", 3, None, None, True), "float[N,C,H,W] x", ["y = Conv(x, w)"]),
        (("NCHW", 1, None, None, True), "float[N,C,H,W] x", ["y = Conv(x, grey)"]),
        (("NCHW", 3, None, None, True), "float[N,C,H,W] x", ["y = Conv <group = 3> (x, grey)"]),
        (("NCHW", 3, None, None, True), "float[N,C,H,W] x", ["y = Relu(x)"]),
        (("NHWC", 3, 3, 16, True), "float[N,3,16,3] x", ["y = Transpose <perm = [0, 3, 1, 2]> (x)"]),
        (("NCHW", 3, 16, 3, True), "float[N,3,16,3] x", ["y = Relu(x)"]),
        (("NCHW", 4, 8, 8, True), "float[N,4,8,8] x", ["y = Relu(x)"]),
        (("NHWC", 6, 8, 8, True), "float[N,8,8,6] x", ["y = Relu(x)"]),
        (("NHWC", 13, 8, 9, True), "float[N,8,9,13] x", ["y = Transpose <perm = [0, 3, 1, 2]> (x)"]),
        (("NCHW", 2, 8, 2, True), "float[N,2,8,2] x", ["y = Relu(x)"]),
    ],
)
def test_layout_and_sizes_of_the_picture(expected, inputs, nodes):
    found = find_picture_input(model(inputs, *nodes))

    assert (found.layout, found.channels, found.height, found.width, found.free_batch) == expected
    assert found.name == "x"


@pytest.mark.parametrize("dtype", ["float", "float16", "double", "uint8", "int8"])
def test_types_that_pictures_have(dtype):
    assert find_picture_input(model(f"{dtype}[N,3,8,8] x")).dtype == {"float": "float32", "double": "float64"}.get(
        dtype, dtype
    )


def test_layout_asked_for_decides_where_the_file_leaves_it_open():
    assert find_picture_input(model("float[N,H,W,C] x"), "NHWC").layout == "NHWC"
    assert find_picture_input(model("float[N,3,16,3] x"), "NHWC").height == 3
    with pytest.raises(OptionError, match=r"layout NHWC does not fit the input x float32\[\?, 3, 8, 8\]; use NCHW"):
        find_picture_input(model("float[N,3,8,8] x"), "NHWC")


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("one input that takes a picture.*inputs are: none", ""),
        (r"one input that takes a picture.*x float32\[\?, 768\]", "float[N,768] x"),
        (r"one input that takes a picture.*x int64\[\?, 3, 8, 8\]", "int64[N,3,8,8] x"),
        (
            r"besides the picture 'x' the model needs z int64\[1\]: hold it with --hold z=NUMBER",
            "float[N,3,8,8] x, int64[1] z",
        ),
        (r"a batch of 1 or a free batch; the input is x float32\[2, 3, 8, 8\]", "float[2,3,8,8] x"),
    ],
)
def test_inputs_that_take_no_picture_are_refused(text, inputs):
    with pytest.raises(ModelError, match=text):
        find_picture_input(model(inputs))


def test_weights_listed_as_inputs_are_no_inputs():
    proto = model("float[N,3,8,8] x, float[8,3,3,3] w", "y = Conv(x, w)")

    assert find_picture_input(proto).name == "x"


BODY = "logits = Conv(x, w)"


@pytest.mark.parametrize(
    ("activation", "tensor", "nodes"),
    [
        ("none", "y", ["y = Identity(logits)"]),
        ("softmax", "logits", ["y = Softmax(logits)"]),
        ("softmax", "logits", ["y = LogSoftmax(logits)"]),
        ("sigmoid", "logits", ["y = Sigmoid(logits)"]),
        ("softmax", "logits", ["a = Softmax(logits)", "b = Cast <to = 10> (a)", "c = Flatten(b)", "y = Identity(c)"]),
        ("softmax", "logits", ["a = Softmax(logits)", "b = QuantizeLinear(a, two)", "y = DequantizeLinear(b, two)"]),
        ("softmax", "logits", ["a = Exp(logits)", "b = ReduceSum(a)", "y = Div(a, b)"]),
        (
            "softmax",
            "logits",
            ["m = ReduceMax(logits)", "d = Sub(logits, m)", "a = Exp(d)", "b = ReduceSum(a)", "y = Div(a, b)"],
        ),
        (
            "softmax",
            "d",
            ["m = ReduceMean(logits)", "d = Sub(logits, m)", "a = Exp(d)", "b = ReduceSum(a)", "y = Div(a, b)"],
        ),
        ("none", "y", ["a = Exp(logits)", "e = Exp(a)", "b = ReduceSum(e)", "y = Div(a, b)"]),
        ("none", "y", ["a = Exp(logits)", "y = Div(a, two)"]),
        ("none", "y", ["a = Softmax(logits)", "y = Mul(a, two)"]),
    ],
)
def test_class_scores_are_what_enters_the_final_activation(activation, tensor, nodes):
    found = find_logits(model("float[N,3,8,8] x", BODY, *nodes), "x")

    assert (found.activation, found.tensor, found.output, found.classes) == (activation, tensor, "y", 5)


def test_reason_names_the_activation():
    assert (
        find_logits(model("float[N,3,8,8] x", BODY, "y = LogSoftmax(logits)"), "x").reason
        == "what enters the final LogSoftmax"
    )
    assert "no softmax" in find_logits(model("float[N,3,8,8] x", "y = Relu(x)"), "x").reason


@pytest.mark.parametrize(
    ("expected", "outputs", "nodes"),
    [
        ("p", "float[N,5] logits, float[N,5] p", ["p = Softmax(logits)"]),
        ("p", "float[N,5] p, float[N,5] logits", ["p = Softmax(logits)"]),
        ("a", "float[N,5] a, float[N,5] b", ["a = Relu(logits)", "b = Relu(logits)"]),
        ("b", "float[N,5] a, float[N,5] b", ["a = Relu(logits)", "b = Softmax(logits)"]),
        ("a", "int64[N] label, float[N,5] a", ["a = Relu(logits)", "label = ArgMax(a)"]),
        ("a", "float[N,8,4,4] map, float[N,5] a", ["map = Relu(logits)", "a = Relu(map)"]),
        ("a", "float[N,8] embedding, float[N,5] a", ["embedding = Relu(logits)", "a = Relu(embedding)"]),
        ("a", "float[N,5,1,1] a", ["a = Relu(logits)"]),
        ("a", "float[N,1] a", ["a = Relu(logits)"]),
        ("a", "float[1] a", ["a = Relu(logits)"]),
        ("b", "float[N,1] a, float[N,5] b", ["a = Sigmoid(logits)", "b = Relu(logits)"]),
        ("b", "float[N] a, float[N,5] b", ["a = Sigmoid(logits)", "b = Relu(logits)"]),
        ("a", "float[5] a, float[N,1] b", ["a = Relu(logits)", "b = Sigmoid(logits)"]),
        ("a", "float[N,5] a, float[N,1] best", ["a = Softmax(logits)", "best = ReduceMax(a)"]),
        ("b", "float[N,1] a, float[N,1,1] b", ["a = Relu(logits)", "b = Sigmoid(logits)"]),
        ("a", "float[N,K] a", ["a = Relu(logits)"]),
        ("a", "float[] constant, float[N,5] a", ["constant = Relu(two)", "a = Relu(logits)"]),
    ],
)
def test_output_with_the_class_scores_is_chosen(expected, outputs, nodes):
    assert find_logits(model("float[N,3,8,8] x", BODY, *nodes, outputs=outputs), "x").output == expected


def test_output_asked_for_is_taken():
    proto = model("float[N,3,8,8] x", BODY, "p = Softmax(logits)", outputs="float[N,5] logits, float[N,5] p")

    assert find_logits(proto, "x", "logits").tensor == "logits"
    with pytest.raises(OptionError, match=r"no output 'q'; its outputs are: logits .*; p float32\[\?, 5\]"):
        find_logits(proto, "x", "q")


@pytest.mark.parametrize("outputs", ["float[N,8,4,4] y", "int64[N,5] y", "seq(float[N]) y", "float y"])
def test_model_without_class_scores_is_refused(outputs):
    with pytest.raises(ModelError, match=r"expected an output of class scores.*of a detector choose a box with --box"):
        find_logits(model("float[N,3,8,8] x", "y = Relu(x)", outputs=outputs), "x")


def test_tensors_are_translated():
    info: Any = helper.make_tensor_value_info("t", TensorProto.FLOAT16, ["N", 3, 0, None])

    assert tensor_of(info) == Tensor("t", "float16", (None, 3, None, None))
    assert str(tensor_of(info)) == "t float16[?, 3, ?, ?]"
    assert dtype_of(TensorProto.BFLOAT16) == "bfloat16"
    assert dtype_of(TensorProto.UNDEFINED) == dtype_of(999) == "undefined"

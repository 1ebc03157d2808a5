"""A head without its activations is linear or there is none, and its multiplications are counted."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from ddcam.engine.graph.linear import why_interacting
from ddcam.engine.graph.surrogate import linearised, multiplications
from ddcam.engine.types import Value

WIDTH = 6


class Head:
    """A head from `x` [1, 6] to `y`, written step by step."""

    def __init__(self, zoo: Any) -> None:
        self.draft = zoo.Draft(17)

    def __getattr__(self, kind: str) -> Any:
        return lambda *inputs, **attributes: self.draft.add(kind, list(inputs), **attributes)

    def layer(self, x: str, after: int = WIDTH) -> str:
        return self.draft.dense(x, WIDTH, after)

    def number(self, value: float) -> str:
        return self.draft.constant(value)

    def model(self, last: str) -> onnx.ModelProto:
        self.draft.add("Identity", last, "y")
        x, y = (helper.make_tensor_value_info(name, 1, ["N", None]) for name in "xy")
        graph = helper.make_graph(self.draft.nodes, "head", [x], [y], self.draft.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def head(zoo: Any) -> Head:
    return Head(zoo)


def slopes(zoo: Any, model: onnx.ModelProto) -> np.ndarray:
    """Return what one more of each input adds to the outputs of a linear model."""
    rows = np.concatenate([np.zeros((1, WIDTH)), np.eye(WIDTH)]).astype(np.float32)
    outputs = zoo.run(model, {"x": rows})[0]
    return outputs[1:] - outputs[0]


def linear_part(zoo: Any, model: onnx.ModelProto) -> np.ndarray:
    found = linearised(model, "x", "y")
    assert found is not None
    assert why_interacting(found.graph, "x", "y") is None
    return slopes(zoo, found)


BENT = ["Relu", "Sigmoid", "Tanh", "Erf", "HardSwish", "HardSigmoid", "LeakyRelu", "Elu", "Softplus"]


@pytest.mark.parametrize("kind", BENT)
def test_an_activation_is_left_out(zoo: Any, head: Head, kind: str) -> None:
    model = head.model(head.layer(getattr(head, kind)(head.layer("x")), 5))
    first, second = (onnx.numpy_helper.to_array(t).T for t in model.graph.initializer if len(t.dims) == 2)

    np.testing.assert_allclose(linear_part(zoo, model), first @ second, rtol=1e-4, atol=1e-5)


def test_bounds_of_a_clip_may_be_inputs(zoo: Any, head: Head) -> None:
    model = head.model(head.Clip("x", head.number(0.0), head.number(6.0)))

    np.testing.assert_allclose(linear_part(zoo, model), np.eye(WIDTH))


def test_of_a_value_times_its_own_gate_the_value_is_kept(zoo: Any, head: Head) -> None:
    """x * sigmoid(x), as SiLU is written."""
    model = head.model(head.Mul("x", head.Sigmoid("x")))

    np.testing.assert_allclose(linear_part(zoo, model), np.eye(WIDTH))


@pytest.mark.parametrize("order", ["gate first", "divided first", "divided last"])
def test_a_hard_swish_that_is_written_out_is_left_out(zoo: Any, head: Head, order: str) -> None:
    """x * clip(x + 3, 0, 6) / 6; only the scale of the units together may depend on how it is written."""
    gate = head.Clip(head.Add("x", head.number(3.0)), head.number(0.0), head.number(6.0))
    if order == "divided first":
        gate = head.Div(gate, head.number(6.0))
    product = head.Mul(gate, "x") if order == "gate first" else head.Mul("x", gate)
    last = head.Div(product, head.number(6.0)) if order == "divided last" else product
    found = linear_part(zoo, head.model(last))

    np.testing.assert_allclose(found / found[0, 0], np.eye(WIDTH), atol=1e-6)
    assert found[0, 0] > 0


def test_a_gelu_that_is_written_out_is_left_out(zoo: Any, head: Head) -> None:
    gate = head.Add(head.Erf(head.Div("x", head.number(2**0.5))), head.number(1.0))
    found = linear_part(zoo, head.model(head.Mul("x", head.Mul(gate, head.number(0.5)))))

    np.testing.assert_allclose(found / found[0, 0], np.eye(WIDTH), atol=1e-6)


def test_a_pair_of_quantize_and_dequantize_is_left_out(zoo: Any, head: Head) -> None:
    zero = head.draft.constant(np.array(7, np.uint8))
    scale = head.number(0.25)
    bytes_ = head.QuantizeLinear(head.layer("x"), scale, zero)
    model = head.model(head.layer(head.DequantizeLinear(bytes_, scale, zero), 5))
    first, second = (onnx.numpy_helper.to_array(t).T for t in model.graph.initializer if len(t.dims) == 2)

    np.testing.assert_allclose(linear_part(zoo, model), first @ second, rtol=1e-4, atol=1e-5)


def softmax(head: Head) -> str:
    return head.layer(head.Softmax("x"))


def product_of_features(head: Head) -> str:
    return head.Mul(head.layer("x"), head.layer("x"))


def matrix_of_features(head: Head) -> str:
    return head.MatMul(head.Transpose("x"), "x")


def quotient(head: Head) -> str:
    return head.Div(head.layer("x"), head.layer("x"))


def largest_of_two(head: Head) -> str:
    return head.Max(head.layer("x"), head.layer("x"))


def pooled(head: Head) -> str:
    return head.GlobalMaxPool(head.draft.unsqueeze("x", [2]))


def square(head: Head) -> str:
    return head.Mul("x", "x")


@pytest.mark.parametrize(
    "draw", [softmax, product_of_features, matrix_of_features, quotient, largest_of_two, pooled, square]
)
def test_there_is_none_where_more_than_an_activation_bends(head: Head, draw: Any) -> None:
    assert linearised(head.model(draw(head)), "x", "y") is None


def test_the_model_itself_is_left_as_it_was(head: Head) -> None:
    model = head.model(head.Relu("x"))
    before = model.SerializeToString()
    linearised(model, "x", "y")

    assert model.SerializeToString() == before


def test_multiplications_are_those_of_the_products(zoo: Any) -> None:
    draft = zoo.Draft(17)
    x = draft.conv("picture", 3, 8, 5, strides=[4, 4])
    x = draft.conv(x, 8, 8, 3, group=8)
    flat = draft.add("Relu", draft.add("Flatten", x))
    both = draft.add("MatMul", [draft.dense(flat, 8 * 16, 10), draft.weight(10, 5)])
    graph = draft.model(both).graph
    shapes = {graph.node[0].output[0]: (1, 8, 4, 4), x: (1, 8, 4, 4), flat: (1, 128), both: (1, 5)}
    shapes |= {"picture": (1, 3, 16, 16), graph.node[4].output[0]: (1, 10)}
    values = {name: Value(shape, "float32") for name, shape in shapes.items()}

    expected = 8 * 16 * 75 + 8 * 16 * 9 + 128 * 10 + 10 * 5
    assert multiplications(graph, list(graph.node), values) == expected
    assert multiplications(graph, list(graph.node[3:]), values) == 128 * 10 + 10 * 5

"""A graph that normalises pixels itself tells which pixels it takes."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from ddcam.engine.graph.normalised import find_normalised

VALUES = {
    "w": np.ones((8, 3, 3, 3)),
    "p255": np.array(255.0),
    "p1": np.array(1 / 255),
    "half": np.full((1, 1, 1, 3), 127.5),
    "two": np.array(2.0),
    "one": np.ones(1),
    "none": np.zeros(3),
    "bgr": np.array([103.9, 116.8, 123.7]).reshape(3, 1, 1),
    "rgb": np.array([123.7, 116.8, 103.9]).reshape(3, 1, 1),
    "image": np.random.default_rng(0).uniform(90, 130, (1, 3, 8, 8)),
    "weights": np.random.default_rng(0).normal(1 / 127, 1, (1, 3, 8, 8)),
    "mean": np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1),
    "less": -np.array([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1),
    "mean_bgr": np.array([0.406, 0.456, 0.485]).reshape(1, 3, 1, 1),
    "std": np.array([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1),
    "by128": np.array(0.0078125),
    "m127": np.array([127.5]),
    "v": np.full(3, 3600.0),
    "small": np.full(3, 0.05),
    "ones": np.ones(3),
    "mean255": np.full(3, 120.0),
}


def read(*nodes: str, inputs: str = "float[N,3,8,8] x") -> tuple[int, str, str] | None:
    """Read a graph in the notation of onnx.parser, with those of VALUES that it reads."""
    graph = onnx.parser.parse_graph(f"g ({inputs}) => (float[N,5] y) {{ {' '.join(nodes)} }}")
    used = {name for node in graph.node for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(value.astype(np.float32), name) for name, value in VALUES.items() if name in used
    )
    found = find_normalised(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), "x")
    return None if found is None else (found.largest, found.color, found.nodes)


@pytest.mark.parametrize(
    ("expected", "nodes"),
    [
        ((255, "RGB", "Div 'y'"), ["y = Div(x, p255)"]),
        ((255, "RGB", "Mul 'y'"), ["y = Mul(x, p1)"]),
        (
            (255, "RGB", "Div 'a'"),
            ["c = Cast <to = 1> (x)", "t = Transpose(c)", "a = Div(t, half)"],
        ),
        ((255, "RGB", "Sub 'a', Mul 'b'"), ["a = Sub(x, m127)", "b = Mul(a, by128)", "y = Conv(b, w)"]),
        ((255, "RGB", "Div 'a', Sub 'b', Div 'c'"), ["a = Div(x, p255)", "b = Sub(a, mean)", "c = Div(b, std)"]),
        ((255, "BGR", "Div 'a', Sub 'b', Div 'c'"), ["a = Div(x, p255)", "b = Sub(a, mean_bgr)", "c = Div(b, std)"]),
        ((255, "BGR", "Sub 'a'"), ["a = Sub(x, bgr)", "y = Conv(a, w)"]),
        ((255, "RGB", "Sub 'a'"), ["a = Sub(x, rgb)", "y = Conv(a, w)"]),
        ((255, "RGB", "Sub 'a'"), ["a = Sub(x, image)", "y = Conv(a, w)"]),
        ((255, "RGB", "BatchNormalization 'a'"), ["a = BatchNormalization(x, ones, none, mean255, v)"]),
        ((1, "RGB", "Sub 'a', Div 'b'"), ["a = Sub(x, mean)", "b = Div(a, std)", "y = Conv(b, w)"]),
        ((1, "RGB", "Add 'a', Div 'b'"), ["a = Add(less, x)", "b = Div(a, std)"]),
        ((1, "RGB", "Mul 'a', Sub 'b'"), ["a = Mul(x, two)", "b = Sub(a, one)"]),
    ],
)
def test_pixels_that_a_graph_normalises(expected: tuple[int, str, str], nodes: list[str]) -> None:
    assert read(*nodes) == expected


@pytest.mark.parametrize(
    "nodes",
    [
        ["y = Conv(x, w)"],
        ["a = Mul(x, two)", "y = Conv(a, w)"],  # a factor alone may be anything
        ["a = Div(x, two)", "y = Conv(a, w)"],
        ["a = Mul(x, one)", "b = Add(a, none)", "y = Conv(b, w)"],
        ["a = BatchNormalization(x, ones, small, none, ones)", "y = Conv(a, w)"],  # of what is normalised already
        ["a = Div(one, x)", "y = Conv(a, w)"],
        ["a = Div(x, none)", "y = Conv(a, w)"],
        ["a = Mul(x, x)", "y = Conv(a, w)"],
        ["a = Mul(x, weights)", "y = Conv(a, w)"],  # by 1/127 in the mean, but each pixel by another number
        ["a = Sub(x, mean)", "b = Relu(x)", "y = Mul(a, b)"],  # the picture goes elsewhere too
    ],
)
def test_what_is_no_normalisation_tells_nothing(nodes: list[str]) -> None:
    assert read(*nodes) is None

"""The axis of the channels is told by the operators around a tensor."""

from ast import literal_eval

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from ddcam.engine.graph.axes import CHANNEL_LAST, Neighbours

SQUARE, WIDE = (1, 6, 6, 6), (1, 5, 7, 6)
"""A shape that tells nothing, and one that would be guessed wrongly (the larger of axes 1 and 3)."""


def axis(*nodes: str, shape: tuple[int, ...] = SQUARE, of: str = "t") -> int:
    """Ask for the axis of `t`; nodes are written `Op input ... > output key=value`; `w...` are weights."""
    made, weights = [], {}
    for text in nodes:
        left, right = text.split(" > ")
        op_type, *inputs = left.split()
        output, *attributes = right.split()
        keys = {key: literal_eval(value) for key, value in (item.split("=") for item in attributes)}
        made.append(helper.make_node(op_type, inputs, [output], **keys))
        weights |= {name: np.array([1, 2]) for name in inputs if name.startswith("w")}
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    info = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    graph = helper.make_graph(made, "g", info[:1], info[1:], tensors)
    return Neighbours(graph, CHANNEL_LAST[len(shape)]).channel_axis(of, shape)


FIRST, LAST = "perm=[0,3,1,2]", "perm=[0,2,3,1]"


@pytest.mark.parametrize(
    ("expected", "nodes"),
    [
        (1, ["Conv x w > t"]),
        (1, ["QLinearConv x ws wz w > a", "Relu a > t"]),
        (1, ["BatchNormalization x w1 w2 w3 w4 > t"]),
        (1, ["Conv x w > a", "Add x a > t"]),
        (1, ["Conv x w > a", "Conv x w > b", "Concat a b > t axis=1"]),
        (3, ["Conv x w > a", f"Transpose a > t {LAST}"]),
        (3, ["Conv x w > a", "Transpose a > t perm=[0,3,2,1]"]),
        (3, ["MatMul x w > t"]),
        (3, ["LayerNormalization x w w2 > a", "Relu a > t"]),
        (1, ["LayerNormalization x w w2 > a", f"Transpose a > t {FIRST}"]),
        (1, ["Reshape x w > t", "GlobalAveragePool t > y"]),
        (1, ["Reshape x w > t", "Relu t > a", "MaxPool a > y"]),
        (3, ["Reshape x w > t", f"Transpose t > a {FIRST}", "Conv a w > y"]),
        (3, ["Reshape x w > t", "MatMul t w > y"]),
        (3, ["Reshape x w > t", "ReduceMean t > y axes=[1,2]"]),
        (3, ["Reshape x w > t", "ReduceMean t > y axes=[-3,-2]"]),
        (1, ["Reshape x w > t", "ReduceMean t > y axes=[2,3]"]),
        (3, ["Reshape x w > t", "ReduceSum t w > y"]),
        (2, ["Reshape x w > t", "ReduceMax t > y axes=[1,3]"]),
    ],
)
def test_neighbours_tell(expected, nodes):
    assert axis(*nodes) == expected


@pytest.mark.parametrize(
    ("expected", "shape"),
    [(1, (1, 64, 7, 7)), (3, (1, 7, 7, 64)), (1, (1, 4, 7, 7)), (1, (1, 8, 5, 7)), (3, (1, 5, 7, 8)), (1, SQUARE)],
)
def test_shape_decides_where_nobody_knows(expected, shape):
    assert axis("Reshape x w > t", "Reshape t w > y", shape=shape) == expected


def test_neighbours_overrule_the_shape():
    assert axis("Reshape x w > t", "Relu t > y", shape=WIDE) == 3
    assert axis("Conv x w > t", shape=WIDE) == 1


def test_weights_made_by_the_graph_are_no_map():
    assert axis("Reshape x w > t", "Conv x t > y", shape=(1, 5, 5, 9)) == 3


def test_product_of_two_activations_tells_nothing():
    assert axis("Reshape x w > t", "MatMul t x > y", shape=(1, 9, 4, 6)) == 1


def test_axes_behind_a_change_of_rank_are_not_counted_on():
    """The transpose of tokens has three axes; once they were counted as if it had four."""
    above = ["LayerNormalization x w w2 > a", "Transpose a > b perm=[0,2,1]", "Unsqueeze b w > t"]
    below = ["Reshape x w > t", "Squeeze t w > a", "Transpose a > b perm=[0,2,1]", "MatMul b w > y"]

    assert axis(*above, shape=(1, 9, 6, 1)) == 1
    assert axis(*below, shape=(1, 6, 1, 9)) == 3


@pytest.mark.parametrize(
    ("expected", "nodes"),
    [
        (2, ["Reshape x w > t", "Reshape t w > y"]),
        (2, ["Reshape x w > t", "LayerNormalization t w w2 > y"]),
        (1, ["LayerNormalization x w w2 > a", "Transpose a > t perm=[0,2,1]"]),
        (1, ["Reshape x w > t", "Transpose t > a perm=[0,2,1]", "LayerNormalization a w w2 > y"]),
        (1, ["Reshape x w > t", "GlobalAveragePool t > y"]),
        (2, ["Conv x w > a", "Transpose a > t perm=[0,2,1]"]),
        (2, ["Reshape x w > t", "Transpose t > a perm=[0,2,1]", "MatMul a w > y"]),
    ],
)
def test_tokens_come_before_their_channels_unless_shown_otherwise(expected, nodes):
    """In an MLP-Mixer a product with weights works along the tokens, so it shows nothing."""
    assert axis(*nodes, shape=(1, 6, 6)) == expected


@pytest.mark.parametrize("operator", ["FusedMatMul", "Einsum"])
def test_products_that_turn_their_operands_tell_nothing(operator):
    """ONNX Runtime moves the transposes of an MLP-Mixer into its products."""
    below = [f"{operator} a w > b", "Transpose b > t perm=[0,2,1]"]

    assert axis("LayerNormalization x w w2 > a", *below, shape=(1, 9, 6)) == 2


def test_long_chains_of_wide_sums_are_asked_once():
    """Without a memory these are 8^12 questions."""
    sums = [f"Sum {' '.join([f't{i}'] * 8)} > t{i + 1}" for i in range(14)]

    assert axis("Reshape x w > t0", *sums, "Reshape t14 w > y", of="t7") == 1

"""Raising and lowering operator sets."""

import onnx
import pytest
from onnx import TensorProto, helper

from ddcam.engine.graph.opset import HIGHEST, LOWEST, raised


def model_of(node: onnx.NodeProto, opset: int) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2, 5, 4]) for name in node.input]
    graph = helper.make_graph([node], "case", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize(("given", "expected"), [(13, LOWEST), (18, 18), (20, 20), (21, 21), (23, HIGHEST)])
def test_an_operator_set_that_rules_are_written_for(given: int, expected: int) -> None:
    found = raised(model_of(helper.make_node("Relu", ["x"], ["y"]), given))

    assert found.opset_import[0].version == expected
    assert [node.op_type for node in found.graph.node] == ["Relu"]


@pytest.mark.parametrize("kind", ["Attention", "RMSNormalization"])
def test_newer_operators_are_spelled_out(kind: str) -> None:
    names = ["q", "k", "v"] if kind == "Attention" else ["x", "scale"]
    found = raised(model_of(helper.make_node(kind, names, ["y"]), 23))

    assert found.opset_import[0].version == HIGHEST
    assert kind not in {node.op_type for node in found.graph.node}
    assert [item.name for item in found.graph.input] == names
    assert found.graph.output[0].name == "y"

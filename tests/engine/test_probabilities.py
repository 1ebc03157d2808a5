"""Probabilities come from the right place: never a softmax of a softmax."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import ddcam
from ddcam.engine.preprocess import from_pixels


def classifier(ending: list[onnx.NodeProto], output: str, path: Path) -> Path:
    """Save conv, ReLU, pooling and a linear layer that gives `logits`, followed by an ending of the caller's."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(0, 0.5, (6, 3, 3, 3)),
        "v": rng.normal(0, 2, (6, 4)),
        "zero": np.zeros(1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["logits"]),
        *ending,
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 16, 16])],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["N", 4])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


ENDINGS = {
    "logits": [],
    "softmax": [helper.make_node("Softmax", ["logits"], ["y"])],
    "log-softmax": [helper.make_node("LogSoftmax", ["logits"], ["y"])],
    "softmax and identity": [
        helper.make_node("Softmax", ["logits"], ["s"]),
        helper.make_node("Identity", ["s"], ["y"]),
    ],
    "softmax and something else": [
        helper.make_node("Softmax", ["logits"], ["s"]),
        helper.make_node("Add", ["s", "zero"], ["y"]),
    ],
    "written out": [
        helper.make_node("Exp", ["logits"], ["e"]),
        helper.make_node("ReduceSum", ["e", "axes"], ["t"]),
        helper.make_node("Div", ["e", "t"], ["y"]),
    ],
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_reports_the_same_probability_and_subset(ending: str, tmp_path: Path) -> None:
    nodes = list(ENDINGS[ending])
    if ending == "written out":
        nodes.insert(0, helper.make_node("Constant", [], ["axes"], value_ints=[1]))
    plain = classifier([], "logits", tmp_path / "plain.onnx")
    file = classifier(nodes, "y" if nodes else "logits", tmp_path / "model.onnx")
    picture = from_pixels(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8))
    expected, found = (ddcam.explain(ddcam.load(f), picture, preserve="confidence:0.9") for f in (plain, file))

    assert 0.26 < expected.target.probability < 0.999
    assert found.target.index == expected.target.index
    assert found.target.probability == pytest.approx(expected.target.probability, abs=1e-5)
    assert found.attribution.certificate is not None
    assert found.attribution.certificate.holds
    if ending != "softmax and something else":
        assert found.attribution.subset == expected.attribution.subset

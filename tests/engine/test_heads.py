"""Heads of several values and of several labels: the channel that makes a chosen one is the one that is found."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image

SIDE = 16


def headed(end: str | None) -> onnx.ModelProto:
    """Outputs 0, 1 and 2 are the mean red, green and blue, output 3 has something of each."""
    weights = {
        "k": np.eye(3)[..., None, None],
        "w": np.array([[6, 0, 0], [0, 6, 0], [0, 0, 6], [1, 1, 1]]),
        "b": np.array([-0.5, -0.5, -0.5, 2]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"]),
        helper.make_node("Relu", ["c"], ["f"]),
        helper.make_node("GlobalAveragePool", ["f"], ["g"]),
        helper.make_node("Flatten", ["g"], ["row"]),
        helper.make_node("Gemm", ["row", "w", "b"], ["z"], transB=1),
        *([helper.make_node(end, ["z"], ["y"])] if end else []),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    inputs = [helper.make_tensor_value_info("x", 1, ["N", 3, SIDE, SIDE])]
    outputs = [helper.make_tensor_value_info("y" if end else "z", 1, ["N", 4])]
    graph = helper.make_graph(nodes, "headed", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def explained(tmp_path: Path, monkeypatch, console):
    """Explain red at the upper left and blue at the lower right; give what is printed, the manifest and the map."""
    monkeypatch.chdir(tmp_path)
    pixels = np.full((SIDE, SIDE, 3), 5, np.uint8)
    pixels[:8, :8, 0], pixels[8:, 8:, 2] = 240, 200
    Image.fromarray(pixels).save("picture.png")
    Path("names.txt").write_text("red\ngreen\nblue\nall\n")

    def run(end: str | None, *options: str) -> tuple[str, dict, np.ndarray]:
        onnx.save(headed(end), "model.onnx")
        usual = ["--preprocessing", "unit", "--labels", "names.txt", "-o", "why", "--force"]
        code, out, err = console("explain", "model.onnx", "picture.png", *usual, *options)
        if code:
            return err, {}, np.zeros(0)
        if "--method" not in options:
            assert console("verify", "why", "model.onnx", "picture.png")[0] == 0
        return out, json.loads(Path("why/manifest.json").read_text(encoding="utf-8")), np.load("why/saliency.npy")

    return run


@pytest.mark.parametrize(("name", "channel", "bright"), [("red", 0, 240), ("blue", 2, 200)])
def test_one_of_several_values_is_told_as_a_value(explained, name, channel, bright):
    """A quarter of the picture is bright."""
    out, manifest, saliency = explained(None, "--target", name, "--preserve", "tolerance:0.2")
    seen = 6 * (bright + 3 * 5) / 4 / 255 - 0.5

    assert manifest["subset"] == [channel]
    assert manifest["target"]["logit"] == pytest.approx(seen, rel=1e-4)
    assert manifest["target"]["probability"] is None
    assert out.startswith(f"picture.png: {name} {seen:.5g}: 1 of 3 channels suffice for tolerance:0.2")
    assert f"The model gives {name} {seen:.5g}." in out
    corner = saliency[:8, :8] if name == "red" else saliency[8:, 8:]
    assert corner.mean() > 0.9
    assert corner.sum() > 0.9 * saliency.sum()


def test_one_of_several_labels_stays_on_its_side_by_itself(explained):
    out, manifest, saliency = explained("Sigmoid", "--target", "blue")

    assert (manifest["predicate"], manifest["subset"]) == ("threshold", [2])
    assert "the probability of blue stays above 50%" in out
    assert saliency[8:, 8:].mean() > 0.9
    assert saliency[:8, :8].mean() < 0.1


def test_all_labels_need_red_and_blue(explained):
    assert explained("Sigmoid", "--preserve", "multilabel")[1]["subset"] == [0, 2]
    assert explained("Sigmoid", "--target", "red", "--preserve", "confidence:0.9")[1]["subset"] == [0]


def test_a_method_without_a_search_takes_the_target_too(explained):
    for end, preserve in ((None, "tolerance:1"), ("Sigmoid", "threshold")):
        _, manifest, saliency = explained(end, "--target", "blue", "--preserve", preserve, "--method", "hirescam")
        assert manifest["target"]["label"] == "blue"
        assert saliency[8:, 8:].mean() > 0.9
        assert saliency[:8, :8].mean() < 0.1

"""Boxes and regions that do not exist, do not fit the model or do not go together."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image


@pytest.fixture
def finder(tmp_path: Path) -> Path:
    """A detector of four boxes, each a quarter of an 8 x 8 picture, with its brightness as score."""
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]], np.float32)
    tensors = {
        "grey": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "shape": np.array([1, 4, 1]),
        "nothing": np.zeros(1, np.float32),
        "quarters": boxes[None],
    }
    nodes = [
        helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Conv", ["pooled", "grey"], ["brightness"]),
        helper.make_node("Reshape", ["brightness", "shape"], ["scores"]),
        helper.make_node("Mul", ["scores", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "quarters"], ["boxes"]),
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4, k]) for n, k in (("scores", 1), ("boxes", 4))]
    graph = helper.make_graph(
        nodes,
        "quarters",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        outputs,
        [onnx.numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    onnx.save(model, tmp_path / "finder.onnx")
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[:15, :20] = 255
    Image.fromarray(pixels).save(tmp_path / "lit.png")
    return tmp_path / "finder.onnx"


BOXES = {
    "number 0": (["--box", "0"], "expected the number of a found box, 1, got 0"),
    "number too large": (["--box", "2"], "ddcam detect lists them"),
    "number beyond all": (["--box", "9" * 50], "LEFT,TOP,RIGHT,BOTTOM"),
    "negative number": (["--box", "-1"], "LEFT,TOP,RIGHT,BOTTOM"),
    "word": (["--box", "face"], "LEFT,TOP,RIGHT,BOTTOM"),
    "nothing": (["--box", ""], "LEFT,TOP,RIGHT,BOTTOM"),
    "three corners": (["--box", "1,2,3"], "LEFT,TOP,RIGHT,BOTTOM"),
    "inside out": (["--box", "20,0,10,10"], "LEFT,TOP,RIGHT,BOTTOM"),
    "nan": (["--box", "nan,0,10,10"], "LEFT,TOP,RIGHT,BOTTOM"),
    "infinite": (["--box", "0,0,inf,10"], "LEFT,TOP,RIGHT,BOTTOM"),
    "elsewhere": (["--box", "30,20,38,28"], "the nearest is number 1"),
    "iou 0": (["--box", "1", "--iou", "0"], "IoU above 0"),
    "iou above 1": (["--box", "1", "--iou", "1.5"], "IoU above 0"),
    "iou nan": (["--box", "1", "--iou", "nan"], "IoU above 0"),
    "iou as a word": (["--box", "1", "--iou", "half"], "--iou"),
    "score 0": (["--box", "1", "--score", "0"], "score between 0 and 1"),
    "score 1": (["--box", "1", "--score", "1"], "score between 0 and 1"),
    "score above all": (["--box", "1", "--score", "0.999"], "no box with a score above 0.999"),
    "class of no box": (["--box", "1", "--target", "giraffe"], "'giraffe'"),
    "iou without a box": (["--iou", "0.5"], "choose one with --box"),
    "box and region": (["--box", "1", "--region", "0,0,5,5"], "take one of them"),
    "no box": ([], "choose a box with --box"),
    "region of a detector": (["--region", "0,0,5,5"], "segmenters only"),
    "region inside out": (["--region", "5,5,0,0"], "LEFT,TOP,RIGHT,BOTTOM in pixels of the picture for --region"),
    "region that is no file": (["--region", "mask.png"], "mask.png"),
    "kind": (["--box", "1", "--detector", "yolo"], "unknown detector 'yolo'"),
    "no kind": (["--box", "1", "--detector", ""], "unknown detector"),
    "kind that does not fit": (["--box", "1", "--detector", "columns"], "what --detector columns reads"),
    "form": (["--box", "1", "--detector", "pair:boxes=round"], "corners|yx|centre"),
    "field": (["--box", "1", "--detector", "pair:colour=red"], "background=N"),
    "background": (["--box", "1", "--detector", "pair:background=-2"], "background=N"),
    "background beyond the classes": (["--box", "1", "--detector", "pair:background=9"], "background"),
    "fit": (["--box", "1", "--fit", "squeeze"], "'squeeze'"),
    "predicate of classes": (["--box", "1", "--preserve", "top1"], "threshold"),
}


@pytest.mark.parametrize("case", BOXES)
def test_choices_that_do_not_exist_are_refused(refused, finder: Path, case: str) -> None:
    options, text = BOXES[case]

    refused("explain", finder, "lit.png", "--preprocessing", "unit", *options, names=text)


def test_a_classifier_has_no_boxes(refused, digits: Path, digit: Path) -> None:
    for command in (("explain", digits, digit, "--box", "1"), ("detect", digits, digit)):
        assert "expected scores [1, n, C] and boxes [1, n, 4]" in refused(*command, names="no boxes can be read")
    refused("explain", digits, digit, "--region", "0,0,5,5", names="segmenters only")
    refused("explain", digits, digit, "--method", "d-rise", names="none was chosen with --box")


def test_detecting_says_so_where_nothing_is_found(ddcam, finder: Path, picture: Path) -> None:
    code, out, lines = ddcam("detect", finder, picture, "--preprocessing", "unit", "--score", "0.9")

    assert (code, out.strip()) == (0, "no box with a score above 0.9; try a lower --score")
    assert lines[0].startswith("read as pair:boxes=corners:unit=share:scores=plain:background=-1: ")


def test_a_found_box_is_listed_explained_and_verified(ddcam, finder: Path, tmp_path: Path) -> None:
    code, out, _ = ddcam("detect", finder, "lit.png", "--preprocessing", "unit")
    assert code == 0
    number, *_, box = out.splitlines()[1].split("  ")
    assert (number.strip(), box.strip()) == ("1", "0,0,20,15")
    code, out, lines = ddcam("explain", finder, "lit.png", "--preprocessing", "unit", "--box", box.strip(), "-o", "why")
    assert (code, lines) == (0, ["written to why"])
    assert out.startswith("lit.png: object 0.94 at 0,0,20,15: ")
    code, out, _ = ddcam("verify", "why", finder, "lit.png")
    assert (code, out[:8]) == (0, "verified")

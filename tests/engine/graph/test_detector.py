"""Which arrangement of outputs is recognised as what."""

import re

import pytest

from ddcam.engine.errors import ModelError
from ddcam.engine.graph.detector import recognise
from ddcam.engine.types import Value

KNOWN = [
    ({"scores": (1, 4420, 2), "boxes": (1, 4420, 4)}, "pair", ("scores", "boxes"), 2),
    ({"boxes": (1, 4420, 4), "scores": (1, 4420, 2)}, "pair", ("scores", "boxes"), 2),
    ({"loc": (1, 100, 4), "conf": (1, 100, 4)}, "pair", ("conf", "loc"), 4),
    ({"pred_logits": (1, 100, 92), "pred_boxes": (1, 100, 4)}, "pair", ("pred_logits", "pred_boxes"), 92),
    ({"output0": (1, 84, 8400)}, "columns", ("output0",), 80),
    ({"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)}, "columns", ("output0",), 80),
    ({"output": (1, 25200, 85)}, "objectness", ("output",), 80),
    ({"output": (1, 25200, 85), "p3": (1, 3, 80, 80, 85)}, "objectness", ("output",), 80),
    ({"output": (1, 25200, 6)}, "objectness", ("output",), 1),
    ({"output": (1, 300, 6)}, "table", ("output",), 0),
    ({"output": (0, 6)}, "table", ("output",), 0),
    ({"output": (3, 7)}, "numbered", ("output",), 0),
    ({"detection_out": (1, 1, 100, 7)}, "caffe", ("detection_out",), 0),
    ({"boxes": (5, 4), "labels:i": (5,), "scores": (5,)}, "lists", ("boxes", "labels:i", "scores"), 0),
    ({"scores": (0,), "boxes": (0, 4), "6:i": (0,)}, "lists", ("boxes", "6:i", "scores"), 0),
    (
        {"num:i": (1,), "detection_boxes": (1, 10, 4), "detection_scores": (1, 10), "detection_classes": (1, 10)},
        "lists",
        ("detection_boxes", "detection_classes", "detection_scores"),
        0,
    ),
]
UNKNOWN = [
    {"probs": (1, 1000)},
    {"features": (1, 3, 80, 80, 85)},
    {"heatmap": (1, 20, 128, 128)},
    {"boxes": (1, 100, 4)},
    {"ids:i": (1, 84, 8400)},
    {"p3": (1, 7600, 10), "p4": (1, 1900, 10), "bins3": (1, 7600, 32), "bins4": (1, 1900, 32)},
]


def values(shapes: dict[str, tuple[int, ...]]) -> dict[str, Value]:
    return {name: Value(shape, "int64" if name.endswith(":i") else "float32") for name, shape in shapes.items()}


@pytest.mark.parametrize(("shapes", "kind", "outputs", "classes"), KNOWN)
def test_outputs_are_recognised_by_their_shapes(shapes, kind, outputs, classes) -> None:
    found, what = recognise(values(shapes))

    assert (found, what.outputs, what.classes) == (kind, outputs, classes)
    assert what.outputs[0] in what.reason


@pytest.mark.parametrize("shapes", UNKNOWN)
def test_others_are_refused_with_what_came_and_what_is_expected(shapes) -> None:
    name, shape = next(iter(shapes.items()))
    with pytest.raises(ModelError, match=re.escape(f"{name} ") + r".*" + re.escape(str(list(shape))) + ".*expected"):
        recognise(values(shapes))


def test_a_kind_that_is_asked_for_is_the_only_one() -> None:
    rows = values({"output": (1, 300, 84)})

    assert recognise(rows)[0] == "objectness"
    assert recognise(rows, "rows")[1].classes == 80
    with pytest.raises(ModelError, match="expected what --detector pair reads"):
        recognise(rows, "pair")

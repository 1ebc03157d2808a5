"""What a strict inspection says of a model is what comes of asking it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import parser

from ddcam.engine import strict
from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.strict import PARTIAL, Row, in_words, inspect_strictly, verdict
from ddcam.engine.types import Wishes
from ddcam.models import demo_path

HERE = Wishes(device="cpu", threads=1)
FEW = ("dd-cam", "nested", "cam", "grad-cam", "eigen-cam", "saliency", "guided-backpropagation", "attention-rollout",
       "d-rise", "craft")  # fmt: skip
ENDS = {
    "detector": (
        "float[1,16,2] scores, float[1,16,4] boxes",
        """flat = Reshape(map, rows)  turned = Transpose<perm=[0,2,1]>(flat)  scores = Softmax<axis=2>(turned)
           boxes = Sigmoid(half)  three = Reshape(four, all)  half = Transpose<perm=[0,2,1]>(three)""",
    ),
    "segmenter": ("float[1,2,4,4] places", "places = Identity(map)"),
    "scalar": ("float[1] one", "one = ReduceMean<keepdims=0>(flat)  flat = Reshape(map, line)"),
    "nothing": ("float[1,2,2,2,4] cube", "cube = Reshape(map, cubic)"),
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strict, "METHODS", {name: strict.METHODS[name] for name in FEW})


@pytest.fixture
def rows_of(few: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Any) -> Callable[..., tuple[Row, ...]]:
    """Inspect a model given as a protobuf strictly; the trial run needs no process of its own."""
    monkeypatch.setattr("ddcam.engine.open_model.trial", zoo.trial)

    def inspect(proto: onnx.ModelProto, wishes: Wishes = HERE) -> tuple[Row, ...]:
        onnx.save(proto, tmp_path / "model.onnx")
        return inspect_strictly(tmp_path / "model.onnx", wishes)

    return inspect


def results(rows: tuple[Row, ...]) -> dict[str, str]:
    return {row.what: row.result for row in rows if not row.methods}


def fate(rows: tuple[Row, ...], method: str) -> tuple[str, str]:
    [row] = [row for row in rows if method in row.methods]
    return row.result, row.why


def why(rows: tuple[Row, ...], what: str) -> str:
    [row] = [row for row in rows if row.what == what]
    return row.why


def test_every_method_is_tried_on_a_demo_model() -> None:
    heard: list[str] = []

    rows = inspect_strictly(demo_path("digits_cnn_additive"), HERE, heard.append)

    named = [name for row in rows for name in row.methods]
    assert sorted([*named, "dd-cam"]) == sorted(strict.METHODS)
    assert set(named) < set(heard)
    assert results(rows) == dict.fromkeys(
        ["reading", "classes", "input", "preprocessing", "labels", "batch", "dd-cam by channel", "dd-cam by cell",
         "dd-cam by patch", "split", "certificate", "export"], "works"
    ) | dict.fromkeys(["boxes", "regions", "dd-cam by token"], "n/a")  # fmt: skip
    refused = {name for row in rows if row.result != "works" for name in row.methods}
    assert refused == {"attention-relevance", "attention-rollout", "d-rise", "craft", "epic"}
    assert verdict(rows) == "works"
    assert "certified 1-minimal; cut at features" in why(rows, "dd-cam by channel")


def test_a_transformer_has_tokens_and_attention(few: None) -> None:
    rows = inspect_strictly(demo_path("digits_vit"), HERE)

    assert results(rows)["dd-cam by token"] == "works"
    assert fate(rows, "attention-rollout")[0] == "works"
    assert fate(rows, "cam")[0] == "n/a"
    assert "another activation" in fate(rows, "guided-backpropagation")[1]
    assert verdict(rows) == "works"


def test_what_is_assumed_is_a_remark(rows_of, zoo) -> None:
    rows = rows_of(zoo.build("plain", batch=1)[0])
    asked = rows_of(zoo.build("plain", batch=1)[0], Wishes(device="cpu", threads=1, preprocessing="unit"))

    assert results(rows)["preprocessing"] == "remark"
    assert results(asked)["preprocessing"] == "works"
    assert results(rows)["labels"] == "remark"
    assert results(rows)["batch"] == "remark"
    assert why(rows, "batch").startswith("fixed to 1")
    assert results(rows)["split"] == "works"


def test_gradients_of_a_quantised_model_are_refused_unless_rounding_is_passed_over(rows_of, zoo) -> None:
    rows = rows_of(quantised(zoo))

    assert results(rows)["dd-cam by channel"] == "works"
    assert fate(rows, "eigen-cam")[0] == "works"
    assert fate(rows, "grad-cam")[0] == "works"  # nothing is rounded behind the split
    assert fate(rows, "saliency")[0] == "refused"
    assert "the gradient through QuantizeLinear" in fate(rows, "saliency")[1]
    assert verdict(rows) == "refused"

    passed = rows_of(quantised(zoo), Wishes(device="cpu", threads=1, rounding="straight-through"))
    assert fate(passed, "saliency")[0] == "works"
    assert verdict(passed) == "works"


def quantised(zoo: Any) -> onnx.ModelProto:
    draft = zoo.Draft(17)
    picture = draft.picture()
    scale, zero = draft.constant(np.array(0.02, np.float32)), draft.constant(np.array(128, np.uint8))
    quantise = lambda x: draft.add("DequantizeLinear", [draft.add("QuantizeLinear", [x, scale, zero]), scale, zero])  # noqa: E731
    x = draft.add("Relu", draft.conv(quantise(picture), 3, 8, 4, strides=[4, 4], pads=[0, 0, 0, 0]), "features")
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", quantise(x)))
    draft.dense(pooled, 8, 5, "logits")
    return draft.model(draft.end("none"))


def test_a_detector_is_tried_on_its_best_box(rows_of) -> None:
    rows = rows_of(ending("detector"))

    assert results(rows)["classes"] == "n/a"
    assert why(rows, "boxes").startswith("read as pair:")
    assert results(rows)["boxes"] == "works"
    assert results(rows)["dd-cam by patch"] in ("works", "remark")
    assert results(rows)["certificate"] == "works"
    assert fate(rows, "d-rise")[0] == "works"
    assert fate(rows, "grad-cam")[0] == "works"


def test_a_segmenter_is_tried_on_a_region(rows_of) -> None:
    rows = rows_of(ending("segmenter"))

    assert (results(rows)["classes"], results(rows)["boxes"]) == ("n/a", "n/a")
    assert why(rows, "regions").startswith("scores of places at ")
    assert results(rows)["dd-cam by patch"] in ("works", "remark")
    assert results(rows)["certificate"] == "works"


def ending(kind: str) -> onnx.ModelProto:
    """Build a small network whose map of two channels ends as a detector, a segmenter or neither."""
    outputs, nodes = ENDS[kind]
    return parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 13]>
        net (float[1,3,16,16] x) => ({outputs})
        <float[4,3,4,4] w = {{{", ".join(str((i % 7 - 3) / 10) for i in range(192))}}},
         float[2,4,1,1] v = {{1.0, -1.0, 0.5, 0.2, -1.0, 1.0, 0.3, -0.4}},
         int64[3] rows = {{1, 2, 16}}, int64[3] all = {{1, 4, 16}}, int64[1] line = {{-1}},
         int64[5] cubic = {{1, 2, 2, 2, 4}}>
        {{ stem = Conv<strides=[4,4]>(x, w)  four = Relu(stem)  map = Conv(four, v)
           {order(nodes)} }}""")


def order(nodes: str) -> str:
    """Put nodes before those that read them."""
    first = ("flat", "three", "turned", "half")
    parts = [part.strip() for part in nodes.replace("\n", "  ").split("  ") if part.strip()]
    return "\n".join(sorted(parts, key=lambda part: (*first, part.split(" ", 1)[0]).index(part.split(" ", 1)[0])))


def test_one_score_that_lacks_the_axis_it_declares_is_explained_like_any_other(rows_of) -> None:
    rows = rows_of(ending("scalar"))

    assert why(rows, "classes").startswith("1 score: ")
    assert fate(rows, "grad-cam")[0] == "works"
    assert fate(rows, "saliency")[0] == "works"
    assert "confidence needs a probability" in fate(rows, "nested")[1]
    assert verdict(rows) == "works"


def test_a_model_that_decides_nothing_is_refused_with_every_reason(rows_of) -> None:
    rows = rows_of(ending("nothing"))

    assert results(rows) == {"reading": "works", "classes": "refused", "boxes": "refused", "regions": "refused"}
    assert all("cube" in why(rows, what) for what in ("classes", "boxes", "regions"))
    assert verdict(rows) == "n/a"


def test_the_table_has_a_row_of_texts_for_each(rows_of) -> None:
    rows = rows_of(ending("nothing"))

    assert [row["what"] for row in in_words(rows)] == ["reading", "classes", "boxes", "regions"]
    assert all(set(row) == {"what", "result", "why"} for row in in_words(rows))


def test_what_is_no_model_or_no_option_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "no.onnx").write_bytes(b"no")

    with pytest.raises(ModelError):
        inspect_strictly(tmp_path / "no.onnx")
    with pytest.raises(OptionError):
        inspect_strictly(demo_path("digits_vit"), Wishes(device="cpu", mean=(1.0, 2.0)))


def test_methods_for_some_models_only_are_methods() -> None:
    assert set(strict.METHODS) > PARTIAL


def test_a_refusal_tells_whether_anything_works() -> None:
    works, refused = Row("dd-cam by cell", "works", ""), Row("cam methods", "refused", "")

    assert verdict((works,)) == "works"
    assert verdict((works, refused)) == "refused"
    assert verdict((refused,)) == "n/a"

"""A chosen box as the target: a detector of bright blobs, whose right answers are known, in every layout of outputs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import ddcam
from ddcam.engine.choose import Choice, loader
from ddcam.engine.detector import choose_box, open_detector
from ddcam.engine.errors import ExplanationError, ModelError, OptionError
from ddcam.engine.explain import explain, save, units_for
from ddcam.engine.graph.chosen import FOUND, SIMILARITY, SQUEEZE
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.types import Picture, Wishes

SIDE, CELLS = 64, 4
"""The input's side and how many cells it has on one; a cell is a candidate box, its score how red (green) it is."""
CELL = SIDE // CELLS
HEIGHT, WIDTH = 96, 128
RED, OTHER, GREEN = (0, 1), (2, 2), (3, 0)
"""Rows and columns of the cells that are lit in the picture: two red ones, the first brighter, and a green one."""
LAYOUTS = ("pair", "softmax", "columns", "masks", "rows", "objectness", "cells", "lists", "table", "numbered", "caffe")


def blobs() -> Picture:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for (row, column), colour in ((RED, (255, 0, 0)), (OTHER, (217, 0, 0)), (GREEN, (0, 179, 0))):
        down, across = HEIGHT // CELLS, WIDTH // CELLS
        pixels[row * down : (row + 1) * down, column * across : (column + 1) * across] = colour
    return from_pixels(pixels, "blobs")


def box_of(cell: tuple[int, int]) -> tuple[float, ...]:
    """Return where a cell is in the picture."""
    row, column = cell
    down, across = HEIGHT / CELLS, WIDTH / CELLS
    return column * across, row * down, (column + 1) * across, (row + 1) * down


class Draft:
    """Builds the detector; the same boxes and scores leave it in different forms."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        output = name or f"{op}_{len(self.nodes)}"
        names = [self.constant(i) if isinstance(i, np.ndarray) else i for i in inputs]
        self.nodes.append(helper.make_node(op, names, [output], **attributes))
        return output

    def constant(self, value: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(value, f"c{len(self.tensors)}"))
        return self.tensors[-1].name

    def scores(self, cell: int = CELL) -> str:
        """Return how red and how green each cell is, `[N, 16, 2]`."""
        weights = np.eye(2, 3, dtype=np.float32)[:, :, None, None]
        pooled = self.add("AveragePool", "x", kernel_shape=[cell, cell], strides=[cell, cell])
        maps = self.add("Conv", pooled, weights)
        flat = self.add("Reshape", maps, np.array([-1, 2, (SIDE // cell) ** 2]))
        return self.add("Transpose", flat, perm=[0, 2, 1])

    def boxes(self, scores: str, form: str = "corners", side: float = 1.0) -> str:
        """Return the cells as boxes `[N, 16, 4]`; they depend on the picture by 0."""
        nothing = self.add("Mul", self.add("Gather", scores, np.array([0]), axis=2), np.zeros(1, np.float32))
        return self.add("Add", nothing, cells_as(form, side)[None])

    def model(self, outputs: dict[str, tuple[Any, ...]], *, integers: tuple[str, ...] = ()) -> onnx.ModelProto:
        declared = [
            helper.make_tensor_value_info(n, TensorProto.INT64 if n in integers else TensorProto.FLOAT, list(shape))
            for n, shape in outputs.items()
        ]
        source = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE])
        graph = helper.make_graph(self.nodes, "blobs", [source], declared, self.tensors)
        model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", self.opset)])
        onnx.checker.check_model(model)
        return model


def cells_as(form: str, side: float) -> np.ndarray:
    rows, columns = np.divmod(np.arange(CELLS * CELLS), CELLS)
    left, top = columns / CELLS, rows / CELLS
    step = np.full(left.shape, 1 / CELLS)
    forms = {
        "corners": (left, top, left + step, top + step),
        "yx": (top, left, top + step, left + step),
        "centre": (left + step / 2, top + step / 2, step, step),
    }
    return (np.stack(forms[form], axis=1) * side).astype(np.float32)


def detector(layout: str, opset: int = 13) -> onnx.ModelProto:
    draft = Draft(opset)
    if layout == "cells":
        return undecoded(draft)
    scores = draft.scores()
    if layout == "pair":
        draft.add("Identity", scores, name="confidences")
        draft.add("Identity", draft.boxes(scores), name="places")
        return draft.model({"confidences": (1, 16, 2), "places": (1, 16, 4)})
    if layout == "softmax":
        return with_background(draft, scores)
    if layout in ("columns", "masks", "rows", "objectness"):
        return in_one(draft, scores, layout)
    return after_suppression(draft, scores, layout)


def with_background(draft: Draft, scores: str) -> onnx.ModelProto:
    """Class 2 is nothing; the scores are the softmax of 8 times (red, green, 1/2)."""
    nothing = draft.add("Mul", draft.add("Gather", scores, np.array([0]), axis=2), np.zeros(1, np.float32))
    half = draft.add("Add", nothing, np.full(1, 0.5, np.float32))
    logits = draft.add("Mul", draft.add("Concat", scores, half, axis=2), np.full(1, 8, np.float32), name="logits")
    draft.add("Identity", draft.boxes(scores, "centre", SIDE), name="boxes")
    draft.add("Softmax", logits, axis=2, name="scores")
    return draft.model({"boxes": (1, 16, 4), "scores": (1, 16, 3)})


def in_one(draft: Draft, scores: str, layout: str) -> onnx.ModelProto:
    parts = [draft.boxes(scores, "centre", SIDE), scores]
    if layout == "objectness":
        parts.insert(1, draft.add("ReduceMax", scores, axes=[2]))
    if layout == "masks":
        parts.append(draft.add("Sub", draft.add("ReduceMax", scores, axes=[2]), np.full(1, 5, np.float32)))
    rows = draft.add("Concat", *parts, axis=2)
    if layout == "masks":
        draft.add("Transpose", rows, perm=[0, 2, 1], name="output0")
        draft.add("ReduceMax", "x", axes=[1], name="output1")
        return draft.model({"output0": (1, 7, 16), "output1": (1, 1, SIDE, SIDE)})
    if layout == "columns":
        draft.add("Transpose", rows, perm=[0, 2, 1], name="output0")
        return draft.model({"output0": (1, 6, 16)})
    draft.add("Identity", rows, name="output0")
    return draft.model({"output0": (1, 16, 7 if layout == "objectness" else 6)})


def undecoded(draft: Draft) -> onnx.ModelProto:
    """Boxes are offsets to cells of 8, 16 and 32 pixels, as YOLOX leaves them; the middle level has the scores."""
    shares = {CELL // 2: 0.1, CELL: 1.0, CELL * 2: 0.1}
    levels = [draft.add("Mul", draft.scores(cell), np.full(1, share, np.float32)) for cell, share in shares.items()]
    scores = draft.add("Concat", *levels, axis=1)
    sure = draft.add("ReduceMax", scores, axes=[2])
    still = draft.add("Mul", sure, np.zeros(1, np.float32))
    boxes = np.tile(np.array([0.5, 0.5, 0, 0], np.float32), (1, 84, 1))
    boxes[:, ::3, :2] = 0.3  # none of these is lit
    rows = draft.add("Concat", draft.add("Add", still, boxes), sure, scores, axis=2)
    draft.add("Identity", rows, name="output0")
    return draft.model({"output0": (1, 84, 7)})


def after_suppression(draft: Draft, scores: str, layout: str) -> onnx.ModelProto:
    """List what is brighter than 0.3, in any number."""
    best = draft.add("Reshape", draft.add("ReduceMax", scores, axes=[2], keepdims=0), np.array([-1]))
    label = draft.add("Reshape", draft.add("ArgMax", scores, axis=2, keepdims=0), np.array([-1]))
    found = draft.add(
        "Reshape", draft.add("NonZero", draft.add("Greater", best, np.array(0.3, np.float32))), np.array([-1])
    )
    all_boxes = draft.add("Reshape", draft.boxes(scores, "corners", SIDE), np.array([-1, 4]))
    boxes, best, label = (draft.add("Gather", part, found, axis=0) for part in (all_boxes, best, label))
    if layout == "lists":
        for name, tensor in (("boxes", boxes), ("labels", label), ("scores", best)):
            draft.add("Identity", tensor, name=name)
        return draft.model({"boxes": ("n", 4), "labels": ("n",), "scores": ("n",)}, integers=("labels",))
    score = draft.add("Unsqueeze", best, np.array([1]))
    kind = draft.add("Unsqueeze", draft.add("Cast", label, to=TensorProto.FLOAT), np.array([1]))
    nothing = draft.add("Mul", score, np.zeros(1, np.float32))
    orders = {
        "table": (boxes, score, kind),
        "numbered": (nothing, boxes, kind, score),
        "caffe": (nothing, kind, score, boxes),
    }
    rows = draft.add("Concat", *orders[layout], axis=1)
    if layout == "caffe":
        draft.add("Unsqueeze", rows, np.array([0, 1]), name="output")
        return draft.model({"output": (1, 1, "n", 7)})
    draft.add("Identity", rows, name="output")
    return draft.model({"output": ("n", 6 if layout == "table" else 7)})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zoo: Any) -> Callable[..., Path]:
    """Write a detector; trial runs need no process of their own."""
    monkeypatch.setattr("ddcam.engine.open_model.trial", zoo.trial)

    def write(layout: str, **options: Any) -> Path:
        path = tmp_path / "detector.onnx"
        onnx.save(detector(layout, **options), path)
        return path

    return write


def wishes_for(layout: str, **more: Any) -> Wishes:
    asked = {"rows": "rows"}.get(layout)
    return Wishes(preprocessing="unit", device="cpu", threads=1, detector=asked, **more)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_boxes_of_every_layout_are_found_in_the_picture(file, layout: str) -> None:
    seen = open_detector(file(layout), wishes_for(layout)).detect(blobs(), 0.4)

    assert seen.reading.kind == {"softmax": "pair", "cells": "objectness", "masks": "columns"}.get(layout, layout)
    assert [one.index for one in seen.detections] == [0, 0, 1]
    for one, cell in zip(seen.detections, (RED, OTHER, GREEN), strict=True):
        np.testing.assert_allclose(one.box, box_of(cell), atol=1e-3)
    scores = [one.score for one in seen.detections]
    assert scores == sorted(scores, reverse=True)
    if layout not in ("softmax", "objectness", "cells"):
        np.testing.assert_allclose(scores, [1, 217 / 255, 179 / 255], atol=0.04)  # resizing blurs the edges


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("number", [2, 3])
def test_the_patches_that_suffice_for_a_box_are_its_own(file, tmp_path: Path, layout: str, number: int) -> None:
    path, picture = file(layout), blobs()
    wishes = wishes_for(layout, patch=CELL, baseline="zero")
    model = loader(path, wishes, Choice(box=str(number), score=0.4)).load(picture)
    explanation = explain(model, picture)
    row, column = (RED, OTHER, GREEN)[number - 1]

    assert explanation.attribution.subset == (row * CELLS + column,)
    assert explanation.attribution.certificate.holds
    assert "with IoU >= 0.5 there (threshold:0.4) (certified 1-minimal" in str(explanation)
    assert f"finds {explanation.target.label} (" in explanation.text
    assert ") in the chosen box. " in explanation.text
    save(explanation, tmp_path / "why", keep_arrays=True)
    saved = ddcam.open_explanation(tmp_path / "why")
    assert ddcam.verify(saved, path, picture if number == 2 else None).agrees


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("number", [1, 2])
def test_d_rise_points_at_the_chosen_box_and_not_at_the_other(file, layout: str, number: int) -> None:
    picture = blobs()
    model = loader(file(layout), wishes_for(layout), Choice(box=str(number), score=0.4)).load(picture)
    found = explain(model, picture, method="d-rise:samples=400:cells=4").saliency
    means = {cell: inside(found, cell) for cell in (RED, OTHER, GREEN)}
    chosen = (RED, OTHER)[number - 1]

    assert max(means, key=means.__getitem__) == chosen
    assert means[chosen] > 1.5 * max(value for cell, value in means.items() if cell != chosen)


def inside(values: np.ndarray, cell: tuple[int, int]) -> float:
    left, top, right, bottom = map(int, box_of(cell))
    return float(values[top:bottom, left:right].mean())


@pytest.mark.parametrize("layout", ["pair", "softmax", "columns", "objectness", "cells"])
def test_the_gradient_of_a_box_lies_in_it_alone(file, layout: str) -> None:
    picture = blobs()
    model = loader(file(layout), wishes_for(layout), Choice(box="2", score=0.4)).load(picture)
    found = explain(model, picture, method="saliency").attribution.grid_map
    row, column = OTHER
    own = found[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL]

    assert own.min() > 0
    assert np.isclose(own.sum(), found.sum())


def outputs_of(model: Any, picture: np.ndarray, zoo: Any) -> tuple[float, float]:
    found, alike = zoo.run(model.opened.graph.proto, {"x": picture}, [FOUND, SIMILARITY])
    return float(found.ravel()[0]), float(alike.ravel()[0])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_where_nothing_is_found_the_score_is_the_least(file, zoo, layout: str) -> None:
    """Lists are empty then, and a largest of none would be -infinity."""
    model = loader(file(layout), wishes_for(layout), Choice(box="1", score=0.4)).load(blobs())
    dark = np.zeros((1, 3, SIDE, SIDE), np.float32)
    found, alike = outputs_of(model, dark, zoo)

    assert found == pytest.approx(1 / (2 + np.exp(4)) if layout == "softmax" else SQUEEZE, rel=1e-2)
    assert 0 <= alike < 0.1


@pytest.mark.parametrize("opset", [7, 9, 11])
def test_old_operator_sets_have_all_that_is_needed(file, opset: int) -> None:
    picture = blobs()
    wishes = wishes_for("pair", patch=CELL, baseline="zero")
    model = loader(file("pair", opset=opset), wishes, Choice(box="1")).load(picture)

    assert explain(model, picture).attribution.subset == (RED[0] * CELLS + RED[1],)


@pytest.mark.parametrize("form", ["corners", "yx", "centre"])
def test_score_and_similarity_are_the_formulas(zoo, load_here, tmp_path: Path, form: str) -> None:
    """Random boxes and scores, worked out again in NumPy."""
    random = np.random.default_rng(3)
    corners = np.sort(random.random((1, 40, 2, 2)), axis=2).reshape(1, 40, 4).astype(np.float32)
    scores = random.random((1, 40, 3)).astype(np.float32)
    draft = Draft(13)
    zero = draft.add("Mul", draft.add("ReduceMean", "x", axes=[1, 2, 3], keepdims=1), np.zeros(1, np.float32))
    zero = draft.add("Reshape", zero, np.array([-1, 1, 1]))
    draft.add("Add", zero, scores, name="scores")
    draft.add("Add", zero, in_form(corners[0], form)[None], name="boxes")
    path = tmp_path / "random.onnx"
    onnx.save(draft.model({"scores": (1, 40, 3), "boxes": (1, 40, 4)}), path)
    asked = Wishes(preprocessing="unit", device="cpu", detector=f"pair:boxes={form}")
    picture = from_pixels(np.zeros((SIDE, SIDE, 3), np.uint8))
    detections = open_detector(path, asked).detect(picture, 0.3).detections

    for number in range(1, len(detections) + 1, 8):
        chosen = detections[number - 1]
        model = loader(path, asked, Choice(box=str(number), iou=0.4, score=0.3)).load(picture)
        found, alike = outputs_of(model, np.zeros((1, 3, SIDE, SIDE), np.float32), zoo)
        shared = overlaps(np.array(chosen.inner), corners[0].astype(np.float64))
        own = scores[0, :, chosen.index]
        kept = (shared >= 0.4) & (own >= scores[0].max(axis=1))
        best = float(np.max(np.where(kept, own, 0)))
        assert found == pytest.approx(best * (1 - 2 * SQUEEZE) + SQUEEZE, abs=1e-5)
        vector = np.array(chosen.shares)
        cosine = scores[0] @ vector / np.linalg.norm(scores[0], axis=1) / np.linalg.norm(vector)
        assert alike == pytest.approx(float((shared * cosine * scores[0].max(axis=1)).max()), abs=1e-4)


def in_form(corners: np.ndarray, form: str) -> np.ndarray:
    left, top, right, bottom = corners.T
    forms = {
        "corners": (left, top, right, bottom),
        "yx": (top, left, bottom, right),
        "centre": ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top),
    }
    return np.stack(forms[form], axis=1).astype(np.float32)


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    found = []
    for left, top, right, bottom in others:
        width = max(0.0, min(box[2], right) - max(box[0], left))
        height = max(0.0, min(box[3], bottom) - max(box[1], top))
        both = (box[2] - box[0]) * (box[3] - box[1]) + (right - left) * (bottom - top) - width * height
        found.append(width * height / both)
    return np.array(found)


def test_corners_choose_the_box_that_overlaps_most(file) -> None:
    seen = open_detector(file("pair"), wishes_for("pair")).detect(blobs())
    left, top, right, bottom = box_of(OTHER)

    chosen = choose_box(seen, f"{left + 3},{top - 2},{right + 2},{bottom}")

    assert chosen.found is seen.detections[1]
    with pytest.raises(OptionError, match=r"no found box has an IoU of 0.5.*nearest is number"):
        choose_box(seen, "0,0,10,10")


def test_the_class_narrows_what_a_box_means(file) -> None:
    seen = open_detector(file("pair"), wishes_for("pair")).detect(blobs())

    assert choose_box(seen, "3", target="1").found is seen.detections[2]
    with pytest.raises(OptionError, match="the number of a found box, 3, got 1"):
        choose_box(seen, "1", target="1")


def test_a_padded_picture_gives_boxes_where_they_are(file) -> None:
    """Blobs of a wide picture, letterboxed into the square input, come back to the picture's coordinates."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[0:16, 16:32] = (255, 0, 0)
    wishes = wishes_for("pair", fit="pad")
    seen = open_detector(file("pair"), wishes).detect(from_pixels(pixels))

    np.testing.assert_allclose(seen.detections[0].box, (16, 0, 32, 16), atol=1e-6)


def test_the_manifest_records_the_box_and_what_is_changed_in_it_is_seen(file, tmp_path: Path) -> None:
    path, picture = file("pair"), blobs()
    wishes = wishes_for("pair", patch=CELL, baseline="zero")
    save(explain(loader(path, wishes, Choice(box="1", iou=0.6)).load(picture), picture), tmp_path / "why")
    manifest = json.loads((tmp_path / "why" / "manifest.json").read_text(encoding="utf-8"))

    assert manifest["chosen"]["kind"] == "box"
    assert manifest["chosen"]["iou"] == 0.6
    assert manifest["chosen"]["found"]["box"] == pytest.approx(list(box_of(RED)))
    assert manifest["chosen"]["found"]["index"] == 0
    read = manifest["chosen"]["reading"]
    for change in (
        {"iou": "much"},
        {"found": {}},
        {"kind": "circle"},
        {"reading": {"kind": "pair"}},
        {"reading": read | {"boxes": "cells"}},
        {"reading": read | {"boxes": "cells", "levels": [[10**5, 10**5, 8]]}},
    ):
        broken = manifest | {"chosen": manifest["chosen"] | change}
        (tmp_path / "why" / "manifest.json").write_text(json.dumps(broken), encoding="utf-8")
        with pytest.raises(ExplanationError, match="chosen box or region is damaged"):
            ddcam.verify(ddcam.open_explanation(tmp_path / "why"), path, picture)
    moved = manifest["chosen"] | {"found": manifest["chosen"]["found"] | {"inner": [0.5, 0.5, 0.75, 0.75]}}
    (tmp_path / "why" / "manifest.json").write_text(json.dumps(manifest | {"chosen": moved}), encoding="utf-8")
    assert not ddcam.verify(ddcam.open_explanation(tmp_path / "why"), path, picture).agrees


def test_scores_that_are_no_probabilities_ask_what_makes_them_so(tmp_path: Path) -> None:
    draft = Draft(13)
    scores = draft.scores()
    draft.add("Add", draft.add("Mul", scores, np.full(1, 12, np.float32)), np.full(1, -6, np.float32), name="scores")
    draft.add("Identity", draft.boxes(scores), name="boxes")
    onnx.save(draft.model({"scores": (1, 16, 2), "boxes": (1, 16, 4)}), tmp_path / "raw.onnx")

    with pytest.raises(ModelError, match=r"expected scores in 0\.\.1, scores goes from -6 to 5.7.*:scores=sigmoid"):
        open_detector(tmp_path / "raw.onnx", wishes_for("pair")).detect(blobs())
    asked = Wishes(preprocessing="unit", detector="pair:scores=sigmoid")
    seen = open_detector(tmp_path / "raw.onnx", asked).detect(blobs())
    assert [one.index for one in seen.detections] == [0, 0, 1]
    assert seen.detections[0].score == pytest.approx(1 / (1 + np.exp(-5.73)), rel=1e-3)


def test_offsets_to_anchors_are_refused(tmp_path: Path) -> None:
    draft = Draft(13)
    scores = draft.scores()
    offsets = np.random.default_rng(0).normal(size=(1, 16, 4)).astype(np.float32)
    draft.add("Identity", scores, name="scores")
    draft.add("Add", draft.boxes(scores), offsets, name="boxes")
    onnx.save(draft.model({"scores": (1, 16, 2), "boxes": (1, 16, 4)}), tmp_path / "offsets.onnx")

    with pytest.raises(ModelError, match=r"no boxes can be read from boxes: .*negative sizes; .*with its decoding"):
        open_detector(tmp_path / "offsets.onnx", wishes_for("pair")).detect(blobs())
    asked = Wishes(preprocessing="unit", detector="pair:boxes=cells")
    with pytest.raises(ModelError, match="a box for each cell of 64 x 64 pixels, got 16 boxes"):
        open_detector(tmp_path / "offsets.onnx", asked).detect(blobs())


def test_units_suit_the_method() -> None:
    assert units_for("dd-cam", None) == units_for("nested", None) == "patch"
    assert units_for("grad-cam", None) == units_for("d-rise:samples=9", None) == "place"
    assert units_for("dd-cam", "cell") == "cell"

"""The outputs of a detector: which kind of arrangement they are, and the nodes that read boxes and scores from it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from ..chosen import DetectorKind, Level, Reading, ScoreForm
from ..errors import ModelError
from ..types import Value
from .build import Builder, Var
from .load import opset
from .walk import integer, producers

Outputs = Mapping[str, Value]
"""What a trial run saw of the model's outputs."""
AFTER_SUPPRESSION = 1000
"""Rows [1, n, 6] of up to so many boxes hold a score and a label each; of more, the six are one class's raw scores."""


class Found(NamedTuple):
    """The outputs of a kind in their order, how many classes they hold (0: labels are listed), and why."""

    outputs: tuple[str, ...]
    classes: int
    reason: str


class Decoded(NamedTuple):
    """Boxes read from a graph: corners [N, n, 4]; shares [N, n, C] of the classes, or a score [N, n, 1] and labels.

    `logits` [N, n, C] are what the shares are made of, where softmax or sigmoid alone make them.
    """

    corners: Var
    shares: Var
    objectness: Var | None = None
    labels: Var | None = None
    logits: Var | None = None


def recognise(outputs: Outputs, asked: str | None = None) -> tuple[DetectorKind, Found]:
    """Return the kind of a detector's outputs, by shapes and, where these leave it open, by names; ModelError else."""
    for kind, find in KINDS.items():
        found = find(outputs) if asked in (None, kind) else None
        if found:
            return kind, found
    shown = "; ".join(f"{name} {value.dtype}{list(value.shape)}" for name, value in outputs.items()) or "none"
    wanted = EXPECTED if asked is None else f"what --detector {asked} reads"
    raise ModelError(f"no boxes can be read from the outputs {shown}; expected {wanted}")


EXPECTED = (
    "scores [1, n, C] and boxes [1, n, 4]; or one output [1, 4 + C, n], [1, n, 4 + C] or [1, n, 5 + C]; or, after "
    "suppression, boxes [n, 4], labels [n] and scores [n], or rows [n, 6 or 7]"
)


# ----- which kind -----


def find_lists(outputs: Outputs) -> Found | None:
    """Boxes, labels and scores of each box that was left, with or without a batch of 1 before them."""
    boxes = [name for name, value in outputs.items() if is_boxes(value)]
    rows = {name: v for name, v in outputs.items() if len(squeezed(v)) == 1 and len(v.shape) in (1, 2)}
    for box in boxes:
        many = outputs[box].shape[-2]
        flat = {name: v for name, v in rows.items() if v.shape[-1] == many}
        labels = [name for name, v in flat.items() if has(name, "label", "class", "categ") or v.dtype[0] in "iu"]
        scores = [name for name, v in flat.items() if name not in labels and is_real(v)]
        if len(labels) == 1 and len(scores) == 1:
            named = (box, labels[0], scores[0])
            return Found(named, 0, f"{', '.join(named)} are lists of one length, of boxes, labels and scores")
    return None


def find_pair(outputs: Outputs) -> Found | None:
    """Scores [1, n, C] and boxes [1, n, 4], in any order; where C is 4 too, by name."""
    wide = tables(outputs)
    boxes = [name for name, shape in wide.items() if shape[2] == 4]
    boxes = [name for name in boxes if has(name, "box", "loc", "coord")] or boxes
    for box in boxes:
        scores = [name for name, shape in wide.items() if name != box and shape[1] == wide[box][1]]
        scores = [name for name in scores if has(name, "score", "conf", "class", "logit", "prob")] or scores
        if scores:
            shape = wide[scores[0]]
            why = f"{scores[0]} {list(shape)} are scores of the {shape[1]} boxes of {box}"
            return Found((scores[0], box), shape[2], why)
    return None


def find_table(outputs: Outputs) -> Found | None:
    """Rows of a box, a score and a label: [n, 6], or [1, n, 6] of few boxes."""
    for name, value in outputs.items():
        *more, rows, width = (1, *value.shape)[-3:] if len(value.shape) in (2, 3) else (0, 0, 0)
        few = len(value.shape) == 2 or rows <= AFTER_SUPPRESSION
        if is_real(value) and width == 6 and more == [1] and few:
            return Found((name,), 0, f"{name} {list(value.shape)} is a row of box, score and label for each box left")
    return None


def find_numbered(outputs: Outputs) -> Found | None:
    """Rows of the picture's number, a box, a label and a score, [n, 7], as YOLOv7 exports them."""
    fit = [name for name, v in outputs.items() if is_real(v) and len(v.shape) == 2 and v.shape[1] == 7]
    return (
        Found((fit[0],), 0, f"{fit[0]} [n, 7] is a row of number, box, label and score for each box") if fit else None
    )


def find_caffe(outputs: Outputs) -> Found | None:
    """Rows of the picture's number, a label, a score and a box, [1, 1, n, 7], as Caffe and OpenVINO have them."""
    fit = [n for n, v in outputs.items() if is_real(v) and v.shape[:2] == (1, 1) and v.shape[3:] == (7,)]
    return Found((fit[0],), 0, f"{fit[0]} [1, 1, n, 7] is a row of number, label, score and box") if fit else None


def find_columns(outputs: Outputs) -> Found | None:
    """One output [1, 4 + C, n] with a column a box, as YOLOv8 and later have it."""
    found = raw(outputs, lambda shape: 5 <= shape[1] < shape[2])
    return (
        None
        if found is None
        else yolo(outputs, found, outputs[found].shape[1] - 4, "a column a box: 4 numbers and {} scores")
    )


def find_objectness(outputs: Outputs) -> Found | None:
    """One output [1, n, 5 + C] with a row a box, as YOLOv5 and v7 have it: how sure a box is comes before classes."""
    found = raw(outputs, lambda shape: 6 <= shape[2] < shape[1])
    said = "a row a box: 4 numbers, one for any object, and {} scores"
    return None if found is None else yolo(outputs, found, outputs[found].shape[2] - 5, said)


def find_rows(outputs: Outputs) -> Found | None:
    """One output [1, n, 4 + C]; only by request, as nothing tells it from the one with objectness."""
    found = raw(outputs, lambda shape: shape[2] >= 5)
    return (
        None
        if found is None
        else yolo(outputs, found, outputs[found].shape[2] - 4, "a row a box: 4 numbers and {} scores")
    )


def raw(outputs: Outputs, fits: Callable[[tuple[int, ...]], bool]) -> str | None:
    """Return the first output of real numbers [1, a, b] that fits, unless it is only one of several levels."""
    wide = tables(outputs)
    found = next((name for name, shape in wide.items() if fits(shape)), None)
    if found is None or sum(min(shape[1:]) == min(wide[found][1:]) for shape in wide.values()) > 1:
        return None
    return found


def tables(outputs: Outputs) -> dict[str, tuple[int, ...]]:
    """Return the shapes [1, a, b] of the outputs of real numbers that have such ones."""
    return {name: v.shape for name, v in outputs.items() if is_real(v) and len(v.shape) == 3 and v.shape[0] == 1}


def yolo(outputs: Outputs, name: str, classes: int, said: str) -> Found:
    """Leave out the mask coefficients that follow the scores where a second output holds the masks' prototypes."""
    masks = next((v.shape[1] for v in outputs.values() if len(v.shape) == 4 and 0 < v.shape[1] < classes), 0)
    more = f"; the {masks} after them are mask coefficients" if masks else ""
    return Found(
        (name,), classes - masks, f"{name} {list(outputs[name].shape)} is {said.format(classes - masks)}{more}"
    )


KINDS: dict[DetectorKind, Callable[[Outputs], Found | None]] = {
    "lists": find_lists,
    "pair": find_pair,
    "table": find_table,
    "numbered": find_numbered,
    "caffe": find_caffe,
    "columns": find_columns,
    "objectness": find_objectness,
    "rows": find_rows,
}


def is_boxes(value: Value) -> bool:
    return is_real(value) and value.shape[-1:] == (4,) and (len(value.shape) == 2 or value.shape[:-2] == (1,))


def is_real(value: Value) -> bool:
    return value.dtype.startswith(("float", "bfloat"))


def squeezed(value: Value) -> tuple[int, ...]:
    return value.shape[1:] if len(value.shape) > 1 and value.shape[0] == 1 else value.shape


def has(name: str, *parts: str) -> bool:
    return any(part in name.lower() for part in parts)


def before_activation(proto: onnx.ModelProto, name: str) -> tuple[str, ScoreForm]:
    """Return the tensor behind which scores [1, n, C] are a softmax over the last axis or a sigmoid, and which.

    Probabilities near 1 have no digits left, their logits do. Others are returned as they are.
    """
    node = producers(proto.graph).get(name)
    usual = -1 if opset(proto) >= 13 else 1
    if node is not None and node.op_type == "Sigmoid":
        return str(node.input[0]), "sigmoid"
    if node is not None and node.op_type == "Softmax" and integer(node, "axis", usual) in (-1, 2):
        return str(node.input[0]), "softmax"
    return name, "plain"


# ----- what is in them -----


def decoded(op: Builder, reading: Reading, outputs: list[Var]) -> Decoded:
    """Append the nodes that read corners and scores from outputs, in float32 and in the model's own units.

    Lists get one more box of nothing, so that none is never empty.
    """
    real = [output.cast("float32") for output in outputs]
    found = READERS[reading.kind](op, reading, real)
    corners, shares, objectness = as_corners(op, reading, found.corners), found.shares, found.objectness
    logits = shares if reading.scores != "plain" and objectness is None and found.labels is None else None
    if reading.scores != "plain":
        shares = op.Softmax(shares, axis=2) if reading.scores == "softmax" else op.Sigmoid(shares)
        objectness = objectness and op.Sigmoid(objectness)
    shares = shares if objectness is None else shares * objectness
    return Decoded(corners, shares, objectness, found.labels, logits)


def read_pair(_: Builder, __: Reading, outputs: list[Var]) -> Decoded:
    scores, boxes = outputs
    return Decoded(boxes, scores)


def read_columns(op: Builder, reading: Reading, outputs: list[Var]) -> Decoded:
    return read_rows(op, reading, [outputs[0].transpose([0, 2, 1])])


def read_rows(op: Builder, reading: Reading, outputs: list[Var]) -> Decoded:
    return Decoded(pick(op, outputs[0], range(4)), pick(op, outputs[0], range(4, 4 + reading.classes)))


def read_objectness(op: Builder, reading: Reading, outputs: list[Var]) -> Decoded:
    [rows] = outputs
    return Decoded(pick(op, rows, range(4)), pick(op, rows, range(5, 5 + reading.classes)), pick(op, rows, [4]))


def read_lists(op: Builder, _: Reading, outputs: list[Var]) -> Decoded:
    boxes, labels, scores = (with_nothing(op, x, size) for x, size in zip(outputs, (4, 1, 1), strict=True))
    return Decoded(boxes, scores, labels=labels)


def read_table(
    op: Builder, _: Reading, outputs: list[Var], *, width: int, box: range, score: int, label: int
) -> Decoded:
    rows = with_nothing(op, outputs[0], width)
    return Decoded(pick(op, rows, box), pick(op, rows, [score]), labels=pick(op, rows, [label]))


READERS: dict[DetectorKind, Callable[[Builder, Reading, list[Var]], Decoded]] = {
    "pair": read_pair,
    "columns": read_columns,
    "rows": read_rows,
    "objectness": read_objectness,
    "lists": read_lists,
    "table": partial(read_table, width=6, box=range(4), score=4, label=5),
    "numbered": partial(read_table, width=7, box=range(1, 5), score=6, label=5),
    "caffe": partial(read_table, width=7, box=range(3, 7), score=2, label=1),
}


def with_nothing(op: Builder, rows: Var, width: int) -> Var:
    """Bring a list to [1, n + 1, width]; the last row is 0, as a largest of none would be -infinity."""
    return op.Concat(rows.reshape([1, -1, width]), np.zeros((1, 1, width), np.float32), axis=1)


def as_corners(op: Builder, reading: Reading, boxes: Var) -> Var:
    if reading.boxes in ("centre", "cells"):
        middle, size = pick(op, boxes, [0, 1]), pick(op, boxes, [2, 3])
        if reading.boxes == "cells":
            origin, stride = cells(reading.levels)
            middle, size = (middle + origin) * stride, op.Exp(size) * stride
        half = size * 0.5
        return op.Concat(middle - half, middle + half, axis=2)
    return pick(op, boxes, [1, 0, 3, 2]) if reading.boxes == "yx" else boxes


def cells(levels: Sequence[Level]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return column and row `[1, n, 2]` of every cell, level by level and row by row, and its pixels `[1, n, 1]`."""
    places = [np.indices((rows, columns))[::-1].reshape(2, -1).T for rows, columns, _ in levels]
    strides = np.repeat([stride for *_, stride in levels], [len(some) for some in places])
    return np.concatenate(places)[None].astype(np.float32), strides[None, :, None].astype(np.float32)


def pick(op: Builder, x: Var, places: "range | list[int]") -> Var:
    """Take some entries of the last axis of `[N, n, K]`, which Gather does in every operator set."""
    return op.Gather(x, op.ints(list(places)), axis=2)

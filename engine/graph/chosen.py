"""A chosen box or region as a graph: nodes behind a model's outputs make one score, or class scores, of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from ..chosen import NONE, ChosenBox, ChosenRegion, Reading
from ..errors import ModelError
from ..types import Content
from .build import Builder, Var, absolute, relu, sqrt
from .content import content_of
from .detector import Decoded, decoded, pick
from .interface import tensor_of
from .load import opset

FOUND, SIMILARITY, REGION = "ddcam_found", "ddcam_similarity", "ddcam_region"
"""The outputs of a model whose chosen box, or region, is asked for."""
PREFIX = "ddcam_chosen_"
SQUEEZE = 1e-4
"""Probabilities 0..1 become SQUEEZE..1 - SQUEEZE, so that their log-odds stay finite and keep three digits."""
NOWHERE = float(np.log(SQUEEZE / (1 - SQUEEZE)))
"""The log-odds of a box that is not there: -9.2."""
ROUNDING = 1e-6
"""A box overlaps with itself by 1, less rounding."""


def with_box(proto: onnx.ModelProto, chosen: ChosenBox) -> onnx.ModelProto:
    """Return a detector that gives one score a picture: how surely the chosen box is found.

    FOUND [N, 1] = max over candidates j of [IoU(b, b_j) >= t] * [class c is the best of j] * p_j(c), as the Sigmoid of
    its log-odds, which are NOWHERE where nothing fits; they are taken of logits where the model has these, else of
    probabilities squeezed by SQUEEZE. SIMILARITY [N, 1] = max_j IoU(b, b_j) * cos(p, p_j) * objectness_j (D-RISE).
    Where labels are listed it is IoU * score of the boxes of the same label. The other outputs are gone.
    """
    op = Builder(unused(proto), opset(proto))
    known = {output.name: tensor_of(output).dtype for output in proto.graph.output}
    outputs = [Var(op, name, known.get(name, "")) for name in chosen.reading.outputs]
    boxes = decoded(op, chosen.reading, outputs)
    overlap = iou(op, boxes.corners, chosen)
    fits = same_place(op, overlap, chosen) * same_class(op, boxes, chosen)
    odds = (log_odds(op, boxes, chosen) * fits + (1.0 - fits) * NOWHERE).max(1).reshape([-1, 1])
    alike = similarity(op, boxes, overlap, chosen).max(1).reshape([-1, 1])
    return ending_in(proto, op, {FOUND: op.Sigmoid(odds), SIMILARITY: op.Identity(alike)}, 1)


def reader(reading: Reading, outputs: Mapping[str, NDArray[Any]], version: int) -> Content:
    """Serialise the graph from a detector's outputs to corners, shares and, where these are listed, labels.

    The same nodes read them for `with_box`.
    """
    op = Builder(PREFIX, version)
    found = decoded(op, reading, [Var(op, name, outputs[name].dtype.name) for name in reading.outputs])
    results = [found.corners, found.shares, *([] if found.labels is None else [found.labels])]
    ends = [op.Identity(result) for result in results]
    inputs = [declared(name, outputs[name].dtype.name) for name in reading.outputs]
    graph = helper.make_graph(
        op.nodes, "reader", inputs, [declared(end.name, "float32") for end in ends], list(op.tensors.values())
    )
    model = helper.make_model(graph, producer_name="ddcam", opset_imports=[helper.make_opsetid("", version)])
    model.ir_version = 4
    return content_of(model)


def declared(name: str, dtype: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), None)


def same_place(op: Builder, overlap: Var, chosen: ChosenBox) -> Var:
    """Return `[N, n, 1]`: 1 where a box overlaps enough."""
    return op.Not(op.Less(overlap, chosen.iou - ROUNDING)).cast("float32")


def same_class(op: Builder, boxes: Decoded, chosen: ChosenBox) -> Var:
    """Return `[N, n, 1]`: 1 where the class of a box, the best but for the background, is the chosen one's."""
    if boxes.labels is not None:
        return op.Less(absolute(boxes.labels - float(chosen.found.index)), 0.5).cast("float32")
    scores = boxes.shares if boxes.logits is None else boxes.logits
    kept = [i for i in range(chosen.reading.classes) if i != chosen.reading.background]
    return op.Not(op.Less(pick(op, scores, [chosen.found.index]), pick(op, scores, kept).max(2))).cast("float32")


def log_odds(op: Builder, boxes: Decoded, chosen: ChosenBox) -> Var:
    """Return `[N, n, 1]`: log(p / (1 - p)) of the class, of every box."""
    index = 0 if boxes.labels is not None else chosen.found.index
    if boxes.logits is None:
        bounded = 1.0 - relu(1.0 - relu(pick(op, boxes.shares, [index])))  # fed wrongly, a model may leave 0..1
        share = bounded * (1 - 2 * SQUEEZE) + SQUEEZE
        return op.Log(share) - op.Log(1.0 - share)
    own = pick(op, boxes.logits, [index])
    if chosen.reading.scores == "sigmoid":
        return own
    rivals = pick(op, boxes.logits, [i for i in range(chosen.reading.classes) if i != index])
    most = rivals.max(2)
    return own - most - op.Log(op.Exp(rivals - most).sum(2))


def similarity(op: Builder, boxes: Decoded, overlap: Var, chosen: ChosenBox) -> Var:
    """Return D-RISE's `[N, n, 1]`.

    Without an objectness it is 1 where a background class says what is nothing, else the best class's score: the
    direction of a vector of independent scores does not say that any is high.
    """
    if boxes.labels is not None:
        return boxes.shares * same_class(op, boxes, chosen) * overlap
    own = np.array(chosen.found.shares, np.float32).reshape(1, 1, -1)
    length = sqrt((boxes.shares * boxes.shares).sum(2)) * float(np.linalg.norm(own))
    alike = (boxes.shares * own).sum(2) / (length + 1e-12) * overlap
    if chosen.reading.background != NONE:
        return alike
    return alike * (boxes.shares.max(2) if boxes.objectness is None else boxes.objectness)


def iou(op: Builder, corners: Var, chosen: ChosenBox) -> Var:
    """Return the intersection over union `[N, n, 1]` of every box with the chosen one."""
    left, top, right, bottom = (pick(op, corners, [i]) for i in range(4))
    first, second, third, fourth = chosen.found.inner
    width = relu(least(right, third) - greatest(left, first))
    height = relu(least(bottom, fourth) - greatest(top, second))
    inside = width * height
    area = relu(right - left) * relu(bottom - top)
    return inside / (area - inside + (third - first) * (fourth - second))


def least(x: Var, bound: float) -> Var:
    """Return min(x, bound) without Min, which does not broadcast before operator set 8."""
    return x - relu(x - bound)


def greatest(x: Var, bound: float) -> Var:
    return x + relu(bound - x)


def with_region(proto: onnx.ModelProto, chosen: ChosenRegion) -> onnx.ModelProto:
    """Return a segmenter that gives class scores `[N, C]`: those of its places, averaged over the region."""
    op = Builder(unused(proto), opset(proto))
    scores = Var(op, chosen.output, "float32")
    grid = chosen.weights[None, None] if chosen.axis == 1 else chosen.weights[None, ..., None]
    places = (2, 3) if chosen.axis == 1 else (1, 2)
    mean = (op.Cast(scores, to=onnx.TensorProto.FLOAT) * grid.astype(np.float32)).sum(places, keep=False)
    end = op.Sigmoid(mean) if chosen.ending == "sigmoid" else op.Identity(mean)
    return ending_in(proto, op, {REGION: end}, "C")


def ending_in(proto: onnx.ModelProto, op: Builder, ends: dict[str, Var], width: int | str) -> onnx.ModelProto:
    """Return a model with the nodes of a builder behind its own, and with new outputs `[N, width]` only."""
    model = onnx.ModelProto()
    model.CopyFrom(proto)
    model.graph.node.extend(op.nodes)
    model.graph.initializer.extend(op.tensors.values())
    model.ir_version = max(4, proto.ir_version)  # before 4 every weight had to be listed as an input too
    renamed = {end.name: name for name, end in ends.items()}
    for node in model.graph.node:
        node.output[:] = [renamed.get(name, name) for name in node.output]
    del model.graph.output[:], model.graph.value_info[:]
    declared = (helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", width]) for name in ends)
    model.graph.output.extend(declared)
    return model


def unused(proto: onnx.ModelProto) -> str:
    """Return the prefix of new names; ModelError where a model has them already."""
    names = {name for node in proto.graph.node for name in node.output}
    if any(name.startswith("ddcam_") for name in names):
        raise ModelError("the model has tensors named ddcam_... already; choose boxes and regions of the original")
    return PREFIX

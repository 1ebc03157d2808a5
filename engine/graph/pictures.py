"""Let a masked head serve several pictures at once: it gets the features of all, and for each mask whose it is."""

import numpy as np
import onnx
from onnx import helper

from ..types import Content
from .content import content_of
from .cut import constant
from .load import read_graph

WHICH = "ddcam_which"
"""Of each mask, the index of its picture, `[B]` int64."""


def pick_features(head: Content, features: str) -> Content:
    """Change an input `features [1, ...]` into `[P, ...]` and add WHICH; each mask gets a copy of its picture's.

    Cost: a run of B masks holds B times the features more.
    """
    model, own = read_graph(head), f"{features}_own"
    for node in model.graph.node:
        node.input[:] = [own if name == features else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Gather", [features, WHICH], [own], axis=0))
    return finished(model, features)


def shift_indices(head: Content, features: str, rows: int, rank: int) -> Content:
    """Change an input `features [rows, ...]` that is read by Gather alone into `[P * rows, ...]` and add WHICH.

    What is gathered for a mask then lies in its picture's rows; indices are `[B, ...]` (or `[1]`) of `rank` axes.
    """
    model = read_graph(head)
    nodes = [
        helper.make_node("Mul", [WHICH, "ddcam_rows_each"], ["ddcam_rows_before"]),
        helper.make_node("Reshape", ["ddcam_rows_before", "ddcam_rows_shape"], ["ddcam_rows_first"]),
    ]
    for node in model.graph.node:
        if features in node.input:
            shifted = f"{node.output[0]}_index"
            nodes.append(helper.make_node("Add", [node.input[1], "ddcam_rows_first"], [shifted]))
            node.input[1] = shifted
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    shape = np.array([-1] + [1] * (rank - 1), np.int64)
    model.graph.initializer.extend(
        [constant("ddcam_rows_each", np.array(rows, np.int64)), constant("ddcam_rows_shape", shape)]
    )
    return finished(model, features)


def finished(model: onnx.ModelProto, features: str) -> Content:
    """Free the first axis of the features and add WHICH to the inputs."""
    [value] = [value for value in model.graph.input if value.name == features]
    value.type.tensor_type.shape.dim[0].dim_param = "P"
    model.graph.input.append(helper.make_tensor_value_info(WHICH, onnx.TensorProto.INT64, ["N"]))
    return content_of(model)

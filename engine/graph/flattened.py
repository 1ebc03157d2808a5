"""A model of flat rows of pixels, made to take pictures."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from .cut import constant

PICTURE = "picture"


def take_pictures(path: Path, shape: Sequence[int]) -> None:
    """Put a Reshape before a model file's input `[N, pixels]`, so that it takes `[N, *shape]` in the same order."""
    model = onnx.load(path)
    flat = model.graph.input[0]
    rows = constant("picture_rows", np.array([-1, math.prod(shape)], np.int64))
    model.graph.initializer.append(rows)
    model.graph.node.insert(0, helper.make_node("Reshape", [PICTURE, rows.name], [flat.name]))
    model.graph.input[0].CopyFrom(
        helper.make_tensor_value_info(PICTURE, flat.type.tensor_type.elem_type, ["N", *shape])
    )
    onnx.save(model, path)

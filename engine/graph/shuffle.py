"""A model with its weights shuffled: the same graph and the same numbers, and nothing that was learnt."""

import numpy as np
import onnx
from onnx import numpy_helper

LEAST = 2
"""Axes of a tensor that counts as weights; vectors are biases, scales and shapes."""


def shuffled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return a copy whose weights, tensors of two axes or more, are shuffled each within itself."""
    made, random = onnx.ModelProto(), np.random.default_rng(seed)
    made.CopyFrom(model)
    constants = [n for n in made.graph.node if n.op_type == "Constant"]
    values = [a.t for node in constants for a in node.attribute if a.name == "value"]
    for tensor in (*made.graph.initializer, *values):
        if len(tensor.dims) >= LEAST:
            array = numpy_helper.to_array(tensor)
            mixed = random.permuted(array.ravel()).reshape(array.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    return made

"""Cotangents of pieces that were cut out of one tensor are joined, not padded and added."""

from collections import Counter

import numpy as np
import pytest
from finite import known, model_of, require_gradients
from onnx import helper

from ddcam.engine.autodiff.backward import backward
from ddcam.engine.autodiff.forward import Forward, joined
from ddcam.engine.graph.build import Var

CUTS = {
    "thirds": ([(0, 2), (2, 4), (4, 6)], {"Concat": 1}),
    "out of order": ([(4, 6), (0, 2), (2, 4)], {"Concat": 1}),
    "halves, not all": ([(1, 3), (3, 5)], {"Concat": 1, "Pad": 1}),
    "a gap": ([(0, 2), (3, 6)], {"Pad": 2, "Add": 1}),
    "an overlap": ([(0, 3), (2, 6)], {"Pad": 2, "Add": 1}),
    "twice the same": ([(0, 3), (0, 3), (3, 6)], {"Pad": 1, "Concat": 1, "Add": 1}),
    "all of it too": ([(0, 3), (3, 6), (0, 6)], {"Concat": 1, "Add": 1}),
}


@pytest.mark.parametrize("case", CUTS)
def test_pieces(case: str) -> None:
    cuts, expected = CUTS[case]
    x = np.random.default_rng(14).normal(size=(2, 6, 3))
    weights, nodes = {"axis": np.array([1])}, []
    for i, (start, stop) in enumerate(cuts):
        weights |= {f"from{i}": np.array([start]), f"to{i}": np.array([stop])}
        nodes.append(helper.make_node("Slice", ["x", f"from{i}", f"to{i}", "axis"], [f"cut{i}"]))
        nodes.append(helper.make_node("ReduceSum", [f"cut{i}", "axis"], [f"sum{i}"]))
    nodes.append(helper.make_node("Concat", [f"sum{i}" for i in range(len(cuts))], ["y"], axis=1))
    model = model_of(nodes, {"x": x}, weights, ["y"])
    require_gradients(model, {"x": x}, ["x"])
    require_gradients(model, {"x": x}, ["x"], batched=True)

    forward = Forward(model, known(model, {"x": x}, False))
    op = forward.builder("back_")
    [found] = backward(forward, "y", ["x"], Var(op, "seed", "float64", (2, len(cuts), 3)))
    graph = joined(forward, op, model.graph.input, [helper.make_tensor_value_info(found.name, 11, None)]).graph
    kinds = Counter(node.op_type for node in graph.node if node.op_type in ("Pad", "Concat", "Add", "Sum"))
    assert kinds == expected

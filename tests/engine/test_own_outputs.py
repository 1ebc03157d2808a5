"""A model's own outputs come as its file alone gives them, whatever shares a run, and its own input is what it says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import ddcam
from ddcam.engine.errors import PictureError
from ddcam.engine.own_outputs import open_own_outputs
from ddcam.models import DEMOS, demo_path

FLOAT = onnx.TensorProto.FLOAT


@pytest.mark.parametrize("demo", DEMOS)
def test_outputs_are_the_files(demo: str) -> None:
    model = ddcam.load(demo_path(demo), threads=1)
    own, samples = open_own_outputs(model), model.opened.samples
    session = onnxruntime.InferenceSession(demo_path(demo))
    names = [output.name for output in own.outputs]

    alone, together = own.run(samples, names), replace(own, batch=2).run(samples, names)

    assert own.shared == set(names)
    assert own.batch == 1, "on a CPU no output depends on what is asked beside it"
    for i, row in enumerate(alone):
        expected = session.run(names, {session.get_inputs()[0].name: samples[i : i + 1]})
        for got, many, want in zip(row, together[i], expected, strict=True):
            np.testing.assert_array_equal(got, want)
            np.testing.assert_allclose(many, want, atol=1e-5)


def model_of(shape: list[int | str], weights: tuple[int, ...], nodes: list[onnx.NodeProto]) -> onnx.ModelProto:
    """Make a model of a convolution, a mean over all places, two classes, and what else the nodes give as `more`."""
    rng, places = np.random.default_rng(0), list(range(2, len(shape)))
    given = {"w": rng.normal(size=weights), "m": rng.normal(size=(weights[0], 2))}
    initializers = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in given.items()]
    initializers.append(numpy_helper.from_array(np.array(places), "places"))
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("ReduceMean", ["r", "places"], ["p"], keepdims=0),
            helper.make_node("MatMul", ["p", "m"], ["y"]),
            *nodes,
        ],
        "made",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        [helper.make_tensor_value_info("y", FLOAT, ["N", 2])]
        + [helper.make_tensor_value_info("more", onnx.TensorProto.INT64, ["K"]) for _ in nodes],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def test_an_output_without_a_row_for_each_input_comes_of_each_alone(tmp_path: Path) -> None:
    made = model_of(["N", 3, 16, 16], (6, 3, 3, 3), [helper.make_node("Shape", ["x"], ["more"])])
    onnx.save(made, tmp_path / "m.onnx")
    model = ddcam.load(tmp_path / "m.onnx", output="y")
    own = replace(open_own_outputs(model), batch=4)

    rows = own.run(np.repeat(model.opened.samples[:1], 4, axis=0), ["y", "more"])

    assert own.shared == {"y"}
    assert [row[1].tolist() for row in rows] == [[1, 3, 16, 16]] * 4


def test_a_series_goes_in_as_the_file_takes_it(tmp_path: Path) -> None:
    onnx.save(model_of(["N", 2, 24], (5, 2, 3), []), tmp_path / "m.onnx")
    own = open_own_outputs(ddcam.load(tmp_path / "m.onnx"))
    values = np.random.default_rng(1).normal(size=(3, 2, 24)).astype(np.float32)

    rows = own.run(own.as_taken(values), ["y"])

    assert str(own.input) == "x float32[?, 2, 24]"
    expected = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(["y"], {"x": values})[0]
    np.testing.assert_allclose(np.concatenate([row[0] for row in rows]), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(), (0, 1, 32, 32), (1, 32, 32), (1, 1, 31, 32), (1, 1024)])
def test_what_the_file_does_not_take_is_refused(shape: tuple[int, ...]) -> None:
    own = open_own_outputs(ddcam.load(demo_path("digits_cnn_additive")))
    with pytest.raises(PictureError, match=r"expected input float32\[\?, 1, 32, 32\]"):
        own.as_taken(np.zeros(shape, np.float32))
    with pytest.raises(PictureError, match="got float64"):
        own.as_taken(np.zeros((1, 1, 32, 32)))

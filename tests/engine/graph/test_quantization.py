"""Quantised models: the integers of activations keep their meaning, and masks mean zero there too."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime.quantization as ort_quantization
import pytest
from onnx import TensorProto

from ddcam.engine.errors import SplitError
from ddcam.engine.graph.cut import Part, extract
from ddcam.engine.graph.quantization import Quantization, quantization_of
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.session import Session
from ddcam.engine.types import Measured, Value

FORMATS = ["QDQ", "QOperator", "dynamic"]


class Pictures(ort_quantization.CalibrationDataReader):
    def __init__(self, pictures: np.ndarray) -> None:
        self.feeds: Iterator[dict[str, Any]] = iter([{"picture": picture[None]} for picture in pictures])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.feeds, None)


@pytest.fixture
def quantized(zoo, tmp_path: Path):
    """Build a model of the zoo and quantise it to 8 bit with ONNX Runtime's own tools."""

    def make(family: str, how: str, **kwargs: Any) -> onnx.ModelProto:
        proto, _ = zoo.build(family, **kwargs)
        source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
        onnx.save(proto, source)
        logging.disable(logging.WARNING)  # it recommends a preprocessing that changes nothing here
        try:
            if how == "dynamic":
                ort_quantization.quantize_dynamic(source, target, weight_type=ort_quantization.QuantType.QUInt8)
            else:
                reader = Pictures(zoo.pictures(4, kwargs.get("layout", "NCHW")))
                form = ort_quantization.QuantFormat[how]
                ort_quantization.quantize_static(source, target, reader, quant_format=form)
        finally:
            logging.disable(logging.NOTSET)
        return onnx.load(target)

    return make


@pytest.mark.parametrize("ending", ["Softmax", "none"])
@pytest.mark.parametrize("how", FORMATS)
def test_quantised_family_is_split_like_the_float_one(zoo, quantized, load_here, family, how, ending):
    """That covers the check that head(backbone(x)) is the model, and a softmax with steps of 1/256."""
    expected = zoo.FAMILIES[family]
    batch = 1 if family in ("vit", "mixer") else "N"
    layout = "NHWC" if family in ("plain", "hidden") else "NCHW"

    model = load_here(quantized(family, how, ending=ending, batch=batch, layout=layout))

    split = model.split
    assert (split.units, split.count, split.grid) == (expected.units, expected.count, expected.grid)
    assert split.fixed == expected.fixed
    assert model.head_class[0] == "interacting", "rounding to integers is not affine"
    assert model.probe.batchable == (how != "dynamic"), model.probe.reason
    assert model.batch == 1 or how != "dynamic"


@pytest.mark.parametrize("how", FORMATS)
@pytest.mark.parametrize("name", ["hidden", "residual", "convolutional", "convnext", "vit"])
def test_masks_remove_units_of_quantised_features(zoo, quantized, load_here, name, how):
    """The same by NumPy: a removed unit is what stands for zero; the plain head gives the same logits."""
    proto = quantized(name, how)
    model = load_here(proto)
    inputs = zoo.pictures(1, seed=5)
    problem = Problem(model, inputs)
    opened, split = model.opened, model.split
    head = extract(opened.graph.proto, opened.measured, Part(split.tensor, (opened.logits.tensor,)))
    plain = Session(head.SerializeToString(), threads=1)
    zero = model.head.quantized[split.tensor].zero if split.tensor in model.head.quantized else 0
    removable = [i for i in range(split.shape[split.unit_axis]) if i not in split.fixed]
    masks = np.random.default_rng(1).integers(0, 2, (8, split.count)).astype(np.float32)
    masks[0] = 1

    logits = problem.score(masks)

    for mask, got in zip(masks, logits, strict=True):
        features = problem.raw.copy()
        removed = [position for position, keep in zip(removable, mask, strict=True) if not keep]
        np.moveaxis(features, split.unit_axis, 0)[removed] = zero
        [expected] = plain.run({split.tensor: features})
        if opened.logits.tensor in model.head.quantized:
            expected = model.head.quantized[opened.logits.tensor].real(expected)
        np.testing.assert_allclose(got, expected.ravel(), atol=0.02 * np.abs(expected).max())
    assert np.ptp(logits, axis=0).max() > 0


@pytest.mark.parametrize("units", ["channel", "cell"])
def test_integers_can_be_split_at(zoo, quantized, load_here, units):
    proto = quantized("plain", "QDQ")
    [name] = [n.output[0] for n in proto.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "features"]

    model = load_here(proto, split=name, units=units)
    problem = Problem(model, zoo.pictures(1))

    assert problem.raw.dtype == np.int8
    quantization = model.head.quantized[name]
    expected = (problem.raw.astype(int) - quantization.zero) * quantization.scale
    np.testing.assert_allclose(model.real(problem.raw), expected, rtol=1e-6)
    assert problem.features.shape == (8, 4, 4)
    assert (problem.features >= 0).all(), "they follow a ReLU"


def measured(dtype: str) -> Measured:
    return Measured({"t": Value((1, 4), dtype)}, None)


def graph(*lines: str, scale: str = "s = {0.5}", zero: str = "uint8 z = {3}") -> onnx.GraphProto:
    """Make a graph around the integers `t`; `s` and `z` are their scale and zero point."""
    constants = f"<float {scale}, {zero}, float other = {{9.0}}, uint8 nothing = {{7}}>"
    return onnx.parser.parse_graph(f"g (float[] x) => (float[] y) {constants} {{ {' '.join(lines)} }}")


@pytest.mark.parametrize(
    "lines",
    [
        ["y = DequantizeLinear(t, s, z)"],
        ["t = QuantizeLinear(x, other, nothing)", "y = DequantizeLinear(t, s, z)"],
        ["a = MaxPool(t)", "b = Flatten(a)", "y = DequantizeLinear(b, s, z)"],
        ["t = QuantizeLinear(x, s, z)", "y = Cast(t)"],
        ["a = QuantizeLinear(x, s, z)", "b = MaxPool(a)", "t = Transpose(b)", "y = Cast(t)"],
        ["y = QLinearConv(t, s, z, w, other, nothing, other, nothing)"],
        ["y = QLinearAdd(other, other, nothing, t, s, z, other, nothing)"],
        ["y = QLinearConcat(other, nothing, x, other, nothing, t, s, z)"],
        ["y = QGemm(t, s, z, w, other, nothing)"],
        ["y = QLinearGlobalAveragePool(t, s, z, other, nothing)"],
    ],
)
def test_scale_is_read_from_the_operators_around(lines):
    assert quantization_of(graph(*lines), "t", measured("uint8")) == Quantization(0.5, 3, "uint8")


def test_zero_point_may_be_left_out():
    assert quantization_of(graph("y = DequantizeLinear(t, s)"), "t", measured("int8")) == Quantization(0.5, 0, "int8")


def test_constant_nodes_are_constants_too():
    made = graph("k = Constant <value = float {0.25}> ()", "y = DequantizeLinear(t, k, z)")

    assert quantization_of(made, "t", measured("uint8")) == Quantization(0.25, 3, "uint8")


def test_float_tensor_has_no_scale():
    assert quantization_of(graph("y = Relu(t)"), "t", measured("float32")) is None


@pytest.mark.parametrize(
    "lines",
    [
        ["y = Cast(t)"],
        ["y = DequantizeLinear(t, x, z)"],
        ["y = DequantizeLinear(t, s, x)"],
        ["a = Identity(t)", *(f"{new} = Identity({old})" for old, new in zip("abcdefgh", "bcdefghi", strict=True))],
    ],
)
def test_integers_without_constant_scale_are_refused(lines):
    with pytest.raises(SplitError, match="tensor 't' holds integers and nothing around it names their scale"):
        quantization_of(graph(*lines), "t", measured("uint8"))


def test_real_values_of_integers_and_their_constants():
    quantization = Quantization(0.5, -3, "int8")
    scale, zero = quantization.tensors("scale", "zero")

    assert quantization.real(np.array([-128, -3, 127], np.int8)).tolist() == [-62.5, 0, 65]
    assert (scale.name, scale.data_type, zero.name) == ("scale", TensorProto.FLOAT, "zero")
    assert (zero.data_type, onnx.numpy_helper.to_array(zero)) == (TensorProto.INT8, -3)

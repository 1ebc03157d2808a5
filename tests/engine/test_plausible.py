"""A model whose batch norms hold the means of its training tells a wrong preprocessing; an untrained one nothing."""

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import ddcam
from ddcam.engine.check import photographs, sample_inputs
from ddcam.engine.open_model import open_model
from ddcam.engine.plausible import judge, overlap
from ddcam.engine.preprocess import PRESETS
from ddcam.engine.types import Wishes

WIDTH, LAYERS = 12, 4
RIGHT = {"imagenet": "unit", "unit": "imagenet", "symmetric": "raw", "raw": "symmetric"}
"""A preprocessing that a model was trained with, and a wrong one."""


def network(rng, means, folded=True):
    """Convolutions and ReLU whose normalisation takes the given means off, folded into biases or by itself."""
    nodes, tensors, name = [], [], "x"

    def constant(key, values):
        tensors.append(numpy_helper.from_array(np.asarray(values, np.float32), key))
        return key

    for i, mean in enumerate(means):
        channels = 3 if i == 0 else WIDTH
        scale = np.array([1.2, 1.5, 0.8])[None, :, None, None] if i == 0 else 1.0  # blue is the weakest colour
        weights = constant(f"w{i}", rng.normal(size=(WIDTH, channels, 3, 3)) * scale / np.sqrt(9 * channels))
        learned = rng.normal(size=WIDTH) * 0.02 * np.abs(mean).mean()
        if folded:
            bias = constant(f"b{i}", learned - mean)
            nodes.append(helper.make_node("Conv", [name, weights, bias], [f"c{i}"], pads=[1] * 4))
        else:
            nodes.append(helper.make_node("Conv", [name, weights], [f"p{i}"], pads=[1] * 4))
            rest = [constant(f"{key}{i}", v) for key, v in
                    (("g", np.ones(WIDTH)), ("s", learned), ("m", mean), ("v", np.ones(WIDTH)))]  # fmt: skip
            nodes.append(helper.make_node("BatchNormalization", [f"p{i}", *rest], [f"c{i}"], epsilon=1e-7))
        nodes.append(helper.make_node("Relu", [f"c{i}"], [f"r{i}"]))
        name = f"r{i}"
    nodes.append(helper.make_node("GlobalAveragePool", [name], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(helper.make_node("Gemm", ["flat", constant("last", rng.normal(size=(WIDTH, 5)))], ["y"]))
    shapes = [("x", [None, 3, 48, 48]), ("y", [None, 5])]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in shapes]
    graph = helper.make_graph(nodes, "planted", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def planted(path, name, folded=True):
    """Write a model that was, layer by layer, centred on photographs under a preprocessing, and open it with that."""
    means = [np.zeros(WIDTH)] * LAYERS
    onnx.save(network(np.random.default_rng(0), means), path)
    opened = open_model(path, Wishes(preprocessing=name))
    inputs = sample_inputs(opened.preprocessing, opened.picture)
    for i in range(LAYERS):
        proto = network(np.random.default_rng(0), means, folded)
        proto.graph.output.append(helper.make_tensor_value_info(f"c{i}", TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        means[i] = means[i] + session.run([f"c{i}"], {"x": inputs})[0].mean((0, 2, 3))
    onnx.save(network(np.random.default_rng(0), means, folded), path)
    return open_model(path, Wishes(preprocessing=name))


def under(opened, name, color=None):
    values = PRESETS[name]
    mean, std = ((v * 3)[:3] for v in (values.mean, values.std))
    chosen = replace(opened.preprocessing, color=color or values.color, scale=values.scale, mean=mean, std=std)
    return replace(opened, preprocessing=chosen)


@pytest.mark.parametrize(("right", "wrong"), RIGHT.items())
def test_a_planted_model_tells_the_right_preprocessing(tmp_path, right, wrong):
    opened = planted(tmp_path / "model.onnx", right, folded=right != "unit")

    assert judge(under(opened, right)).doubt is None
    assert judge(under(opened, right), photographs()[1]).doubt is None
    doubt = judge(under(opened, wrong)).doubt
    assert (doubt.likelier, doubt.option) == (right, f"--preprocessing {right}")


def test_what_it_cost_is_counted(tmp_path):
    verdict = judge(planted(tmp_path / "model.onnx", "unit"))

    assert verdict.forwards == 3 * 5
    assert 0 < verdict.seconds < 60
    assert "means of its first layers" in str(verdict)


def test_colours_the_other_way_round_are_doubted(tmp_path):
    onnx.save(network(np.random.default_rng(0), [np.zeros(WIDTH)] * LAYERS), tmp_path / "model.onnx")
    opened = open_model(tmp_path / "model.onnx", Wishes())

    assert judge(opened).doubt is None
    assert judge(under(opened, "imagenet", "BGR")).doubt.likelier == "the order RGB"


@pytest.mark.parametrize("seed", range(2))
def test_an_untrained_model_is_not_doubted(tmp_path, seed):
    rng = np.random.default_rng(seed)
    model = network(rng, [rng.normal(size=WIDTH) for _ in range(LAYERS)])
    held = {t.name: t for t in model.graph.initializer}
    held["w0"].CopyFrom(numpy_helper.from_array(rng.normal(size=(WIDTH, 3, 3, 3)).astype(np.float32) / 5, "w0"))
    onnx.save(model, tmp_path / "model.onnx")

    for name in ("imagenet", "unit"):
        assert judge(open_model(tmp_path / "model.onnx", Wishes(preprocessing=name))).doubt is None


def quantised(path):
    """Write a model whose input is quantised for ImageNet's range."""
    model = network(np.random.default_rng(0), [np.zeros(WIDTH)] * LAYERS)
    scale, zero = np.float32(4.76 / 255), np.uint8(113)
    model.graph.initializer.extend([numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(zero, "zero")])
    model.graph.node[0].input[0] = "real"
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["whole"]))
    model.graph.node.insert(1, helper.make_node("DequantizeLinear", ["whole", "scale", "zero"], ["real"]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("wrong", ["unit", "caffe"])
def test_the_range_of_a_quantised_input_tells(tmp_path, wrong):
    path = quantised(tmp_path / "model.onnx")

    assert judge(open_model(path, Wishes(preprocessing="imagenet"))).doubt is None
    verdict = judge(open_model(path, Wishes(preprocessing=wrong)))
    assert (verdict.doubt.likelier, verdict.forwards) == ("imagenet", 0)


def test_overlap_is_that_of_intervals():
    assert overlap((0, 1), (0, 1)) == 1
    assert overlap((0, 1), (2, 3)) == 0
    assert overlap((0, 2), (1, 3)) == pytest.approx(1 / 3)


def test_explain_and_inspect_warn_and_can_be_told_not_to(tmp_path):
    planted(tmp_path / "model.onnx", "imagenet")
    picture = photographs()[0]

    wrong = ddcam.explain(ddcam.load(tmp_path / "model.onnx", preprocessing="unit"), picture)
    right = ddcam.explain(ddcam.load(tmp_path / "model.onnx", preprocessing="imagenet"), picture)
    trusted = ddcam.explain(ddcam.load(tmp_path / "model.onnx", preprocessing="unit", doubts="none"), picture)

    assert "imagenet is likelier (--preprocessing imagenet)" in wrong.warnings[0]
    assert not any("preprocessing" in warning for warning in (*right.warnings, *trusted.warnings))
    report = ddcam.inspect(tmp_path / "model.onnx", Wishes(preprocessing="unit"))
    assert "imagenet is likelier" in report["warnings"][0]
    ddcam.save(wrong, tmp_path / "saved")
    assert "likelier" in json.loads((tmp_path / "saved" / "manifest.json").read_text())["warnings"][0]

"""Loading finds the split, the units and the head of every family of classifiers, in every form they come in."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from ddcam.engine.errors import CheckError, DeviceError, ModelError, OptionError, SplitError
from ddcam.engine.model import Model, check_cut, load
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.session import Session
from ddcam.engine.search.predicate import probabilities
from ddcam.engine.types import Wishes

ENDINGS = ["Softmax", "LogSoftmax", "exp / sum", "shifted exp / sum", "Sigmoid", "none"]


def require(zoo: SimpleNamespace, model: Model, family: str, features: str) -> None:
    """Require what is written of a family in the zoo."""
    expected, split = zoo.FAMILIES[family], model.split
    assert (split.tensor, split.units, split.count) == (features, expected.units, expected.count)
    assert (split.grid, split.fixed) == (expected.grid, expected.fixed)
    assert model.head_class[0] == expected.head, model.head_class
    assert model.probe.batchable, model.probe.reason


def require_output(zoo: SimpleNamespace, model: Model, proto: onnx.ModelProto, ending: str, precision: float) -> None:
    """Require that backbone, masked head and final activation give what the whole model gives for a new picture."""
    picture = zoo.pictures(1, model.opened.picture.layout, model.opened.picture.dtype, seed=11)
    [expected] = zoo.run(proto, {"picture": picture})
    logits = Problem(model, picture).logits
    got = logits if ending == "none" else probabilities(logits, "sigmoid" if ending == "Sigmoid" else "softmax")
    got = np.log(got) if ending == "LogSoftmax" else got

    np.testing.assert_allclose(got, expected.ravel(), rtol=precision, atol=precision)


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_operator_set(zoo, load_here, family, opset):
    ending, batch = ENDINGS[opset % 6], ["N", 1][opset % 2]
    layout = ["NCHW", "NHWC"][opset // 2 % 2]
    proto, features = zoo.build(family, opset, ending, batch=batch, layout=layout)

    model = load_here(proto)

    require(zoo, model, family, features)
    require_output(zoo, model, proto, ending, 1e-5)


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_every_layout_and_batch(zoo, load_here, family, layout, batch):
    proto, features = zoo.build(family, batch=batch, layout=layout)

    model = load_here(proto)

    require(zoo, model, family, features)
    require_output(zoo, model, proto, "Softmax", 1e-5)


def test_every_candidate(zoo, load_here, family):
    proto, _ = zoo.build(family)

    for candidate in load_here(proto).opened.candidates:
        model = load_here(proto, split=candidate.tensor.name)

        assert model.probe.batchable, (candidate, model.probe.reason)
        require_output(zoo, model, proto, "Softmax", 1e-5)


@pytest.mark.parametrize("ending", ["Softmax", "none"])
def test_half_precision(zoo, load_here, family, ending):
    proto, features = zoo.build(family, dtype="float16", ending=ending)

    model = load_here(proto)

    require(zoo, model, family, features)
    require_output(zoo, model, proto, ending, 1e-2)
    assert (model.split.dtype, model.opened.coarsest) == ("float16", "float16")


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending(zoo, load_here, ending, opset):
    proto, features = zoo.build("plain", opset, ending)

    model = load_here(proto)

    require(zoo, model, "plain", features)
    require_output(zoo, model, proto, ending, 1e-5)
    logits = model.opened.logits
    expected = {"Sigmoid": "sigmoid", "none": "none"}.get(ending, "softmax")
    assert (logits.tensor, logits.classes, logits.activation) == ("logits", 5, expected)


@pytest.mark.parametrize("level", ["EXTENDED", "ALL"])
def test_files_that_onnx_runtime_has_optimised(zoo, load_here, family, level, tmp_path):
    """Their operators are fused into those of Microsoft's domain."""
    proto, _ = zoo.build(family)
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.optimized_model_filepath = 4, str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])

    model = load_here(onnx.load(tmp_path / "optimised.onnx"))

    if (
        level == "EXTENDED"
    ):  # from 1.32 on, ALL puts a reordering between features and classifier, which is one more map
        require(zoo, model, family, "features")
    require_output(zoo, model, proto, "Softmax", 1e-5)


def test_trial_run_in_a_process_of_its_own_sees_the_same(zoo, load_here, tmp_path):
    proto, _ = zoo.build("vit_registers")
    here = load_here(proto)

    model = load(tmp_path / "model.onnx", Wishes(threads=1))

    assert (model.split, model.opened.measured) == (here.split, here.opened.measured)
    assert load(str(tmp_path / "model.onnx")).split == here.split


def test_free_height_and_width_take_the_size_asked_for(zoo, load_here):
    proto, _ = zoo.build("plain")
    for axis in (2, 3):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"side{axis}"

    model = load_here(proto, size=(24, 32))

    assert model.opened.samples.shape == (3, 3, 24, 32)
    assert (model.split.grid, model.split.shape) == ((6, 8), (1, 8, 6, 8))


def test_class_scores_with_further_axes(zoo, load_here):
    draft = zoo.Draft()
    zoo.FAMILIES["plain"].draw(draft)
    square = draft.add("Unsqueeze", ["logits", draft.constant([2, 3])])
    proto = draft.model(draft.add("Softmax", square, "output", axis=1), ("N", 5, 1, 1))

    model = load_here(proto)

    assert (model.split.tensor, model.opened.logits.classes) == ("features", 5)
    require_output(zoo, model, proto, "Softmax", 1e-5)


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.FLOAT16])
def test_type_of_the_picture_may_be_another(zoo, load_here, dtype):
    """A cast after the input: pixels as bytes, or halves around a float32 model."""
    proto, _ = zoo.build("plain", layout="NHWC")
    proto.graph.node[0].input[0] = "cast"
    proto.graph.node.insert(0, helper.make_node("Cast", ["picture"], ["cast"], to=TensorProto.FLOAT))
    proto.graph.input[0].type.tensor_type.elem_type = dtype

    model = load_here(proto)

    assert model.opened.samples.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    assert (model.split.tensor, model.split.unit_axis) == ("features.last", 3)


def test_one_of_several_outputs_is_explained(zoo, load_here):
    proto, features = zoo.build("plain")
    info = helper.make_tensor_value_info(features, TensorProto.FLOAT, ["N", 8, 4, 4])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5])
    proto.graph.output.extend([info, logits])

    assert load_here(proto).opened.logits.output == "output"
    assert load_here(proto, output="logits").opened.logits.activation == "none"


def test_units_and_split_can_be_asked_for(zoo, load_here):
    proto, _ = zoo.build("vit")
    [joined] = [n.output[0] for n in proto.graph.node if n.op_type == "Concat" and n.attribute[0].i == 1]

    assert load_here(proto, split=joined).split.fixed == (0,)
    assert load_here(proto, units="channel").split.shape == (1, 8, 4, 4)
    with pytest.raises(SplitError, match="cannot split at 'nowhere'"):
        load_here(proto, split="nowhere")


@pytest.mark.parametrize("batch", [0, -1])
def test_batch_below_one_is_refused(zoo, load_here, batch):
    with pytest.raises(OptionError, match=f"expected a batch of 1 or more masks, got {batch}"):
        load_here(zoo.build("plain")[0], batch=batch)


def test_head_that_is_linear_only_by_name_is_interacting(zoo, load_here):
    """Rounding hides in a cast to whole numbers; the measurement finds it."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    whole = draft.add("Cast", draft.add("Cast", draft.reduce("ReduceSum", x, [2, 3], 0), to=6), to=1)
    draft.dense(whole, 8, 5, "logits")
    proto = draft.model("logits")

    channels, cells = load_here(proto), load_here(proto, units="cell")

    assert cells.head_class[0] == "interacting"
    assert "linear by its graph, but sums are off by" in cells.head_class[1]
    assert channels.head_class[0] == "additive", "each channel is rounded by itself"


def test_head_that_does_not_belong_to_the_model_is_noticed(zoo, load_here):
    model, other = (load_here(zoo.build("plain", seed=seed)[0]) for seed in (0, 1))

    assert check_cut(model) < 1e-6
    with pytest.raises(CheckError, match=r"cut at 'features': expected the original's result within 0\.0001"):
        check_cut(replace(model, alone=Session(other.head.graph, threads=1)))


def test_softmax_along_the_wrong_axis_is_noticed(zoo, load_here):
    draft = zoo.Draft()
    zoo.FAMILIES["plain"].draw(draft)
    proto = draft.model(draft.add("Softmax", "logits", "output", axis=0))

    with pytest.raises(CheckError, match="'output' is not what the softmax of 'logits' gives; choose another output"):
        load_here(proto)


def test_map_that_is_declared_as_class_scores_is_refused(zoo, load_here):
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]), "features")
    proto = draft.model(draft.conv(x, 8, 5, 1))

    with pytest.raises(ModelError, match=r"expected class scores \[1, classes\] at .* got the shape \(1, 5, 4, 4\)"):
        load_here(proto)


def test_scores_that_are_not_finite_are_refused(zoo, load_here):
    draft = zoo.Draft()
    zoo.FAMILIES["plain"].draw(draft)
    draft.add("Log", draft.add("Sub", ["logits", "logits"]), "infinite")

    with pytest.raises(ModelError, match=r"scores that are not finite \('infinite'\) for a photograph"):
        load_here(draft.model("infinite"))


def test_only_auto_may_end_on_the_cpu(zoo, load_here, monkeypatch):
    """A driver is there, but the libraries that ONNX Runtime needs besides cannot be loaded."""

    def without_libraries(graph: bytes, *, device: str = "cpu", **options: Any) -> Session:
        if device == "cuda":
            raise DeviceError("no cuBLAS")
        return Session(graph, **options)

    monkeypatch.setattr("ddcam.engine.model.choose_device", lambda asked: ("cuda", "found"))
    monkeypatch.setattr("ddcam.engine.model.Session", without_libraries)
    proto, _ = zoo.build("plain")

    model = load_here(proto, device="auto")

    assert (model.device, model.device_reason) == ("cpu", "no cuBLAS")
    with pytest.raises(DeviceError, match="no cuBLAS"):
        load_here(proto, device="cuda")


def test_device_is_chosen_with_its_reason(zoo, load_here, monkeypatch):
    monkeypatch.setattr("ddcam.engine.model.choose_device", lambda asked: ("cpu", f"because of {asked}"))

    model = load_here(zoo.build("plain")[0], device="auto")

    assert (model.device, model.device_reason, model.probe.session.device) == ("cpu", "because of auto", "cpu")


def test_float16_is_kept_from_the_layout_optimiser(zoo, load_here):
    """It crashes ONNX Runtime 1.31 on some float16 transformers, in this process and without an exception."""
    half, single = (load_here(zoo.build("vit", dtype=dtype)[0]) for dtype in ("float16", "float32"))

    assert half.opened.without == ("NchwcTransformer",)
    assert single.opened.without == ()

"""Inputs besides the picture are held at given values; every answer is that of the file fed with these."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

import ddcam
from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.graph.hold import as_array, fitting
from ddcam.engine.model import check_cut
from ddcam.engine.problem import Problem
from ddcam.engine.types import Tensor

KINDS = {"gain": (TensorProto.FLOAT, [1]), "meta": (TensorProto.FLOAT, ["N", 3]), "on": (TensorProto.BOOL, [])}
MASK = (TensorProto.FLOAT, ["N", 1, 16, 16])


def fused(zoo, batch="N", opset=17):
    """A classifier whose pooled features are joined by three numbers; `mask` weighs the picture, `gain` the scores."""
    draft = zoo.Draft(opset, batch=batch)
    x = draft.add("Mul", ["picture", "mask"])
    x = draft.add("Relu", draft.conv(draft.add("Relu", draft.conv(x, 3, 6, 3)), 6, 8, 3), "features")
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    joined = draft.dense(draft.add("Concat", [pooled, "meta"], axis=1), 11, 5)
    draft.add("Mul", [joined, "gain"], "scored")
    draft.add("Where", ["on", "scored", draft.constant(np.zeros(1))], "logits")
    proto = draft.model("logits")
    shapes = KINDS | {"mask": MASK}
    for name, (element, shape) in shapes.items():
        sizes = [batch if size == "N" else size for size in shape]
        proto.graph.input.append(helper.make_tensor_value_info(name, element, sizes))
    return proto


def values() -> dict[str, object]:
    mask = np.zeros((1, 1, 16, 16), np.float32)
    mask[..., 4:12, 4:12] = 1
    return {"gain": 2.0, "meta": [0.5, -1, 2], "on": True, "mask": mask}


def fed(zoo, proto, picture):
    given = values()
    feeds = {"gain": np.float32([2]), "meta": np.float32([given["meta"]]), "on": np.array(True), "mask": given["mask"]}
    return zoo.run(proto, {"picture": picture, **feeds}, ["logits"])[0][0]


@pytest.mark.parametrize("batch", ["N", 1])
@pytest.mark.parametrize("units", ["channel", "cell", "patch"])
def test_the_model_decides_as_the_file_does_with_these_values(zoo, load_here, batch, units):
    proto = fused(zoo, batch)
    model = load_here(proto, input="picture", hold=values(), units=units)
    picture = zoo.pictures(1, seed=4)
    posed = Problem(model, picture)

    np.testing.assert_allclose(posed.logits, fed(zoo, proto, picture), rtol=1e-4, atol=1e-5)
    assert check_cut(model) < 1e-5
    assert model.probe.batchable, model.probe.reason
    np.testing.assert_allclose(
        posed.score_images(np.repeat(picture, 3, axis=0)), [posed.logits] * 3, rtol=1e-4, atol=1e-5
    )


def test_other_values_give_other_scores(zoo, load_here):
    picture = zoo.pictures(1, seed=4)
    scores = [
        Problem(load_here(fused(zoo), input="picture", hold=values() | {"meta": meta}), picture).logits
        for meta in ([0.5, -1, 2], [5, 5, 5])
    ]

    assert np.abs(scores[0] - scores[1]).max() > 0.1


@pytest.mark.parametrize("opset", [7, 9, 13, 20])
def test_every_operator_set_and_old_files_that_list_their_weights(zoo, load_here, opset):
    draft = zoo.Draft(opset)
    x = draft.add("Relu", draft.conv(draft.add("Relu", draft.conv("picture", 3, 6, 3)), 6, 8, 3), "features")
    pooled = draft.add("Flatten", draft.add("GlobalAveragePool", x))
    draft.add("Mul", [draft.dense(pooled, 8, 5), "gains"], "logits")
    proto = draft.model("logits")
    proto.graph.input.insert(0, helper.make_tensor_value_info("gains", TensorProto.FLOAT, ["N", 5]))
    picture, gains = zoo.pictures(1, seed=2), np.float32([[1, 2, 3, -1, 0]])
    posed = Problem(load_here(proto, hold={"gains": "1,2,3,-1,0"}), picture)

    expected = zoo.run(proto, {"picture": picture, "gains": gains}, ["logits"])[0][0]
    np.testing.assert_allclose(posed.logits, expected, rtol=1e-4, atol=1e-5)


def test_an_input_with_a_default_needs_nothing_and_can_be_held_at_another_value(zoo, load_here):
    proto = fused(zoo)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32([2]), "gain"))
    others = {name: value for name, value in values().items() if name != "gain"}
    picture = zoo.pictures(1, seed=4)
    usual, doubled = (
        Problem(load_here(proto, input="picture", hold=hold), picture).logits for hold in (others, others | {"gain": 4})
    )

    np.testing.assert_allclose(usual, fed(zoo, proto, picture), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(doubled, 2 * usual, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "dtype", "given", "expected"),
    [
        ((), "float32", "0.5", np.float32(0.5)),
        ((1,), "int64", "3", np.int64([3])),
        ((None, 3), "float32", "1,2,3", np.float32([[1, 2, 3]])),
        ((None, 3), "float32", np.ones((1, 3)), np.ones((1, 3), np.float32)),
        ((None, 1, 2, 2), "float16", "1", np.ones((1, 1, 2, 2), np.float16)),
        ((2, 2), "bool", "true,false,1,0", np.array([[True, False], [True, False]])),
        ((None, None, 2), "float32", np.zeros((1, 7, 2)), np.zeros((1, 7, 2), np.float32)),
        ((None, None, 2), "float32", np.zeros((7, 2)), np.zeros((1, 7, 2), np.float32)),
    ],
)
def test_values_take_shape_and_type_of_the_input(shape, dtype, given, expected):
    found = fitting(Tensor("z", dtype, shape), as_array("z", given))

    np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize(
    ("shape", "dtype", "given", "text"),
    [
        ((1,), "float32", "many", "expected a number, numbers with commas"),
        ((1,), "float32", "nan", "expected finite numbers"),
        ((1,), "int64", "0.5", "cannot hold such values exactly"),
        ((1,), "uint8", "300", "cannot hold such values exactly"),
        ((1,), "float16", "1e9", "cannot hold such values exactly"),
        ((None, 3), "float32", "1,2", r"--hold z=NUMBER, 3 numbers with commas, or FILE.npy"),
        ((None, None, None), "float32", "1", r"--hold z=FILE.npy"),
        ((1,), "object", "1", "takes no numbers"),
        ((1,), "float32", "none.npy", "cannot read an array to hold 'z' at from none.npy"),
    ],
)
def test_values_that_do_not_fit_are_refused(shape, dtype, given, text):
    with pytest.raises(OptionError, match=text):
        fitting(Tensor("z", dtype, shape), as_array("z", given))


def test_a_number_a_channel_is_no_second_picture(zoo, load_here):
    draft = zoo.Draft(13)
    x = draft.add("Relu", draft.conv(draft.add("Sub", ["picture", "means"]), 3, 6, 3), "features")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 6, 5, "logits")
    proto = draft.model("logits")
    proto.graph.input.append(helper.make_tensor_value_info("means", TensorProto.FLOAT, [1, 3, 1, 1]))
    picture, means = zoo.pictures(1, seed=2), np.float32([1, 2, 3]).reshape(1, 3, 1, 1)

    with pytest.raises(ModelError, match=r"besides the picture 'picture' the model needs means .*3 numbers"):
        load_here(proto)
    expected = zoo.run(proto, {"picture": picture, "means": means}, ["logits"])[0][0]
    posed = Problem(load_here(proto, hold={"means": "1,2,3"}), picture)
    np.testing.assert_allclose(posed.logits, expected, rtol=1e-4, atol=1e-5)


def test_what_is_missing_is_named_with_the_option_to_give(zoo, load_here):
    with pytest.raises(ModelError, match=r"several could.*name one with --input NAME"):
        load_here(fused(zoo))
    with pytest.raises(ModelError) as refused:
        load_here(fused(zoo), input="picture", hold={"mask": 1})
    assert str(refused.value) == (
        "besides the picture 'picture' the model needs gain float32[1]: hold it with --hold gain=NUMBER; "
        "meta float32[?, 3]: hold it with --hold meta=NUMBER, 3 numbers with commas, or FILE.npy; "
        "on bool[]: hold it with --hold on=NUMBER"
    )
    with pytest.raises(OptionError, match="cannot hold 'scale': the model's inputs are picture, gain"):
        load_here(fused(zoo), input="picture", hold={"scale": 1})
    with pytest.raises(OptionError, match="no input 'meta' takes a picture"):
        load_here(fused(zoo), input="meta")


@pytest.mark.parametrize("method", ["grad-cam", "saliency", "rise:samples=20", "layer-cam-fused"])
def test_other_methods_see_the_model_with_its_values(zoo, load_here, method):
    model = load_here(fused(zoo), input="picture", hold=values(), mean=(0.5,), std=(0.5,))
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    explanation = ddcam.explain(model, ddcam.engine.preprocess.from_pixels(pixels), method=method)
    outside = np.ones((16, 16), bool)
    outside[4:12, 4:12] = False

    assert explanation.saliency.max() > 0
    if method == "saliency":  # the held mask hides the border
        assert not explanation.saliency[outside].any()


def test_the_command_line_explains_verifies_and_cuts_it(zoo, tmp_path: Path, monkeypatch, console):
    monkeypatch.chdir(tmp_path)
    onnx.save(fused(zoo), "model.onnx")
    np.savez("values.npz", mask=values()["mask"], other=np.zeros(3))
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (16, 16, 3)).astype(np.uint8)).save("picture.png")
    held = ["--input", "picture", "--hold", "gain=2", "--hold", "meta=0.5,-1,2", "--hold", "on=true"]
    held += ["--hold", "mask=values.npz"]

    code, out, err = console("explain", "model.onnx", "picture.png", "-o", "why", *held)
    assert code == 0, err
    assert "held: gain=2, meta=0.5,-1,2, on=1, mask=float32[1, 1, 16, 16]" in err
    assert json.loads(Path("why/manifest.json").read_text())["model"]["held"] == ["gain", "meta", "on", "mask"]
    assert console("verify", "why", "model.onnx", "picture.png")[0] == 0

    code, out, _ = console("split", "model.onnx", "-o", "parts", *held)
    assert (code, "meta is held at 0.5,-1,2" in out) == (0, True)
    assert [i.name for i in onnx.load("parts/head.onnx").graph.input] == ["features"]

    code, out, _ = console("inspect", "model.onnx", *held)
    assert (code, "gain=2, meta=0.5,-1,2" in out) == (0, True)


def test_other_values_in_the_folder_are_not_verified(zoo, tmp_path: Path, load_here):
    model = load_here(fused(zoo), input="picture", hold=values())
    pixels = np.random.default_rng(3).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    explanation = ddcam.explain(model, ddcam.engine.preprocess.from_pixels(pixels))
    ddcam.save(explanation, tmp_path / "why")
    (tmp_path / "why" / "held_1.npy").unlink()
    with pytest.raises(ddcam.DdcamError, match="lacks the value of the input 'meta'"):
        ddcam.verify(ddcam.open_explanation(tmp_path / "why"), tmp_path / "model.onnx")

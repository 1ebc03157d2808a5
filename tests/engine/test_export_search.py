"""DD-CAM inside a model finds the subsets of the engine's sweep, and says truly what they are."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import ddcam
from ddcam.engine import Export, check_export, export
from ddcam.engine.errors import CheckError, ModelError, OptionError
from ddcam.engine.find import find
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.types import Question, Wishes
from ddcam.models import DEMOS, demo_path, demo_pictures

PICTURES = [ddcam.open_image(path) for path in demo_pictures()]
OUTPUTS = ["saliency_map", "units", "sufficient", "minimal"]
FAMILIES = (
    "plain",
    "hidden",
    "residual",
    "concatenated",
    "squeeze_excite",
    "convolutional",
    "convnext",
    "vit",
    "vit_registers",
    "vit_mean",
    "mixer",
)
Found = list[np.ndarray]


def explained(file: Path, inputs: np.ndarray, **more: Any) -> Found:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(OUTPUTS, {session.get_inputs()[0].name: inputs, **more})


def written(path: Path, tmp_path: Path, asked: Export, **wishes: Any) -> Path:
    file = tmp_path / "explained.onnx"
    export(path, file, asked, Wishes(**wishes))
    return file


def require_engines_answer(model: ddcam.Model, inputs: np.ndarray, found: Found, **asked: Any) -> None:
    for row, one in enumerate(inputs):
        problem = Problem(model, one[None], question=Question(search="sweep"), **asked)
        subset = find(problem).subset
        assert tuple(np.flatnonzero(found[1][row])) == subset
        assert set(np.unique(found[1][row])) <= {0, 1}
        assert found[2][row]
        assert found[3][row]
        grid_map = dd_cam(problem).grid_map
        scaled = grid_map / (grid_map.max() or 1)
        np.testing.assert_allclose(found[0][row, 0], scaled, atol=1e-4)


@pytest.mark.parametrize("preserve", ["top1", "confidence:0.9", "topk:2", "tolerance:0.5"])
@pytest.mark.parametrize("units", [None, "cell"])
@pytest.mark.parametrize("demo", DEMOS)
def test_subsets_are_the_engines_for_several_pictures_at_once(
    demo: str, units: Any, preserve: str, tmp_path: Path
) -> None:
    file = written(demo_path(demo), tmp_path, Export("dd-cam", size="grid", preserve=preserve), units=units)
    model = ddcam.load(demo_path(demo), units=units)
    inputs = np.concatenate([prepare(p, model.opened.preprocessing, model.opened.picture)[0] for p in PICTURES])

    require_engines_answer(model, inputs, explained(file, inputs), preserve=preserve)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("how", [{}, {"opset": 9, "batch": 1}, {"dtype": "float16"}], ids=str)
def test_every_family_of_heads_goes_in(family: str, how: dict[str, Any], zoo: Any, tmp_path: Path) -> None:
    if family == "convnext" and how.get("opset") == 9:
        pytest.skip("no layer normalisation that old")
    proto, _ = zoo.build(family, ending="none", **how)
    onnx.save(proto, tmp_path / "model.onnx")
    agreed = export(tmp_path / "model.onnx", tmp_path / "out.onnx", Export("dd-cam"), Wishes())

    assert agreed.outputs < (1e-5 if "dtype" not in how else 1e-2)
    assert agreed.others == 0
    inputs = zoo.pictures(1, how.get("layout", "NCHW"), how.get("dtype", "float32"))
    maps, units, sufficient, minimal = explained(tmp_path / "out.onnx", inputs)
    assert maps.shape == (1, 1, 16, 16)
    assert (sufficient.shape, minimal.shape) == ((1,), (1,))
    assert len(units) == 1


def test_what_nhwc_and_sigmoids_ask_for(zoo: Any, tmp_path: Path) -> None:
    proto, _ = zoo.build("plain", ending="softmax", layout="NHWC")
    onnx.save(proto, tmp_path / "model.onnx")
    assert export(tmp_path / "model.onnx", tmp_path / "out.onnx", Export("dd-cam"), Wishes()).others == 0


def test_a_class_that_is_not_decided_for_leaves_nothing_to_preserve(tmp_path: Path) -> None:
    demo = demo_path("digits_cnn_additive")
    file = written(demo, tmp_path, Export("dd-cam", preserve="label:three"))
    model = ddcam.load(demo)
    inputs = np.concatenate([prepare(p, model.opened.preprocessing, model.opened.picture)[0] for p in PICTURES])
    maps, units, sufficient, minimal = explained(file, inputs)
    of_three = np.array([ddcam.explain(model, picture).target.index == 3 for picture in PICTURES])

    assert of_three.any()
    assert not of_three.all()
    np.testing.assert_array_equal(sufficient, of_three)
    np.testing.assert_array_equal(minimal, of_three)
    np.testing.assert_array_equal(units.any(axis=1), of_three)
    np.testing.assert_array_equal(maps.any(axis=(1, 2, 3)), of_three)


def test_a_target_of_ones_own(tmp_path: Path) -> None:
    demo = demo_path("digits_cnn_interacting")
    asked = {"target": "three", "preserve": "confidence:0.5"}
    file = written(demo, tmp_path, Export("dd-cam", size="grid", **asked))
    model = ddcam.load(demo)
    inputs = np.concatenate([prepare(p, model.opened.preprocessing, model.opened.picture)[0] for p in PICTURES])
    for row, one in enumerate(inputs):
        found = find(Problem(model, one[None], question=Question(search="sweep"), **asked))
        assert tuple(np.flatnonzero(explained(file, inputs)[1][row])) == found.subset


def test_the_switch_gives_zeros_of_every_shape(tmp_path: Path) -> None:
    file = written(demo_path("digits_vit"), tmp_path, Export("dd-cam"))
    model = ddcam.load(demo_path("digits_vit"))
    inputs = np.repeat(model.opened.samples[:1], 2, axis=0)
    seen, unseen = explained(file, inputs), explained(file, inputs, explain=np.array(False))

    for on, off in zip(seen, unseen, strict=True):
        assert (on.shape, on.dtype) == (off.shape, off.dtype)
        assert on.any()
        assert not off.any()


def test_no_picture_is_no_answer(tmp_path: Path) -> None:
    file = written(demo_path("digits_cnn_additive"), tmp_path, Export("dd-cam"))
    model = ddcam.load(demo_path("digits_cnn_additive"))
    assert [value.shape[0] for value in explained(file, model.opened.samples[:0])] == [0, 0, 0, 0]


def test_only_standard_operators_are_added_and_the_file_is_explained_as_before(tmp_path: Path) -> None:
    demo = demo_path("digits_cnn_interacting")
    file = written(demo, tmp_path, Export("dd-cam", preserve="confidence:0.9"), units="cell")
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    told = {item.key: item.value for item in proto.metadata_props}

    assert {item.domain for item in proto.opset_import} <= {"", "ai.onnx"}
    assert (told["ddcam_method"], told["ddcam_preserve"], told["ddcam_units"]) == ("dd-cam", "confidence:0.9", "cell")
    plain, again = ddcam.load(demo), ddcam.load(file)
    assert [n.op_type for n in again.opened.graph.proto.graph.node] == [
        n.op_type for n in plain.opened.graph.proto.graph.node
    ]
    assert ddcam.explain(again, PICTURES[0]).attribution.subset == ddcam.explain(plain, PICTURES[0]).attribution.subset


@pytest.mark.parametrize("family", ["plain", "convolutional"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_last_layer_is_not_stored_again(family: str, layout: str, zoo: Any, tmp_path: Path) -> None:
    proto, _ = zoo.build(family, ending="none", layout=layout)
    onnx.save(proto, tmp_path / "model.onnx")
    export(tmp_path / "model.onnx", tmp_path / "out.onnx", Export("dd-cam"), Wishes())
    before = {tensor.name for tensor in proto.graph.initializer}
    added = [t for t in onnx.load(tmp_path / "out.onnx").graph.initializer if t.name not in before]
    effects = ddcam.load(tmp_path / "model.onnx").effects_by_class

    assert effects is not None
    assert not [t.name for t in added if np.prod(t.dims) == effects[:-1].size]


def test_a_wrong_mask_is_found_out(tmp_path: Path) -> None:
    file = written(demo_path("digits_cnn_additive"), tmp_path, Export("dd-cam"))
    proto = onnx.load(file)
    switch = proto.graph.node[-1]
    made = next(item.g for item in switch.attribute if item.name == "then_branch")
    made.node.append(onnx.helper.make_node("Sub", [made.output[1].name, made.output[1].name], ["nothing"]))
    made.output[1].name = "nothing"
    onnx.save(proto, tmp_path / "wrong.onnx")

    with pytest.raises(CheckError, match="does not certify"):
        check_export(tmp_path / "wrong.onnx", PICTURES, Wishes())


def test_what_has_no_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="selected in front of it"):
        written(demo_path("digits_cnn_additive"), tmp_path, Export("dd-cam"), units="patch")
    proto = onnx.load(demo_path("digits_cnn_additive"))
    proto.graph.output[0].name = "units"
    for node in proto.graph.node:
        node.output[:] = [
            "units" if name == node.output[0] and node is proto.graph.node[-1] else name for name in node.output
        ]
    onnx.save(proto, tmp_path / "taken.onnx")
    with pytest.raises(ModelError, match="has a tensor 'units' of its own"):
        export(tmp_path / "taken.onnx", tmp_path / "out.onnx", Export("dd-cam"), Wishes())

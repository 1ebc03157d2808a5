"""A model with its explanation inside gives what it gave, and the engine's map."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import helper

import ddcam
from ddcam import cli
from ddcam.engine import METHODS, Export, check_export, embedded, export
from ddcam.engine.errors import CheckError, ModelError, OptionError
from ddcam.engine.explain import at_input
from ddcam.engine.graph.build import Builder
from ddcam.engine.methods import method_named
from ddcam.engine.problem import Problem
from ddcam.engine.types import Wishes
from ddcam.models import demo_path, demo_pictures

GRAPHS = [name for name, method in METHODS.items() if method.formula and "attention" not in name]
VIT = ["grad-cam", "saliency", "attention-rollout", "attention-relevance"]
CASES = (
    [("cnn_interacting", name) for name in GRAPHS] + [("vit", name) for name in VIT] + [("cnn_additive", "grad-cam")]
)


def written(demo: str, asked: Export, tmp_path: Path) -> Path:
    file = tmp_path / "explained.onnx"
    export(demo_path(f"digits_{demo}"), file, asked, Wishes())
    return file


def session(file: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def branch(proto: onnx.ModelProto) -> onnx.GraphProto:
    """Return what runs where a map is asked for."""
    return next(item.g for item in proto.graph.node[-1].attribute if item.name == "then_branch")


def inputs_of(demo: str) -> tuple[ddcam.Model, np.ndarray]:
    model = ddcam.load(demo_path(f"digits_{demo}"))
    pictures = [ddcam.open_image(path) for path in demo_pictures()[:3]]
    return model, np.concatenate([ddcam.explain(model, p).arrays["input"] for p in pictures])


@pytest.mark.parametrize(("demo", "method"), CASES)
def test_every_graph_gives_the_engines_map_for_several_pictures_at_once(demo: str, method: str, tmp_path: Path) -> None:
    run = session(written(demo, Export(method), tmp_path))
    model, inputs = inputs_of(demo)
    name = run.get_inputs()[0].name
    plain = onnxruntime.InferenceSession(demo_path(f"digits_{demo}")).run(None, {name: inputs})
    *outputs, maps = run.run(None, {name: inputs})

    assert [item.name for item in run.get_inputs()] == [name]
    assert [item.name for item in run.get_outputs()][-1] == "saliency_map"
    for got, want in zip(outputs, plain, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
    for row, one in zip(maps, inputs, strict=True):
        grid_map = method_named(method)(Problem(model, one[None])).grid_map
        np.testing.assert_allclose(row[0], at_input(grid_map, model.split, model.opened.preprocessing), atol=1e-4)


def test_the_switch_gives_zeros_of_the_same_shape(tmp_path: Path) -> None:
    run = session(written("cnn_interacting", Export("saliency"), tmp_path))
    _, inputs = inputs_of("cnn_interacting")
    feeds = {run.get_inputs()[0].name: inputs}
    *seen, on = run.run(None, feeds)
    *unseen, off = run.run(None, {**feeds, "explain": np.array(False)})

    assert on.shape == off.shape
    assert on.any()
    assert not off.any()
    np.testing.assert_array_equal(seen[0], unseen[0])


def test_a_map_on_the_grid_is_as_fine_as_the_features(tmp_path: Path) -> None:
    run = session(written("cnn_interacting", Export("grad-cam", size="grid"), tmp_path))
    model, inputs = inputs_of("cnn_interacting")
    [maps] = run.run(["saliency_map"], {run.get_inputs()[0].name: inputs})

    assert maps.shape == (3, 1, *model.split.grid)
    assert maps.max((1, 2, 3)) == pytest.approx(1, abs=1e-6)


def test_a_chosen_class_is_explained_whatever_is_decided(tmp_path: Path) -> None:
    run = session(written("cnn_interacting", Export("grad-cam", target="three"), tmp_path))
    model, inputs = inputs_of("cnn_interacting")
    [maps] = run.run(["saliency_map"], {run.get_inputs()[0].name: inputs})
    for row, one in zip(maps, inputs, strict=True):
        grid_map = method_named("grad-cam")(
            Problem(model, one[None], target="three", preserve="confidence:0.9")
        ).grid_map
        np.testing.assert_allclose(row[0], at_input(grid_map, model.split, model.opened.preprocessing), atol=1e-4)


def test_only_standard_operators_and_metadata_are_added(tmp_path: Path) -> None:
    file = written("cnn_interacting", Export("lrp", target="three"), tmp_path)
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)

    assert {item.domain for item in proto.opset_import} <= {"", "ai.onnx"}
    told = {item.key: item.value for item in proto.metadata_props}
    assert (told["ddcam_method"], told["ddcam_size"]) == ("lrp", "input")
    assert embedded(file) == Export("lrp", "3", "input")
    assert embedded(demo_path("digits_vit")) is None


def test_what_the_model_computes_anyway_is_not_done_again(tmp_path: Path) -> None:
    proto = onnx.load(written("cnn_interacting", Export("saliency"), tmp_path))
    read = {name for node in branch(proto).node for name in node.input}

    assert proto.graph.input[0].name not in read  # the backward pass asks for what the forward pass made of it
    weights = [onnx.numpy_helper.to_array(tensor).tobytes() for tensor in proto.graph.initializer]
    large = [content for content in weights if len(content) > 1000]
    assert len(set(large)) == len(large)


@pytest.mark.parametrize("method", ["grad-cam", "saliency"])
@pytest.mark.parametrize("how", [{"opset": 7}, {"opset": 22, "layout": "NHWC"}, {"dtype": "float16"}, {"batch": 1}])
def test_any_operator_set_layout_and_precision(how: dict[str, Any], method: str, zoo: Any, tmp_path: Path) -> None:
    proto, _ = zoo.build("residual", ending="none", **how)
    onnx.save(proto, tmp_path / "model.onnx")
    found = export(tmp_path / "model.onnx", tmp_path / "out.onnx", Export(method), Wishes())

    assert found.maps < 1e-4
    assert found.outputs < (1e-5 if "dtype" not in how else 1e-2)
    run = session(tmp_path / "out.onnx")
    inputs = zoo.pictures(1, how.get("layout", "NCHW"), how.get("dtype", "float32"))
    assert run.run(["saliency_map"], {run.get_inputs()[0].name: inputs})[0].shape == (1, 1, 16, 16)


def test_an_exported_model_is_compared_with_the_engine_again(tmp_path: Path) -> None:
    file = written("cnn_interacting", Export("layer-cam", target="three"), tmp_path)
    pictures = [ddcam.open_image(path) for path in demo_pictures()]
    assert max(off for off, _ in check_export(file, pictures, Wishes())) < 1e-4

    proto = onnx.load(file)
    made = branch(proto)
    last = made.node[-1]
    made.node.append(helper.make_node("Sub", [last.output[0], last.output[0]], ["nothing"]))
    made.output[0].name = "nothing"
    onnx.save(proto, tmp_path / "wrong.onnx")
    with pytest.raises(CheckError, match="differs from the engine's"):
        check_export(tmp_path / "wrong.onnx", pictures, Wishes())
    with pytest.raises(OptionError, match="has none; ddcam export makes one"):
        check_export(demo_path("digits_vit"), pictures, Wishes())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Export("rise"), "expected a method that is a graph, rise is computed outside of one; take dd-cam, grad-cam"),
        (Export("grad-cam", preserve="top1"), "expected no predicate for grad-cam"),
        (Export("dd-cam", preserve="topk:10"), "topk can only be lost with more than 10 classes"),
        (Export("dd-cam", preserve="nonsense"), "unknown predicate 'nonsense'"),
        (Export("nonsense"), "nonsense"),
        (Export("grad-cam", size="huge"), "expected the size input or grid, got 'huge'"),
        (Export("grad-cam", target="elephant"), "elephant"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_nothing_is_written(asked: Export, message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=message):
        written("cnn_interacting", asked, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_with_a_tensor_of_that_name_is_refused(tmp_path: Path) -> None:
    proto = onnx.load(demo_path("digits_cnn_interacting"))
    for node in proto.graph.node:
        node.input[:] = ["explain" if name == proto.graph.input[0].name else name for name in node.input]
    proto.graph.input[0].name = "explain"
    onnx.save(proto, tmp_path / "taken.onnx")
    with pytest.raises(ModelError, match="has a tensor 'explain' of its own"):
        export(tmp_path / "taken.onnx", tmp_path / "out.onnx", Export(), Wishes())


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    file, picture = tmp_path / "out.onnx", str(demo_pictures()[0])
    runner = CliRunner()
    first = runner.invoke(cli.cli, ["export", str(demo_path("digits_vit")), "-o", str(file), "--method", "grad-cam"])
    again = runner.invoke(cli.cli, ["export", str(file), "-o", str(tmp_path / "twice.onnx")])
    checked = runner.invoke(cli.cli, ["check", str(file), picture])

    assert first.exit_code == again.exit_code == checked.exit_code == 0, first.output + again.output + checked.output
    assert f"written to {file}" in first.output
    assert "has the explanation of grad-cam inside already; nothing is written" in again.output
    assert not (tmp_path / "twice.onnx").exists()
    assert "the map is the engine's within" in checked.output


def test_names_of_ours_give_way(tmp_path: Path) -> None:
    proto = onnx.load(demo_path("digits_cnn_interacting"))
    op = Builder("ddcam_map_", 18)
    taken = op.name("Mul")
    old = proto.graph.node[0].output[0]
    for node in proto.graph.node:
        node.input[:] = [taken if name == old else name for name in node.input]
    proto.graph.node[0].output[0] = taken
    onnx.save(proto, tmp_path / "taken.onnx")
    export(tmp_path / "taken.onnx", tmp_path / "out.onnx", Export("saliency"), Wishes())

    assert embedded(tmp_path / "out.onnx") is not None


@pytest.mark.parametrize("method", ["grad-cam", "dd-cam"])
def test_a_batch_that_an_output_declares_and_does_not_keep_is_free(method: str, tmp_path: Path) -> None:
    proto = onnx.load(demo_path("digits_cnn_interacting"))
    flat = next(node for node in proto.graph.node if node.op_type == "Flatten").output[0]
    proto.graph.output.append(helper.make_tensor_value_info(flat, onnx.TensorProto.FLOAT, [128, None]))
    width = ddcam.load(demo_path("digits_cnn_interacting")).opened.measured.values[flat].shape[1]
    proto.graph.output[-1].type.tensor_type.shape.dim[1].dim_value = width
    onnx.save(proto, tmp_path / "stale.onnx")
    export(tmp_path / "stale.onnx", tmp_path / "out.onnx", Export(method), Wishes())

    outputs = {item.name: item.shape for item in session(tmp_path / "out.onnx").get_outputs()}
    assert outputs[flat][1:] == [width]
    assert outputs[flat][0] != 128


def test_a_map_may_differ_by_a_kink_but_not_more() -> None:
    from ddcam.engine.export import map_error  # noqa: PLC0415  (the name `export` is that of the function)

    model, want = ddcam.load(demo_path("digits_vit")), np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    kinked, wrong = want.copy(), want.copy()
    kinked[3, 3] += 8e-4
    wrong[3:9] += 8e-3
    assert map_error(kinked, want, model) == pytest.approx(8e-4, rel=1e-3)
    with pytest.raises(CheckError, match=r"by 0\.008 of 1"):
        map_error(wrong, want, model)

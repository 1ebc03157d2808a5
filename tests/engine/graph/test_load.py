"""A model file is read with all its weights, or refused before anything is run."""

import hashlib
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from ddcam.engine.errors import CheckError, ModelError, UnsafeModelError
from ddcam.engine.graph.external import contained, inline_external_data
from ddcam.engine.graph.load import check, one_line, opset, read_model, valid_bytes


@pytest.fixture
def plain(zoo) -> onnx.ModelProto:
    return zoo.build("plain")[0]


def outside(proto: onnx.ModelProto, *, location: str = "weights.bin") -> bytes:
    """Move the weights out of a model; return what the file that holds them must contain."""
    content = b""
    for tensor in proto.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        point(tensor, location=location, offset=len(content), length=len(raw))
        content += raw
    return content


def point(tensor: onnx.TensorProto, **entries: object) -> None:
    tensor.ClearField("raw_data")
    del tensor.external_data[:]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=str(v)) for key, v in entries.items())


def test_file_is_read_as_it_is(plain, tmp_path):
    plain.metadata_props.add(key="author", value="somebody")
    path = tmp_path / "model.onnx"
    onnx.save(plain, path)

    graph = read_model(str(path))

    assert (graph.proto, graph.path, graph.opset) == (plain, path, 17)
    assert graph.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (graph.metadata, graph.notes) == ({"author": "somebody"}, ())


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "parts/weights.bin", "a b ü.bin"])
def test_weights_beside_the_model_are_brought_inside(plain, tmp_path, zoo, location):
    expected = zoo.run(plain, {"picture": zoo.pictures(1)})[0]
    content = outside(plain, location=location)
    (tmp_path / location).parent.mkdir(exist_ok=True)
    (tmp_path / location).write_bytes(content)
    onnx.save(plain, tmp_path / "model.onnx")

    graph = read_model(tmp_path / "model.onnx")

    assert not any(tensor.external_data for tensor in graph.proto.graph.initializer)
    np.testing.assert_array_equal(zoo.run(graph.proto, {"picture": zoo.pictures(1)})[0], expected)
    own = (tmp_path / "model.onnx").read_bytes()
    assert graph.sha256 == hashlib.sha256(own + content).hexdigest(), "the weights are part of the model"


def test_offset_without_length_reads_to_the_end(plain, tmp_path):
    tensor = plain.graph.initializer[0]
    raw = numpy_helper.to_array(tensor).tobytes()
    (tmp_path / "w").write_bytes(b"before" + raw)
    point(tensor, location="w", offset=6)

    assert inline_external_data(plain, tmp_path / "model.onnx") == [raw]
    assert tensor.raw_data == raw


def test_weights_inside_nodes_and_functions_are_found(tmp_path):
    (tmp_path / "w").write_bytes(np.float32([1, 2]).tobytes())
    tensors = [helper.make_tensor(name, TensorProto.FLOAT, [2], [0, 0]) for name in "abc"]
    for tensor in tensors:
        del tensor.float_data[:]
        point(tensor, location="w")
    constant, inner = (helper.make_node("Constant", [], [name], value=tensors[i]) for i, name in enumerate("ab"))
    branch = helper.make_graph([inner], "branch", [], [])
    proto = helper.make_model(
        helper.make_graph([constant, helper.make_node("If", ["c"], ["y"], then_branch=branch)], "g", [], []),
        functions=[
            helper.make_function("d", "F", [], ["o"], [helper.make_node("Constant", [], ["o"], value=tensors[2])], [])
        ],
    )

    assert len(inline_external_data(proto, tmp_path / "model.onnx")) == 3


@pytest.mark.parametrize(
    ("kind", "text", "entries"),
    [
        (UnsafeModelError, "outside the model's folder", {"location": "../w"}),
        (UnsafeModelError, "outside the model's folder", {"location": "sub/../../w"}),
        (UnsafeModelError, "outside the model's folder", {"location": r"..\w"}),
        (UnsafeModelError, "outside the model's folder", {"location": "/etc/hostname"}),
        (UnsafeModelError, "outside the model's folder", {"location": r"C:\w"}),
        (UnsafeModelError, "outside the model's folder", {"location": ""}),
        (UnsafeModelError, "outside the model's folder", {}),
        (UnsafeModelError, "a link or no regular file", {"location": "soft"}),
        (UnsafeModelError, "a link or no regular file", {"location": "hard"}),
        (UnsafeModelError, "a link or no regular file", {"location": "sub"}),
        (UnsafeModelError, "a link leads out", {"location": "linked/w"}),
        (ModelError, "no such file", {"location": "none"}),
        (ModelError, "no such file", {"location": "a\0b"}),
        (ModelError, "must be numbers", {"location": "w", "offset": "x"}),
        (ModelError, "expected 8 bytes at 1 in w, the file has 8", {"location": "w", "offset": 1, "length": 8}),
        (ModelError, "expected 9 bytes at 0", {"location": "w", "length": 9}),
        (ModelError, "expected 4 bytes at -4", {"location": "w", "offset": -4, "length": 4}),
        (ModelError, "expected -1 bytes", {"location": "w", "length": -1}),
        (ModelError, "at 9 in w", {"location": "w", "offset": 9}),
    ],
)
def test_weights_elsewhere_or_missing_are_refused(plain, tmp_path, kind, text, entries):
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    for path in (tmp_path / "w", home / "w", tmp_path / "original"):
        path.write_bytes(bytes(8))
    (home / "soft").symlink_to(home / "w")
    os.link(tmp_path / "original", home / "hard")
    (home / "linked").symlink_to(tmp_path)
    point(plain.graph.initializer[0], **entries)

    with pytest.raises(ModelError, match=text) as error:
        inline_external_data(plain, home / "model.onnx")

    assert type(error.value) is kind
    assert repr(plain.graph.initializer[0].name) in str(error.value)


def test_contained_file_is_returned(tmp_path):
    (tmp_path / "w").write_bytes(b"1")

    assert contained("w", tmp_path, "tensor") == tmp_path / "w"


def test_more_weights_than_are_read_are_refused(plain, tmp_path, monkeypatch):
    content = outside(plain)
    (tmp_path / "weights.bin").write_bytes(content)
    monkeypatch.setattr("ddcam.engine.graph.external.LARGEST_TOTAL", len(content) - 1)

    with pytest.raises(ModelError, match=r"the weights of .* are 0\.0 GiB; ddcam reads models of up to"):
        inline_external_data(plain, tmp_path / "model.onnx")


def test_weights_are_counted_before_any_is_read(plain, tmp_path, monkeypatch):
    """Its weights are a sparse file: 2.2 GB that take no room."""
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(9 * 2**28)
    for i in range(9):
        tensor = plain.graph.initializer.add(name=f"large{i}", data_type=onnx.TensorProto.FLOAT, dims=[2**13, 2**13])
        point(tensor, location="weights.bin", offset=str(i * 2**28), length=str(2**28))
    onnx.save(plain, tmp_path / "model.onnx")
    monkeypatch.setattr("ddcam.engine.graph.external.read_block", lambda *_: pytest.fail("a block was read"))
    monkeypatch.setattr("ddcam.engine.graph.external.LARGEST_TOTAL", 2**31)

    with pytest.raises(ModelError, match=r"the weights of .* are 2.2 GiB; ddcam reads models of up to 2 GiB"):
        read_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("heavy", [False, True])
def test_local_functions_are_inlined(zoo, tmp_path, monkeypatch, heavy):
    """A function of a domain of its own, which calls another one."""
    draft = zoo.Draft()
    x = draft.add("Relu", draft.conv(draft.picture(), 3, 8, 5, strides=[4, 4]))
    x = draft.add("Twice", x, "features", domain="own")
    draft.dense(draft.add("Flatten", draft.add("GlobalAveragePool", x)), 8, 5, "logits")
    proto = draft.model("logits")
    proto.opset_import.append(helper.make_opsetid("own", 1))
    standard = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    half = helper.make_function("own", "Half", ["a"], ["b"], [helper.make_node("Tanh", ["a"], ["b"])], standard)
    nodes = [helper.make_node("Half", ["a"], ["t"], domain="own"), helper.make_node("Add", ["t", "a"], ["b"])]
    proto.functions.extend([half, helper.make_function("own", "Twice", ["a"], ["b"], nodes, standard)])
    onnx.save(proto, tmp_path / "model.onnx")
    if heavy:
        monkeypatch.setattr("ddcam.engine.graph.content.MOST", 0)

    graph = read_model(tmp_path / "model.onnx")

    assert not graph.proto.functions
    assert [n.op_type for n in graph.proto.graph.node][2:4] == ["Tanh", "Add"]
    assert graph.proto.graph.node[3].output[0] == "features"
    picture = {"picture": zoo.pictures(1)}
    np.testing.assert_array_equal(zoo.run(graph.proto, picture)[0], zoo.run(proto, picture)[0])


@pytest.mark.parametrize("kind", [onnx.TensorProto.UNDEFINED, 999])
def test_a_weight_of_no_known_type_beside_a_local_function_is_refused(tmp_path, kind):
    body = helper.make_function("own", "Half", ["a"], ["b"], [helper.make_node("Tanh", ["a"], ["b"])], [])
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Half", ["x"], ["y"], domain="own")], "graph", ends[:1], ends[1:])
    graph.initializer.append(onnx.TensorProto(name="w", data_type=kind, dims=[2]))
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    proto = helper.make_model(graph, opset_imports=sets, functions=[body], ir_version=8)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())

    with pytest.raises(ModelError, match="not valid ONNX"):
        read_model(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("is empty", b""),
        ("cannot parse it", b"\xff\xff\xff"),
        ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        ("holds no graph", onnx.ModelProto(ir_version=8).SerializeToString()),
    ],
)
def test_files_that_are_no_model_are_refused(tmp_path, text, content):
    (tmp_path / "model.onnx").write_bytes(content)

    with pytest.raises(ModelError, match=text):
        read_model(tmp_path / "model.onnx")


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(ModelError, match="no such model file"):
        read_model(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is not a regular file"):
        read_model(tmp_path)


def test_invalid_models_are_refused(plain, tmp_path):
    def refused(proto: onnx.ModelProto, text: str) -> None:
        onnx.save(proto, tmp_path / "model.onnx")
        with pytest.raises(ModelError, match=text):
            read_model(tmp_path / "model.onnx")

    broken = onnx.ModelProto()
    broken.CopyFrom(plain)
    broken.graph.node[0].input[0] = "nowhere"
    refused(broken, "the model is not valid ONNX: .*nowhere")
    del broken.opset_import[:]
    refused(broken, "names no operator set")
    broken.CopyFrom(plain)
    broken.graph.initializer[0].raw_data = b"1234"
    refused(broken, "weight|raw_data|valid ONNX")
    foreign = onnx.ModelProto()
    foreign.CopyFrom(plain)
    foreign.graph.node[1].domain = "somebody.else"
    refused(foreign, "custom operator somebody.else::Relu")


def test_shape_that_contradicts_inference_is_noted(plain):
    plain.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 7

    [note] = check(plain)

    assert note.startswith("shape inference disagrees with the file: ")
    assert "\n" not in note


def test_graphs_of_our_own_are_checked_before_they_are_written(plain):
    assert onnx.load_from_string(valid_bytes(plain, "head.onnx")) == plain
    plain.graph.node[0].op_type = "Nonsense"

    with pytest.raises(CheckError, match=r"head.onnx came out invalid: .*Nonsense.*; please report this model"):
        valid_bytes(plain, "head.onnx")


def test_messages_are_cut_to_one_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(ValueError("x" * 300)) == "x" * 197 + "..."


def test_operator_set_is_the_standard_one():
    graph = helper.make_graph([], "g", [], [])
    both = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid("ai.onnx", 12)]

    assert opset(helper.make_model(graph, opset_imports=both)) == 12
    with pytest.raises(UnsafeModelError, match="imports no standard operator set"):
        opset(helper.make_model(graph, opset_imports=both[:1]))


def test_path_may_be_relative(plain, tmp_path, monkeypatch):
    (tmp_path / "weights.bin").write_bytes(outside(plain))
    onnx.save(plain, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)

    assert read_model("model.onnx").path == Path("model.onnx")

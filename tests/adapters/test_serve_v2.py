"""The Open Inference Protocol over HTTP: tensors as JSON and as bytes, the explanation one more named output."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from serving import FILES, IN_BASE64, Answer, Client, running, served_demo, served_file

from ddcam.engine import Export, Wishes, export
from ddcam.engine.explain import at_input
from ddcam.engine.explainer import Decision
from ddcam.models import DEMOS, demo_path

INFER = "/v2/models/digits/infer"
LENGTH = "Inference-Header-Content-Length"
EXPLAINED = ["saliency_map", "units", "sufficient", "minimal"]


@pytest.fixture(scope="module", params=DEMOS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with running(served_demo(request.param)) as client:
        yield client


@pytest.fixture(scope="module")
def one() -> Iterator[Client]:
    with running(served_demo()) as client:
        yield client


def inputs(client: Client) -> NDArray[Any]:
    """Return the demo pictures as the model takes them, `[6, 1, 32, 32]`."""
    served = client.served
    return np.concatenate([client.explainer.prepare(served.open_picture("x", file)).inputs for file in FILES])


def own_of(client: Client, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Run the file itself."""
    session = onnxruntime.InferenceSession(client.explainer.model.opened.graph.path)
    names = [output.name for output in session.get_outputs()]
    runs = [session.run(names, {session.get_inputs()[0].name: value[None]}) for value in values]
    return dict(zip(names, map(np.concatenate, zip(*runs, strict=True)), strict=True))


def explained_of(client: Client, values: NDArray[Any]) -> dict[str, NDArray[Any]]:
    model, found = client.explainer.model, client.explainer.decide([value[None] for value in values])
    decided = [one for one in found if isinstance(one, Decision)]
    masks = np.zeros((len(found), model.split.count), np.float32)
    for mask, one in zip(masks, decided, strict=True):
        mask[list(one.attribution.subset or ())] = 1
    maps = [at_input(one.attribution.grid_map, model.split, model.opened.preprocessing) for one in decided]
    proofs = [one.attribution.certificate for one in decided]
    flags = [(proof is not None and proof.sufficient, proof is not None and proof.minimal) for proof in proofs]
    sufficient, minimal = np.array(flags).T
    return dict(zip(EXPLAINED, (np.stack(maps)[:, None], masks, sufficient, minimal), strict=True))


def tensors_of(answer: Answer) -> dict[str, NDArray[Any]]:
    """Read an answer, binary or not."""
    kinds: dict[str, Any] = {"FP32": np.float32, "BOOL": np.bool_}
    length = int(answer.headers.get(LENGTH.lower(), len(answer.body)))
    told, rest, found = json.loads(answer.body[:length]), answer.body[length:], {}
    for one in told["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        flat = (
            np.array(one["data"], kinds[one["datatype"]])
            if size is None
            else np.frombuffer(rest[:size], kinds[one["datatype"]])
        )
        rest = rest[size or 0 :]
        found[one["name"]] = flat.reshape(one["shape"])
    assert not rest
    return found


def tensor(name: str, values: NDArray[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": list(values.shape), "data": values.ravel().tolist()}


def require_equal(got: dict[str, NDArray[Any]], expected: dict[str, NDArray[Any]]) -> None:
    assert list(got) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=0, atol=1e-6, err_msg=name)


# ----- what there is -----


def test_server_and_model_are_described(one: Client) -> None:
    server, model = one.ask("/v2").json, one.ask("/v2/models/digits").json

    assert (server["name"], server["extensions"]) == ("ddcam", ["binary_tensor_data"])
    assert model["inputs"] == [
        {"name": "image", "datatype": "BYTES", "shape": [-1]},
        {"name": "input", "datatype": "FP32", "shape": [-1, 1, 32, 32]},
    ]
    assert [each["name"] for each in model["outputs"]] == ["logits", *EXPLAINED]
    assert one.ask("/v2/models/digits/versions/1").json == model


@pytest.mark.parametrize(
    "path", ["health/live", "health/ready", "models/digits/ready", "models/digits/versions/1/ready"]
)
def test_health_is_told(one: Client, path: str) -> None:
    assert one.ask(f"/v2/{path}").code == 200


def test_other_models_and_versions_are_not_there(one: Client) -> None:
    paths = ["models/cats", "models/cats/ready", "models/digits/versions/2", "models/digits/versions/2/ready"]
    assert [one.ask(f"/v2/{path}").code for path in paths] == [404] * 4
    assert one.ask("/v2/models/cats/infer", {}).json == {"error": "expected the model 'digits', got 'cats'"}


# ----- infer -----


def test_own_tensors_and_outputs_are_those_of_the_file(client: Client) -> None:
    values, name = inputs(client), client.served.first.own.input.name
    expected = own_of(client, values)
    asked = {"id": "7", "inputs": [tensor(name, values)], "outputs": [{"name": one} for one in expected]}

    answer = client.ask(INFER, asked)

    told = answer.json
    assert (told["model_name"], told["model_version"], told["id"]) == ("digits", "1", "7")
    for key, value in tensors_of(answer).items():
        np.testing.assert_array_equal(value, expected[key])


def test_all_outputs_come_where_none_is_named(client: Client) -> None:
    values, name = inputs(client), client.served.first.own.input.name

    answer = client.ask(INFER, {"inputs": [tensor(name, values)]})

    require_equal(tensors_of(answer), own_of(client, values) | explained_of(client, values))


def test_bytes_come_and_go_as_bytes(client: Client) -> None:
    values = inputs(client)
    data = b"".join(struct.pack("<I", len(file)) + file for file in FILES)
    image = {"name": "image", "datatype": "BYTES", "shape": [6, 1], "parameters": {"binary_data_size": len(data)}}
    header = json.dumps({"inputs": [image], "parameters": {"binary_data_output": True}}).encode()

    answer = client.ask(INFER, header + data, {LENGTH: str(len(header))})

    assert answer.headers["content-type"] == "application/octet-stream"
    require_equal(tensors_of(answer), own_of(client, values) | explained_of(client, values))


def test_one_output_may_be_binary_and_another_not(one: Client) -> None:
    values = inputs(one)[:2]
    data = values.tobytes()
    told = tensor("input", values) | {"parameters": {"binary_data_size": len(data)}}
    del told["data"]
    outputs = [{"name": "units", "parameters": {"binary_data": True}}, {"name": "minimal"}]
    header = json.dumps({"inputs": [told], "outputs": outputs}).encode()

    answer = one.ask(INFER, header + data, {LENGTH: str(len(header))})

    expected = explained_of(one, values)
    require_equal(tensors_of(answer), {name: expected[name] for name in ("units", "minimal")})


def test_files_in_json_are_base64(one: Client) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [2], "data": IN_BASE64[:2]}
    asked = {"inputs": [image], "outputs": [{"name": "saliency_map"}]}

    answer = one.ask("/v2/models/digits/versions/1/infer", asked)

    expected = explained_of(one, inputs(one)[:2])
    require_equal(tensors_of(answer), {"saliency_map": expected["saliency_map"]})


@pytest.mark.parametrize(("wanted", "unasked"), [("logits", "decide"), ("units", "run")])
def test_only_what_is_asked_for_is_computed(
    one: Client, wanted: str, unasked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise AssertionError(f"{unasked} was not asked for")

    target = one.explainer if unasked == "decide" else type(one.served.first.own)
    monkeypatch.setattr(target, unasked, fail)

    answer = one.ask(INFER, {"inputs": [tensor("input", inputs(one))], "outputs": [{"name": wanted}]})

    assert answer.code == 200, answer.body
    assert list(tensors_of(answer)) == [wanted]


def test_outputs_are_called_what_an_exported_model_calls_them(one: Client, tmp_path: Path) -> None:
    file = tmp_path / "explained.onnx"
    export(demo_path("digits_cnn_additive"), file, Export("dd-cam"), Wishes())
    kinds = {"tensor(float)": "FP32", "tensor(bool)": "BOOL"}
    session = onnxruntime.InferenceSession(file)
    exported = [(output.name, kinds[output.type], output.shape[1:]) for output in session.get_outputs()]

    told = one.ask("/v2/models/digits").json["outputs"]

    assert [(each["name"], each["datatype"], each["shape"][1:]) for each in told] == exported


def test_a_batch_that_the_file_fixes_is_free_here(tmp_path: Path) -> None:
    made = onnx.load(demo_path("digits_cnn_additive"))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(made, tmp_path / "fixed.onnx")
    with running(served_file(tmp_path / "fixed.onnx")) as client:
        told = client.ask("/v2/models/digits").json
        values = inputs(client)
        answer = client.ask(INFER, {"inputs": [tensor("input", values)], "outputs": [{"name": "logits"}]})
        expected = own_of(client, values)
    assert told["inputs"][1]["shape"] == [-1, 1, 32, 32]
    assert told["outputs"][0] == {"name": "logits", "datatype": "FP32", "shape": [-1, 10]}
    np.testing.assert_array_equal(tensors_of(answer)["logits"], expected["logits"])


def test_a_method_without_a_subset_has_the_map_alone() -> None:
    with running(served_demo(method="grad-cam")) as client:
        assert [each["name"] for each in client.ask("/v2/models/digits").json["outputs"]] == ["logits", "saliency_map"]
        asked = {"inputs": [tensor("input", inputs(client))], "outputs": [{"name": "units"}]}
        assert "among logits, saliency_map, got 'units'" in client.ask(INFER, asked).json["error"]


OK = {"name": "input", "datatype": "FP32", "shape": [1, 1, 32, 32], "data": [0.5] * 1024}
WRONG: dict[str, tuple[Any, str]] = {
    "no JSON": (b"\x00\x01", "expected JSON"),
    "no inputs": ({}, "expected one input, 'image' or 'input', got none"),
    "an unknown input": ({"inputs": [OK | {"name": "x"}]}, "got 'x'"),
    "two inputs": ({"inputs": [OK, {"name": "image", "datatype": "BYTES", "shape": [1], "data": ["x"]}]}, "one input"),
    "no name": ({"inputs": [{"datatype": "FP32"}]}, "objects with a name"),
    "no datatype": ({"inputs": [OK | {"datatype": "FLOAT"}]}, "got 'FLOAT'"),
    "another datatype": ({"inputs": [OK | {"datatype": "FP64"}]}, "expected input float32[?, 1, 32, 32]"),
    "no shape": ({"inputs": [OK | {"shape": None}]}, "expected a shape"),
    "a negative shape": ({"inputs": [OK | {"shape": [-1, 1, 32, 32]}]}, "expected a shape"),
    "a huge shape": ({"inputs": [OK | {"shape": [2**31 - 1] * 16}]}, "elements for the input 'input', got 1024"),
    "another shape": ({"inputs": [OK | {"shape": [1, 1024]}]}, "expected input float32[?, 1, 32, 32]"),
    "no rows": ({"inputs": [OK | {"shape": [0, 1, 32, 32], "data": []}]}, "expected input float32"),
    "no axes": ({"inputs": [OK | {"shape": [], "data": [1]}]}, "expected input float32"),
    "too few numbers": ({"inputs": [OK | {"data": [1, 2]}]}, "expected 1024 elements"),
    "texts": ({"inputs": [OK | {"data": ["1"] * 1024}]}, "expected float32 numbers"),
    "numbers above the type": ({"inputs": [OK | {"data": [1e300] * 1024}]}, "expected float32 numbers"),
    "uneven": ({"inputs": [OK | {"data": [[1], [1, 2]]}]}, "uneven lists"),
    "no data": ({"inputs": [{k: v for k, v in OK.items() if k != "data"}]}, "to have data"),
    "not finite": (
        b'{"inputs":[' + json.dumps(OK).replace("0.5", "NaN").encode() + b"]}",
        "scores that are not finite",
    ),
    "unknown output": ({"inputs": [OK], "outputs": [{"name": "boxes"}]}, "got 'boxes'"),
    "shared memory": (
        {"inputs": [OK | {"parameters": {"shared_memory_region": "x"}}]},
        "'shared_memory_region', which this server does not have",
    ),
    "classification": (
        {"inputs": [OK], "outputs": [{"name": "logits", "parameters": {"classification": 3}}]},
        "'classification', which this server does not have",
    ),
    "more bytes than there are": ({"inputs": [OK | {"parameters": {"binary_data_size": 9}}]}, "expected 9 bytes"),
    "a file in no base64": (
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": ["?"]}]},
        "base64",
    ),
    "a number as a file": (
        {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [1]}]},
        "got a int",
    ),
    "no files": ({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [0], "data": []}]}, "expected files"),
    "a picture as numbers": ({"inputs": [OK | {"name": "image"}]}, "expected files of pictures (BYTES)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_a_line(one: Client, name: str) -> None:
    body, expected = WRONG[name]

    answer = one.ask(INFER, body)

    assert answer.code == 400, answer.body
    assert expected in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert one.number("ddcam_pictures_under_way") == 0


@pytest.mark.parametrize("length", ["-1", "99999999", "x", "9" * 5000, "0" * 5000, "²"])
def test_a_wrong_length_of_the_json_is_refused(one: Client, length: str) -> None:
    answer = one.ask(INFER, b"{}", {LENGTH: length.encode("latin-1", "replace").decode("latin-1")})

    assert answer.code == 400
    assert "error" in answer.json


@pytest.mark.parametrize("data", [b"\x05", b"\x05\0\0\0abc", b"\xff\xff\xff\xffabc", b"\0\0\0\0"])
def test_broken_elements_are_refused(one: Client, data: bytes) -> None:
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data)}}
    header = json.dumps({"inputs": [image]}).encode()

    assert one.ask(INFER, header + data, {LENGTH: str(len(header))}).code == 400

"""KServe's protocol V1 over HTTP: what is answered is what the engine says, and what is refused is said in a line."""

import base64
import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from PIL import Image
from serving import FILES, IN_BASE64, PICTURES, Client, running, served_demo, served_file

import ddcam
from ddcam.engine.explain import at_input
from ddcam.engine.render import from_map
from ddcam.models import DEMOS


@pytest.fixture(scope="module", params=DEMOS)
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    with running(served_demo(request.param)) as client:
        yield client


@pytest.fixture(scope="module")
def one() -> Iterator[Client]:
    with running(served_demo()) as client:
        yield client


def test_predictions_are_the_models(client: Client) -> None:
    instances = [{"b64": text} for text in IN_BASE64]

    answer = client.ask("/v1/models/digits:predict", {"instances": instances})

    assert answer.code == 200
    for told, path in zip(answer.json["predictions"], PICTURES, strict=True):
        expected = ddcam.explain(client.explainer.model, path).top
        assert [each["index"] for each in told["top"]] == [each.index for each in expected]
        assert told["label"] == expected[0].label == told["top"][0]["label"]
        assert told["probability"] == pytest.approx(expected[0].probability, abs=1e-6)


@pytest.mark.parametrize("form", ["b64", "image_bytes", "numbers"])
def test_a_picture_may_come_in_three_forms(one: Client, form: str) -> None:
    pixels = ddcam.open_image(PICTURES[0]).pixels.tolist()
    instance = {"b64": {"b64": IN_BASE64[0]}, "image_bytes": {"image_bytes": {"b64": IN_BASE64[0]}}, "numbers": pixels}

    told = one.ask("/v1/models/digits:predict", {"instances": [instance[form]]}).json["predictions"]

    assert told[0]["label"] == "five"


def test_explanations_are_the_engines(client: Client) -> None:
    instances = [{"b64": text} for text in IN_BASE64]

    told = client.ask("/v1/models/digits:explain", {"instances": instances}).json["explanations"]

    for one, path in zip(told, PICTURES, strict=True):
        expected = ddcam.explain(client.explainer.model, path)
        proof = expected.attribution.certificate
        assert proof is not None
        assert one["subset"] == list(expected.attribution.subset or ())
        assert one["target"]["label"] == expected.target.label
        assert (one["text"], one["predicate"], one["outcome"]) == (expected.text, "top1", expected.attribution.outcome)
        assert one["certificate"]["holds"] is proof.holds
        assert one["placement"] == asdict(expected.placement)
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["saliency_map"]["b64"]))))
        np.testing.assert_array_equal(found, from_map(expected.saliency))


def test_a_map_may_come_as_numbers_or_not_at_all(client: Client) -> None:
    def told(form: str) -> Any:
        asked = {"instances": [{"b64": IN_BASE64[0]}], "parameters": {"saliency_map": form}}
        return client.ask("/v1/models/digits:explain", asked).json["explanations"][0]["saliency_map"]

    model = client.explainer.model
    expected = ddcam.explain(model, PICTURES[0])
    shown = at_input(expected.attribution.grid_map, expected.split, expected.preprocessing)
    np.testing.assert_allclose(np.array(told("numbers")), shown, atol=1e-5)
    assert told("none") is None


def test_method_and_predicate_are_the_servers() -> None:
    with running(served_demo(method="grad-cam", target="3", preserve="topk:9")) as client:
        told = client.ask("/v1/models/digits:explain", {"instances": [{"b64": IN_BASE64[0]}]}).json["explanations"][0]
        assert (told["method"], told["target"]["index"], told["subset"]) == ("grad-cam", 3, None)
        assert client.number('ddcam_explanations_total{outcome="map"}') == 1


def test_models_are_listed(one: Client) -> None:
    assert one.ask("/v1/models").json == {"models": ["digits"]}
    assert one.ask("/v1/models/digits").json == {"name": "digits", "ready": True}


NUMBERS = np.zeros((32, 32, 3), int)
HEADER = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
BOMB = FILES[0][:12] + HEADER + struct.pack(">I", zlib.crc32(HEADER)) + FILES[0][33:]
WRONG = {
    "no JSON": (b"hello", "expected JSON"),
    "not UTF-8": (b"\xff\xfe{", "expected JSON"),
    "deep": (b"[" * 100_000, "expected JSON"),
    "a list": ([], "expected a JSON object, got a list"),
    "no instances": ({}, "at least one picture"),
    "empty": ({"instances": []}, "at least one picture"),
    "instances of another kind": ({"instances": 5}, "'instances' to be a list"),
    "a text": ({"instances": ["x"]}, "for instance 0, got a str"),
    "another object": ({"instances": [{"url": "file:///etc/passwd"}]}, "got an object of 'url'"),
    "no base64": ({"instances": [{"b64": "???"}]}, "expected the base64"),
    "not ASCII": ({"instances": [{"b64": "é"}]}, "expected the base64"),
    "no picture": ({"instances": [{"b64": base64.b64encode(b"hello").decode()}]}, "'instance 0', got something else"),
    "the second": ({"instances": [{"b64": IN_BASE64[0]}, {"b64": ""}]}, "'instance 1'"),
    "cut": ({"instances": [{"b64": base64.b64encode(FILES[0][:200]).decode()}]}, "expected a whole PNG picture"),
    "a bomb": ({"instances": [{"b64": base64.b64encode(BOMB).decode()}]}, "expected up to 25000000 pixels"),
    "an archive": ({"instances": [{"b64": base64.b64encode(b"PK\x03\x04" + bytes(99)).decode()}]}, "something else"),
    "uneven": ({"instances": [[[1, 2], [3]]]}, "lists of equal lengths"),
    "texts among them": ({"instances": [[["a", "b"]]]}, "expected nested numbers"),
    "too large numbers": ({"instances": [(NUMBERS + 256).tolist()]}, "whole numbers from 0 to 255"),
    "huge numbers": ({"instances": [[[10**400]]]}, "nested numbers"),
    "not finite": (b'{"instances": [[[[NaN, 1, 2]]]]}', "whole numbers from 0 to 255"),
    "fractions": ({"instances": [(NUMBERS + 0.5).tolist()]}, "whole numbers from 0 to 255"),
    "axes": ({"instances": [[[[[1]]]]]}, "expected pixels [H, W]"),
    "unknown parameter": ({"instances": [{"b64": IN_BASE64[0]}], "parameters": {"x": 1}}, "got 'x'"),
    "unknown form": ({"instances": [{"b64": "x"}], "parameters": {"saliency_map": "jpg"}}, "got 'jpg'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_a_line(one: Client, name: str) -> None:
    body, expected = WRONG[name]

    answer = one.ask("/v1/models/digits:explain", body)

    assert answer.code == 400
    assert list(answer.json) == ["error"]
    assert expected in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert "Traceback" not in answer.json["error"]
    assert one.number("ddcam_pictures_under_way") == 0


def test_other_models_paths_and_verbs_are_not_there(one: Client) -> None:
    assert one.ask("/v1/models/cats:predict", {"instances": []}).json == {
        "error": "expected the model 'digits', got 'cats'"
    }
    assert one.ask("/v1/models/cats").code == one.ask("/nothing").code == 404
    assert one.ask("/v1/models", {}).code == 405
    assert list(one.ask("/nothing").json) == ["error"]


def test_a_model_of_arrays_takes_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "bands.onnx"
    onnx.save(bands_model(rng), file)
    array = rng.normal(size=(16, 16, 5)).astype(np.float32)
    stream = io.BytesIO()
    np.save(stream, array)
    packed = io.BytesIO()
    np.savez_compressed(packed, array)

    with running(served_file(file)) as client:
        forms: list[Any] = [array.tolist(), {"b64": base64.b64encode(stream.getvalue()).decode()}]
        told = client.ask("/v1/models/digits:predict", {"instances": forms}).json["predictions"]
        expected = client.explainer(array).top[0]
        archive = {"instances": [{"b64": base64.b64encode(packed.getvalue()).decode()}]}
        refused = client.ask("/v1/models/digits:predict", archive)

    assert [one["index"] for one in told] == [expected.index] * 2
    assert told[0]["logit"] == pytest.approx(expected.logit, abs=1e-5)
    assert refused.code == 400, "what is unpacked could have any size"


def bands_model(rng: np.random.Generator) -> onnx.ModelProto:
    """Make a model of five bands: a convolution, pooling, two classes."""
    weights = {"w": rng.normal(size=(6, 5, 3, 3)), "m": rng.normal(size=(6, 2))}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bands",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 5, 16, 16])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

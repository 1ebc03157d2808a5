"""Triton's own HTTP client as the judge: it talks to the server unmodified, by its binary tensors and by JSON."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from serving import FILES, IN_BASE64, Client, running, served_demo

from ddcam.engine.explain import at_input
from ddcam.engine.explainer import Decision

pytestmark = [pytest.mark.oracle, pytest.mark.filterwarnings("ignore")]
http = pytest.importorskip("tritonclient.http", exc_type=ImportError)


@pytest.fixture(scope="module")
def served() -> Iterator[Client]:
    with running(served_demo()) as client:
        yield client


@pytest.fixture
def triton(served: Client) -> Iterator[Any]:
    client = http.InferenceServerClient(f"127.0.0.1:{served.port}")
    yield client
    client.close()


def values(served: Client) -> NDArray[Any]:
    pictures = [served.served.open_picture("x", file) for file in FILES]
    return np.concatenate([served.explainer.prepare(picture).inputs for picture in pictures])


def maps(served: Client) -> NDArray[Any]:
    model = served.explainer.model
    decided = [one for one in served.explainer.decide(list(values(served)[:, None])) if isinstance(one, Decision)]
    return np.stack([at_input(one.attribution.grid_map, model.split, model.opened.preprocessing) for one in decided])


def test_it_finds_the_server_well(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("digits")
    assert triton.is_model_ready("digits", "1")
    assert not triton.is_model_ready("cats")
    assert triton.get_server_metadata()["name"] == "ddcam"
    outputs = [output["name"] for output in triton.get_model_metadata("digits")["outputs"]]
    assert outputs == ["logits", "saliency_map", "units", "sufficient", "minimal"]


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("got", [True, False])
def test_tensors_go_there_and_back(triton: Any, served: Client, sent: bool, got: bool) -> None:
    given = http.InferInput("input", [6, 1, 32, 32], "FP32")
    given.set_data_from_numpy(values(served), binary_data=sent)
    asked = [http.InferRequestedOutput(name, binary_data=got) for name in ("saliency_map", "logits", "minimal")]

    found = triton.infer("digits", [given], outputs=asked, request_id="9")

    assert found.get_response()["id"] == "9"
    np.testing.assert_allclose(found.as_numpy("saliency_map")[:, 0], maps(served), atol=1e-6)
    np.testing.assert_allclose(found.as_numpy("logits"), served.explainer.predict(values(served)), atol=1e-4)
    assert found.as_numpy("minimal").tolist() == [True] * 6


def test_files_of_pictures_go_as_bytes(triton: Any, served: Client) -> None:
    given = http.InferInput("image", [6], "BYTES")
    given.set_data_from_numpy(np.array(FILES, dtype=object))

    found = triton.infer("digits", [given])  # no output named: all of them, binary

    np.testing.assert_allclose(found.as_numpy("saliency_map")[:, 0], maps(served), atol=1e-6)
    assert found.as_numpy("units").shape == (6, 64)


def test_files_go_as_base64_where_it_sends_json(triton: Any, served: Client) -> None:
    given = http.InferInput("image", [1], "BYTES")
    given.set_data_from_numpy(np.array([IN_BASE64[0].encode()], dtype=object), binary_data=False)

    found = triton.infer("digits", [given], outputs=[http.InferRequestedOutput("saliency_map")])

    np.testing.assert_allclose(found.as_numpy("saliency_map")[0, 0], maps(served)[0], atol=1e-6)


def test_many_at_once(triton: Any, served: Client) -> None:
    client = http.InferenceServerClient(f"127.0.0.1:{served.port}", concurrency=6)
    waiting = []
    for row in values(served):
        given = http.InferInput("input", [1, 1, 32, 32], "FP32")
        given.set_data_from_numpy(row[None])
        waiting.append(client.async_infer("digits", [given]))
    found = np.concatenate([one.get_result().as_numpy("saliency_map")[:, 0] for one in waiting])
    client.close()

    np.testing.assert_allclose(found, maps(served), atol=1e-6)


def test_what_is_refused_is_its_own_error(triton: Any) -> None:
    given = http.InferInput("input", [1, 1024], "FP32")
    given.set_data_from_numpy(np.zeros((1, 1024), np.float32))
    refusal = pytest.importorskip("tritonclient.utils").InferenceServerException
    with pytest.raises(refusal, match=r"expected input float32"):
        triton.infer("digits", [given])

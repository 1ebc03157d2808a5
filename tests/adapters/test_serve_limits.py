"""What the server does under load and with trouble: it refuses in time, spoils nobody's answer and forgets nothing."""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

import numpy as np
import pytest
from serving import FILES, IN_BASE64, PICTURES, Answer, Client, running, served_demo
from starlette.exceptions import HTTPException

import ddcam
from ddcam.adapters.serve import Limits
from ddcam.adapters.serve.batching import Batching
from ddcam.adapters.serve.room import Room
from ddcam.adapters.serve.work import Asked, Found
from ddcam.engine.errors import RunError

EXPLAIN, PREDICT = "/v1/models/digits:explain", "/v1/models/digits:predict"
ONE = {"instances": [{"b64": IN_BASE64[0]}]}


# ----- room -----


def test_places_are_taken_and_given_back() -> None:
    room = Room(3)
    with room.entered() as need:
        need(3)
        assert room.taken == 3
        with pytest.raises(HTTPException) as full, room.entered():
            pass
        assert (full.value.status_code, full.value.headers) == (503, {"Retry-After": "1"})
    assert room.taken == 0


def test_more_than_there_ever_is_room_for_is_no_matter_of_time() -> None:
    room = Room(3)
    with pytest.raises(HTTPException) as refused, room.entered() as need:
        need(4)
    assert refused.value.status_code == 400
    assert room.taken == 0


def test_who_has_left_takes_no_more() -> None:
    room = Room(3)
    with room.entered() as need:
        pass
    with pytest.raises(HTTPException):
        need(2)
    assert room.taken == 0


# ----- batches -----


def asked(number: int) -> Asked:
    return Asked(np.array([[float(number)]]), frozenset(["scores"]))


def doubled(batch: Sequence[Asked]) -> list[Found]:
    return [Found(one.inputs[0] * 2) for one in batch]


async def ask_all(batching: Batching, works: Sequence[Any], counts: Sequence[int]) -> list[list[float]]:
    async with batching.working(works):
        numbers = iter(range(1000))
        calls = [batching.ask([asked(next(numbers)) for _ in range(count)]) for count in counts]
        found = await asyncio.gather(*calls)
    return [[float(one.scores[0]) for one in each if one.scores is not None] for each in found]


def test_pictures_of_several_requests_share_runs_and_everyone_gets_his_own() -> None:
    sizes: list[int] = []
    found = asyncio.run(ask_all(Batching(Limits(pictures=4, wait=0.2), sizes.append), [doubled], [1, 2, 5, 2]))

    assert found == [[0], [2, 4], [6, 8, 10, 12, 14], [16, 18]]
    assert sizes == [4, 4, 2]


def test_several_workers_share_the_queue() -> None:
    seen = set()
    both = threading.Barrier(2)

    def work(batch: Sequence[Asked]) -> list[Found]:
        both.wait(10)  # passes only when two are at work
        seen.add(threading.current_thread().name)
        return doubled(batch)

    found = asyncio.run(ask_all(Batching(Limits(pictures=1, wait=0), lambda _: None), [work, work], [1, 1]))
    assert found == [[0], [2]]
    assert len(seen) == 2


def test_one_that_fails_spoils_nobodys_answer() -> None:
    def work(batch: Sequence[Asked]) -> list[Found]:
        if any(one.inputs[0, 0] == 1 for one in batch):
            raise RunError("no")
        return doubled(batch)

    async def main() -> list[Any]:
        batching = Batching(Limits(pictures=8, wait=0.2), lambda _: None)
        async with batching.working([work]):
            return await asyncio.gather(*(batching.ask([asked(i)]) for i in range(3)), return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert isinstance(second, RunError)
    assert [first[0].scores[0], third[0].scores[0]] == [0, 4]


def test_what_waited_for_a_worker_waits_for_nobody_else() -> None:
    entered, released = threading.Event(), threading.Event()

    def work(batch: Sequence[Asked]) -> list[Found]:
        entered.set()
        assert released.wait(10)
        return doubled(batch)

    async def main() -> float:
        batching = Batching(Limits(pictures=2, wait=1.0), lambda _: None)
        async with batching.working([work]):
            first = asyncio.create_task(batching.ask([asked(0), asked(1)]))
            await asyncio.to_thread(entered.wait, 10)
            alone = asyncio.create_task(batching.ask([asked(2)]))
            await asyncio.sleep(1.1)
            started = time.monotonic()
            released.set()
            await asyncio.gather(first, alone)
            return time.monotonic() - started

    assert asyncio.run(main()) < 0.8


def test_what_is_given_up_is_not_begun() -> None:
    begun: list[float] = []
    holding, released = threading.Event(), threading.Event()

    def work(batch: Sequence[Asked]) -> list[Found]:
        begun.extend(float(one.inputs[0, 0]) for one in batch)
        holding.set()
        released.wait(10)
        return doubled(batch)

    async def main() -> None:
        batching = Batching(Limits(pictures=1, wait=0), lambda _: None)
        async with batching.working([work]):
            first = asyncio.create_task(batching.ask([asked(0)]))
            await asyncio.to_thread(holding.wait, 10)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await batching.ask([asked(1)])
            released.set()
            await first
            await batching.ask([asked(2)])

    asyncio.run(main())
    assert begun == [0, 2]


# ----- the server -----


@dataclass
class Gate:
    """Holds explanations back until it is opened."""

    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        decide = client.explainer.decide

        def held(inputs: Any) -> Any:
            self.entered.set()
            assert self.opened.wait(20)
            return decide(inputs)

        monkeypatch.setattr(client.explainer, "decide", held)


@contextmanager
def gated(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Client, Gate]]:
    gate = Gate()
    with running(served_demo(limits=limits)) as client:
        gate.hold(client, monkeypatch)
        try:
            yield client, gate
        finally:
            gate.opened.set()


def test_a_full_queue_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with gated(Limits(queue=2), monkeypatch) as (client, gate), ThreadPoolExecutor(2) as pool:
        inside = [pool.submit(client.ask, EXPLAIN, ONE) for _ in range(2)]
        wait_for(lambda: client.number("ddcam_pictures_under_way") == 2)

        refused = client.ask(PREDICT, ONE)
        many = client.ask(PREDICT, {"instances": ONE["instances"] * 3})

        assert (refused.code, refused.headers["retry-after"]) == (503, "1")
        assert many.code == 503, "there was no room to look into it"
        gate.opened.set()
        assert [one.result().code for one in inside] == [200, 200]
        assert client.ask(PREDICT, {"instances": ONE["instances"] * 3}).code == 400
        assert client.ask(PREDICT, ONE).code == 200
        assert client.number('ddcam_requests_total{code="503",route="v1-predict"}') == 2


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_what_takes_too_long_is_given_up_and_the_next_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with gated(Limits(timeout=0.5), monkeypatch) as (client, gate):
        answer = client.ask(EXPLAIN, ONE)
        assert (answer.code, answer.json) == (504, {"error": "no answer within 0.5 s"})
        assert client.number("ddcam_pictures_under_way") == 0
        gate.opened.set()
        assert client.ask(EXPLAIN, ONE).code == 200


def test_a_body_that_trickles_in_is_given_up() -> None:
    with running(served_demo(limits=Limits(timeout=0.5))) as client:
        connection = HTTPConnection("127.0.0.1", client.port, timeout=10)
        connection.putrequest("POST", PREDICT)
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b'{"inst')
        assert connection.getresponse().status == 504
        connection.close()
        assert client.number("ddcam_pictures_under_way") == 0


def test_a_client_that_goes_away_leaves_its_place() -> None:
    with running(served_demo()) as client:
        with socket.create_connection(("127.0.0.1", client.port)) as leaving:
            leaving.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
            wait_for(lambda: client.number("ddcam_pictures_under_way") == 1)
        wait_for(lambda: client.number("ddcam_pictures_under_way") == 0)


@pytest.mark.parametrize("declared", [True, False])
def test_a_large_body_is_refused_before_all_of_it_came(declared: bool) -> None:
    with running(served_demo(limits=Limits(bytes=10_000))) as client:
        connection = HTTPConnection("127.0.0.1", client.port, timeout=10)
        connection.putrequest("POST", PREDICT)
        connection.putheader(*(("Content-Length", "1000000000") if declared else ("Transfer-Encoding", "chunked")))
        connection.endheaders()
        if not declared:  # more than is allowed, and never the end
            connection.send(b"4e20\r\n" + b"x" * 20_000 + b"\r\n")
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (
            413,
            {"error": "expected a body of at most 10000 bytes, got more"},
        )
        connection.close()


def test_compressed_bodies_are_refused() -> None:
    with running(served_demo()) as client:
        assert client.ask(PREDICT, ONE, {"Content-Encoding": "gzip"}).code == 415


def test_an_internal_error_is_one_line_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Any) -> Any:
        raise ZeroDivisionError("secret")

    with running(served_demo()) as client:
        monkeypatch.setattr(client.explainer, "decide", fail)
        answer = client.ask(EXPLAIN, ONE)
        assert (answer.code, answer.json) == (500, {"error": "an internal error; the server's log has it"})
        monkeypatch.setattr(client.explainer, "predict", lambda _: (_ for _ in ()).throw(RunError("ran out")))
        assert client.ask(PREDICT, ONE).json == {"error": "ran out"}
    assert "ZeroDivisionError: secret" in caplog.text


def test_runs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(served_demo(limits=Limits(wait=1, pictures=6))) as client:
        assert client.ask(EXPLAIN, {"instances": [{"b64": text} for text in IN_BASE64]}).code == 200
        assert client.number('ddcam_batch_size_bucket{le="4.0"}') == 0
        assert client.number('ddcam_batch_size_bucket{le="8.0"}') == 1
        assert client.number('ddcam_explanations_total{outcome="one-minimal"}') == 6
        assert client.number('ddcam_request_seconds_count{route="v1-explain"}') == 1


# ----- a storm -----


def test_fifty_at_once_good_and_bad() -> None:
    """Every good request is answered as the explainer alone answers it, whatever stands beside it."""
    with running(served_demo("digits_cnn_interacting")) as client:
        expected = [ddcam.explain(client.explainer.model, path) for path in PICTURES]
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda number: storm(client, number), range(50)))
        for number, answer in enumerate(answers):
            require_right(number, answer, expected)
        assert client.number("ddcam_pictures_under_way") == client.number("ddcam_queue_length") == 0


def storm(client: Client, number: int) -> Answer:
    good = {"b64": IN_BASE64[number % 6]}
    match number % 5:
        case 0 | 1:
            return client.ask(EXPLAIN, {"instances": [good], "parameters": {"saliency_map": "numbers"}})
        case 2:
            return client.ask(PREDICT, {"instances": [good]})
        case 3:
            image = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [IN_BASE64[number % 6]]}
            return client.ask("/v2/models/digits/infer", {"inputs": [image], "outputs": [{"name": "units"}]})
        case _:
            cut = base64.b64encode(FILES[number % 6][:300]).decode()
            return client.ask(EXPLAIN, {"instances": [good, {"b64": cut}]})


def require_right(number: int, answer: Answer, expected: Sequence[ddcam.Explanation]) -> None:
    right = expected[number % 6]
    match number % 5:
        case 0 | 1:
            [told] = answer.json["explanations"]
            assert (told["subset"], told["text"]) == (list(right.attribution.subset or ()), right.text)
        case 2:
            assert [one["index"] for one in answer.json["predictions"][0]["top"]] == [one.index for one in right.top]
        case 3:
            mask = np.array(answer.json["outputs"][0]["data"])
            assert np.flatnonzero(mask).tolist() == list(right.attribution.subset or ())
        case _:
            assert answer.code == 400
            assert "'instance 1'" in answer.json["error"]

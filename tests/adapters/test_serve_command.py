"""`ddcam serve` as a process: it takes a port, answers, and ends in order when it is told to."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from serving import IN_BASE64, Client, served_demo

from ddcam.models import demo_path

MODEL = demo_path("digits_cnn_additive")
Console = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    command = [sys.executable, "-m", "ddcam.cli", "serve", str(MODEL), "--port", "0", "--name", "digits", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        line = process.stderr.readline()
        found = re.fullmatch(r"serving digits at http://127\.0\.0\.1:(\d+); Ctrl\+C ends it\n", line)
        assert found, line + process.stderr.read()
        yield process, Client(int(found[1]), served_demo())
    finally:
        if process.poll() is None:
            process.kill()
        process.stderr.close()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_ends_when_told_to(number: signal.Signals) -> None:
    with started("--threads", "1") as (process, client):
        wait_until_ready(client)
        asked = {"instances": [{"b64": text} for text in IN_BASE64]}
        predicted = client.ask("/v1/models/digits:predict", asked).json["predictions"]
        explained = client.ask("/v1/models/digits:explain", asked).json["explanations"]
        assert [one["label"] for one in predicted] == [one["target"]["label"] for one in explained]
        assert all(one["certificate"]["holds"] for one in explained)

        process.send_signal(number)

        assert process.wait(20) == 0
        assert process.stderr and process.stderr.read() == ""  # noqa: PT018  (read where it is there)


def test_what_is_under_way_is_answered_before_it_ends() -> None:
    with (
        started("--wait", "1500", "--threads", "1", "--workers", "2") as (process, client),
        ThreadPoolExecutor(1) as pool,
    ):
        wait_until_ready(client)
        under_way = pool.submit(client.ask, "/v1/models/digits:explain", {"instances": [{"b64": IN_BASE64[0]}]})
        while client.number("ddcam_pictures_under_way") == 0:
            time.sleep(0.01)

        process.send_signal(signal.SIGTERM)

        assert under_way.result(20).json["explanations"][0]["target"]["label"] == "five"
        assert process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            client.ask("/v2")


def wait_until_ready(client: Client) -> None:
    """Its port is known a moment before anyone listens there."""
    for _ in range(200):
        try:
            assert client.ask("/v2/health/ready").code == 200
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server never listened")


def test_a_port_that_is_taken_is_refused_in_a_line(console: Console) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, told = console("serve", MODEL, "--port", taken.getsockname()[1])
    assert code == 2
    assert told.startswith("ddcam: expected a free port, got 127.0.0.1:")
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "no-cam"], "method"),
        (["--preserve", "label:nobody"], "nobody"),
        (["--name", "a/b"], "expected a name of letters"),
        (["--queue", "0"], "--queue"),
    ],
)
def test_what_cannot_be_served_is_refused_before_it_begins(console: Console, options: list[str], said: str) -> None:
    code, _, told = console("serve", MODEL, "--port", "0", *options)
    assert code == 2
    assert said in told
    assert told.count("\n") == 1

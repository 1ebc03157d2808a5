"""`ddcam serve` under its highest steady load: good and bad requests mixed, every good answer compared, memory watched.

Clients ask without a pause, so that the server is never idle; they share its cores. The first server gets the load for
--seconds; then it and one that takes a picture at a time (--pictures 1) get it in turns, for a tenth of that each turn.
Usage: DDCAM_DATA=... python benchmarks/serve.py [--seconds 600] [--clients 16] [--model FILE [--preprocessing NAME]]
"""

import argparse
import base64
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import ddcam

MODEL, PREPROCESSING = "imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx", "imagenet"
PICTURES, TURNS = 40, 3
V1, INFER = "/v1/models/bench", "/v2/models/bench/infer"
TOO_LARGE = 400_000
"""More bytes than these servers take."""
HEADER = """# The explain server under load

ddcam {version}, ONNX Runtime {runtime}, {cores} cores of {machine}, shared by server and clients;
{model}, {pictures} photographs, dd-cam for top1; made by
`python benchmarks/serve.py --seconds {seconds:g} --clients {clients}`.
{clients} clients ask without a pause, over connections that stay open. Of 10 requests 4 are V1 explain (PNG map),
2 V1 predict, 2 V2 infer (map and units, binary), 2 bad: cut pictures, no JSON, another model, too large a body.
"Failed" are good requests that were not answered, or not with the class and the subset that the explainer alone gives;
"wrong" are bad requests that were answered otherwise than with their 400, 404 or 413. Milliseconds are those of good
requests, "a run" is pictures in a run, memory is resident MiB of the server before the load (after a warm-up), at most,
and after it.

| seconds | requests | a second | good | failed | bad | wrong | p50 ms | p99 ms | a run | before | most | after |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""
TURNED = """
## Pictures together and alone

The same load in {turns} turns each of {turn:g} s on a server as above and one with `--pictures 1`.

| server | requests a second, each turn | median | pictures a run | p50 ms | p99 ms |
|---|---|---|---|---|---|"""


@dataclass(frozen=True)
class Request:
    """What is sent, and what must come: a code, and of a good one what its answer must say."""

    kind: str
    path: str
    body: bytes
    headers: dict[str, str]
    code: int = 200
    expected: Any = None


@dataclass
class Tally:
    """What clients saw: how long good answers took, and what was wrong."""

    milliseconds: list[float] = field(default_factory=list)
    good: int = 0
    bad: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return (self.good + self.bad) / self.seconds


@dataclass(frozen=True)
class Server:
    port: int
    pid: int

    def number(self, name: str) -> float:
        """Return a value of /metrics."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(float(line.split()[-1]) for line in lines if line.split()[0] == name)

    def runs(self) -> tuple[float, float]:
        """Return how many pictures were in how many runs."""
        return self.number("ddcam_batch_size_sum"), self.number("ddcam_batch_size_count")

    def memory(self) -> float:
        """Return resident MiB."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096 / 2**20


# ----- requests -----


def requests_of(model: ddcam.Model, files: Sequence[Path]) -> list[Request]:
    """Make ten requests of each picture, in an order that mixes them."""
    found = []
    for number, path in enumerate(files):
        told = ddcam.explain(model, path)
        expected = told.top[0].index, list(told.attribution.subset or ())
        found += good_requests(path.read_bytes(), expected, model.split.count) + bad_requests(path.read_bytes(), number)
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))]


def good_requests(data: bytes, expected: tuple[int, list[int]], units: int) -> list[Request]:
    body = json.dumps({"instances": [{"b64": base64.b64encode(data).decode()}]}).encode()
    image = {"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(data) + 4}}
    outputs = [{"name": name, "parameters": {"binary_data": True}} for name in ("units", "saliency_map")]
    header = json.dumps({"inputs": [image], "outputs": outputs}).encode()
    message = header + len(data).to_bytes(4, "little") + data
    length = {"Inference-Header-Content-Length": str(len(header))}
    explain = Request("explain", f"{V1}:explain", body, {}, expected=expected)
    predict = Request("predict", f"{V1}:predict", body, {}, expected=expected[0])
    infer = Request("infer", INFER, message, length, expected=(units, expected[1]))
    return [explain] * 4 + [predict] * 2 + [infer] * 2


def bad_requests(data: bytes, number: int) -> list[Request]:
    cut = json.dumps({"instances": [{"b64": base64.b64encode(data[: len(data) // 2]).decode()}]}).encode()
    kinds = [
        Request("bad", f"{V1}:explain", cut, {}, 400),
        Request("bad", f"{V1}:predict", b"\x89PNG is no JSON", {}, 400),
        Request("bad", "/v1/models/other:explain", b"{}", {}, 404),
        Request("bad", f"{V1}:explain", bytes(TOO_LARGE + 1), {}, 413),
    ]
    return [kinds[number % 4], kinds[(number + 1) % 4]]


def right(request: Request, answer: bytes, headers: Any) -> bool:
    if request.kind == "predict":
        return bool(json.loads(answer)["predictions"][0]["index"] == request.expected)
    if request.kind == "explain":
        [told] = json.loads(answer)["explanations"]
        return (told["target"]["index"], told["subset"]) == request.expected
    units, subset = request.expected
    start = int(headers["Inference-Header-Content-Length"])
    mask = np.frombuffer(answer[start : start + 4 * units], np.float32)
    return bool(np.flatnonzero(mask).tolist() == subset)


# ----- load -----


def load(server: Server, requests: Sequence[Request], clients: int, seconds: float) -> Tally:
    """Let clients ask for so many seconds."""
    tally, lock, ends = Tally(), threading.Lock(), time.monotonic() + seconds

    def ask_on(first: int) -> None:
        connection, number = HTTPConnection("127.0.0.1", server.port, timeout=120), first * 7
        while time.monotonic() < ends:
            request = requests[number % len(requests)]
            note(tally, lock, request, *ask(connection, request))
            number += 1
        connection.close()

    threads = [threading.Thread(target=ask_on, args=(i,)) for i in range(clients)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tally.seconds = time.monotonic() - started
    return tally


def ask(connection: HTTPConnection, request: Request) -> tuple[float, str]:
    """Return milliseconds and what is wrong with the answer, nothing where it is right."""
    started = time.perf_counter()
    try:
        connection.request("POST", request.path, request.body, request.headers)
        answer = connection.getresponse()
        body = answer.read()
        took = (time.perf_counter() - started) * 1000
        if answer.status != request.code:
            return took, f"{answer.status} {body[:80]!r}"
        if request.code == 200 and not right(request, body, answer.headers):
            return took, "another answer"
    except OSError as error:  # a server that refuses a body may close before it took it; the next call connects anew
        connection.close()
        return 0.0, type(error).__name__
    return took, ""


def note(tally: Tally, lock: threading.Lock, request: Request, took: float, trouble: str) -> None:
    with lock:
        if request.kind == "bad":
            tally.bad += 1
            # A client that still sends what is too large may see the connection end instead of the 413.
            if trouble and not (request.code == 413 and trouble in ("BrokenPipeError", "ConnectionResetError")):
                tally.wrong[trouble] += 1
            return
        tally.good += 1
        tally.milliseconds.append(took)
        if trouble:
            tally.failed[f"{request.kind}: {trouble}"] += 1


@contextmanager
def started(model: Path, preprocessing: str | None, *options: str) -> Iterator[Server]:
    chosen = ["--preprocessing", preprocessing] if preprocessing else []
    command = [sys.executable, "-m", "ddcam.cli", "serve", str(model), "--port", "0", "--name", "bench"]
    limits = ["--max-bytes", str(TOO_LARGE), *options]
    process = subprocess.Popen([*command, *chosen, *limits], stderr=subprocess.PIPE, text=True)
    assert process.stderr
    port = int(process.stderr.readline().rsplit(":", 1)[1].split(";")[0])
    time.sleep(1)  # it says its port a moment before it listens
    try:
        yield Server(port, process.pid)
    finally:
        process.terminate()
        if process.wait(60) != 0:
            print(f"the server ended with {process.returncode}: {process.stderr.read()}", file=sys.stderr)
        process.stderr.close()


@contextmanager
def watched(server: Server) -> Iterator[list[float]]:
    """Note resident MiB every second."""
    seen, ended = [server.memory()], threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            seen.append(server.memory())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        seen.append(server.memory())


# ----- report -----


def main() -> None:
    asked = arguments()
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real pictures"))
    model = asked.model or data / "models" / MODEL
    preprocessing = asked.preprocessing or (None if asked.model else PREPROCESSING)
    files = [path for path in sorted((data / "images" / "imagenet-val160").iterdir()) if fits(path)][:PICTURES]
    requests = requests_of(ddcam.load(model, preprocessing=preprocessing), files)
    shown = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "cores": os.cpu_count()}
    shown |= {"machine": platform.machine(), "model": model.stem, "pictures": len(files)}
    print(HEADER.format(seconds=asked.seconds, clients=asked.clients, **shown))
    with ExitStack() as stack:
        servers = [stack.enter_context(started(model, preprocessing, *o)) for o in ((), ("--pictures", "1"))]
        for server in servers:
            load(server, requests, asked.clients, min(10, asked.seconds))  # opens what is opened once
        print(steady(servers[0], requests, asked))
        print(TURNED.format(turns=TURNS, turn=asked.seconds / 10))
        for line in turned(servers, requests, asked):
            print(line)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preprocessing")
    return parser.parse_args()


def fits(path: Path) -> bool:
    return path.stat().st_size * 4 / 3 < TOO_LARGE - 1000


def steady(server: Server, requests: Sequence[Request], asked: argparse.Namespace) -> str:
    before = server.runs()
    with watched(server) as memory:
        tally = load(server, requests, asked.clients, asked.seconds)
    after = server.runs()
    failed, wrong = sum(tally.failed.values()), sum(tally.wrong.values())
    for what, count in (tally.failed + tally.wrong).items():
        print(f"{count} x {what}", file=sys.stderr)
    cells = [f"{tally.seconds:.0f}", f"{tally.good + tally.bad}", f"{tally.rate:.1f}", f"{tally.good}", f"{failed}"]
    cells += [f"{tally.bad}", f"{wrong}", *quantiles(tally.milliseconds), mean_size(before, after)]
    cells += [f"{value:.0f}" for value in (memory[0], max(memory), memory[-1])]
    return f"| {' | '.join(cells)} |"


def turned(servers: Sequence[Server], requests: Sequence[Request], asked: argparse.Namespace) -> list[str]:
    before = [server.runs() for server in servers]
    turns: list[list[Tally]] = [[], []]
    for _ in range(TURNS):
        for server, tallies in zip(servers, turns, strict=True):
            tallies.append(load(server, requests, asked.clients, asked.seconds / 10))
    lines = []
    for name, server, start, tallies in zip(("together", "alone"), servers, before, turns, strict=True):
        rates = [tally.rate for tally in tallies]
        took = [each for tally in tallies for each in tally.milliseconds]
        cells = [name, " ".join(f"{rate:.1f}" for rate in rates), f"{np.median(rates):.1f}"]
        lines.append(f"| {' | '.join([*cells, mean_size(start, server.runs()), *quantiles(took)])} |")
    return lines


def quantiles(milliseconds: Sequence[float]) -> list[str]:
    return [f"{value:.0f}" for value in np.quantile(milliseconds, (0.5, 0.99))]


def mean_size(before: tuple[float, float], after: tuple[float, float]) -> str:
    return f"{(after[0] - before[0]) / max(1, after[1] - before[1]):.2f}"


if __name__ == "__main__":
    main()

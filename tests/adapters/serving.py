"""What tests of the server share: a real one in a thread, and a plain HTTP client."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from ddcam import Explainer, load
from ddcam.adapters.images import decode_strange
from ddcam.adapters.serve import Limits, Served, listen, open_served
from ddcam.adapters.serve.run import server_of
from ddcam.models import demo_path, demo_pictures

PICTURES = demo_pictures()
FILES = [path.read_bytes() for path in PICTURES]
IN_BASE64 = [base64.b64encode(file).decode() for file in FILES]
NAME = "digits"


@dataclass(frozen=True)
class Answer:
    code: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Ask a server, each time over a connection of its own; what is not bytes goes as JSON."""

    port: int
    served: Served

    def ask(self, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request("GET" if body is None else "POST", path, sent, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def number(self, line: str) -> float:
        """Return a value of /metrics, 0 where there is none yet."""
        lines = self.ask("/metrics").body.decode().splitlines()
        return next((float(each.rsplit(" ", 1)[1]) for each in lines if each.rsplit(" ", 1)[0] == line), 0.0)

    @property
    def explainer(self) -> Explainer:
        return self.served.first.explainer


def served_demo(demo: str = "digits_cnn_additive", limits: Limits | None = None, **asked: Any) -> Served:
    return served_file(demo_path(demo), limits, **asked)


def served_file(path: object, limits: Limits | None = None, **asked: Any) -> Served:
    wishes = asked.pop("wishes", {})
    explainer = Explainer(load(path, threads=1, **wishes), **asked)  # type: ignore[arg-type]
    return open_served(NAME, [explainer], asked.get("preserve"), decode_strange, limits or Limits())


@contextmanager
def running(served: Served) -> Iterator[Client]:
    port, server = listen("127.0.0.1", 0), server_of(served)
    number = port.getsockname()[1]
    port.listen()  # requests of the first moment wait for it
    thread = threading.Thread(target=server.run, kwargs={"sockets": [port]})
    thread.start()
    try:
        yield Client(number, served)
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive(), "the server did not end"

"""A web server of this machine that answers as it is told to, wrongly if need be."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """`answers` by path; `asked` holds path and Range of each request that came."""

    url: str
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [ranged for _, ranged in self.asked]


@contextmanager
def serving() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found.asked.append((self.path, self.headers.get("Range")))
            self.close_connection = True
            found.answers.get(self.path, status(404))(self)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    found = Server(f"http://127.0.0.1:{httpd.server_port}")
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
    thread.start()
    yield found
    found.closing.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def reply(handler: BaseHTTPRequestHandler, code: int, content: bytes, **headers: object) -> None:
    """Answer with a length and a body, unless `headers` say another length, or None for none."""
    handler.send_response(code)
    for name, value in ({"Content_Length": len(content)} | headers).items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(content)


def status(code: int) -> Answer:
    return lambda handler: reply(handler, code, b"<html>no</html>")


def whole(content: bytes) -> Answer:
    """Answer with all of the file, whatever part was asked for."""
    return lambda handler: reply(handler, 200, content)


def ranged(content: bytes) -> Answer:
    """Answer with the part that was asked for, as servers do that know how to."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        if wanted is None:
            return reply(handler, 200, content)
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            return reply(handler, 416, b"")
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return reply(handler, 206, content[start:], Content_Range=place)

    return answer


def broken_off(content: bytes, after: int) -> Answer:
    """Announce the part that was asked for and send so many bytes of it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        place = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        reply(
            handler, 206 if start else 200, content[start : start + after], Content_Length=len(content) - start, **place
        )

    return answer


def in_turn(*answers: Answer) -> Answer:
    """Answer the first time so, the second time so; the last answer stays."""
    left = list(answers)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return answer


def redirect(where: str, code: int = 302) -> Answer:
    return lambda handler: reply(handler, code, b"", Location=where)

"""From a port to an orderly end: uvicorn with the application, until a signal says that it is enough."""

import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack

import uvicorn

from ...engine.errors import OptionError
from ...engine.runtime.blas import one_blas_thread
from .app import make_app
from .served import Served

GRACE = 5
"""Seconds on top of a request's own, within which answers that are under way are written."""
CONNECTIONS = 1000
"""Most of them: an answer that nobody takes holds its memory for as long as its connection."""


def listen(host: str, port: int) -> socket.socket:
    """Take a port, 0 one that is free; nobody is listened to yet. Raises OptionError where it cannot be had."""
    try:
        [family, kind, protocol, _, address], *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with ExitStack() as failing:
            found = failing.enter_context(socket.socket(family, kind, protocol))
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            failing.pop_all()
    except OSError as error:
        raise OptionError(
            f"expected a free port, got {host}:{port} ({error.strerror or error}); give another --port or --host"
        ) from None
    return found


def run(served: Served, port: socket.socket, say: Callable[[str], object]) -> None:
    """Serve until SIGTERM or SIGINT: then nothing new is taken, and what is under way is answered first."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # uvicorn raises it again once it has ended; that is not to kill us
    host, number, *_ = port.getsockname()
    say(f"serving {served.name} at http://{f'[{host}]' if ':' in host else host}:{number}; Ctrl+C ends it")
    # Small products in many threads: with a BLAS that starts threads for each the server answered 26 requests a second
    # (MobileNetV2, 2 busy cores), with one that does not 38.
    with one_blas_thread():
        server_of(served).run(sockets=[port])


def server_of(served: Served) -> uvicorn.Server:
    config = uvicorn.Config(
        make_app(served),
        backlog=CONNECTIONS,
        limit_concurrency=CONNECTIONS,
        log_config=None,  # its lines go where Python's warnings go, and only warnings
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=int(served.limits.timeout) + GRACE,
    )
    return uvicorn.Server(config)

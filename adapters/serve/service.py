"""A request's way through the server: let in, read within its limits, asked with others, answered or refused."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ...engine.errors import DdcamError, OptionError, PictureError
from ...engine.explainer import Decision
from .batching import Batching
from .calls import Call, Reader, bad
from .numbers import make_numbers
from .room import Room
from .served import Served
from .work import Found, work

log = logging.getLogger("ddcam.serve")
DECODERS = min(4, os.cpu_count() or 1)
"""Threads that read requests and write answers: pictures decode without the lock of the interpreter, and
up to 1 GiB each (a compressed TIFF of 25 million floats; 0.65 GiB for a PNG or JPEG)."""


class Service:
    """What lives as long as the server: the room, the queue, the threads, the counts."""

    def __init__(self, served: Served) -> None:
        """Take what is served; `open` starts the threads."""
        self.served = served
        self.room = Room(served.limits.queue)
        self.numbers = make_numbers(lambda: self.batching.waiting, lambda: self.room.taken)
        self.batching = Batching(served.limits, self.numbers.sizes.observe)
        self._pool = ThreadPoolExecutor(DECODERS, "reader")

    @asynccontextmanager
    async def open(self, _: object) -> AsyncIterator[None]:
        """Serve until left; then what is under way is done."""
        works = [partial(work, worker) for worker in self.served.workers]
        with self._pool:
            async with self.batching.working(works):
                yield

    async def answer(self, reader: Reader, request: Request) -> Response:
        """Answer a request for the model; every refusal is an HTTPException of one line."""
        self.require_model(request)
        try:
            async with asyncio.timeout(self.served.limits.timeout):
                return await self._answered(reader, request)
        except TimeoutError:
            raise HTTPException(504, f"no answer within {self.served.limits.timeout:g} s") from None
        except (PictureError, OptionError) as error:
            raise bad(str(error)) from None
        except ClientDisconnect:
            raise bad("the request broke off") from None
        except HTTPException:
            raise
        except Exception as error:
            log.exception("an internal error")
            told = str(error) if isinstance(error, DdcamError) else "an internal error; the server's log has it"
            raise HTTPException(500, told) from None

    def require_model(self, request: Request) -> None:
        """Refuse names and versions of models that are not here."""
        name, version = request.path_params["name"], request.path_params.get("version", "1")
        if name != self.served.name:
            raise HTTPException(404, f"expected the model {self.served.name!r}, got {name[:100]!r}")
        if version != "1":
            raise HTTPException(404, f"expected version 1 of {self.served.name!r}, got {version[:100]!r}")

    async def _answered(self, reader: Reader, request: Request) -> Response:
        with self.room.entered() as places:
            body = await received(request, self.served.limits.bytes)
            reading = await self._apart(reader, Call(self.served, body, request.headers, places))
            del body  # the largest part of a request need not wait for its answer
            found = await self.batching.ask(reading.asked)
            self._count(found)
            response: Response = await self._apart(reading.answer, found)
            return response

    async def _apart(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Run what computes in a thread, so that the loop stays free."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _count(self, found: list[Found]) -> None:
        for decision in (one.decision for one in found if one.decision is not None):
            outcome = (decision.attribution.outcome or "map") if isinstance(decision, Decision) else "error"
            self.numbers.explanations.labels(outcome).inc()


async def received(request: Request, most: int) -> bytes:
    """Read a body; HTTPException (413) as soon as it is too large, whatever its length was said to be."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "expected a body that is not compressed")
    body = bytearray()
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > most:
        raise too_large(most)
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise too_large(most)
    return bytes(body)


def too_large(most: int) -> HTTPException:
    return HTTPException(413, f"expected a body of at most {most} bytes, got more")

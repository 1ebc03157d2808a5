"""Pictures of many requests in one queue, from which each worker takes several at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .served import Limits
from .work import Asked, Found

Work = Callable[[Sequence[Asked]], list[Found]]


@dataclass(frozen=True)
class Waiting:
    """A picture in the queue, its answer to come, and when it came."""

    asked: Asked
    answer: "asyncio.Future[Found]"
    since: float


class Batching:
    """The queue; a worker runs up to `pictures` of it at once, `wait` seconds after the first came what is there."""

    def __init__(self, limits: Limits, seen: Callable[[int], object]) -> None:
        """Take the limits and whoever wants to know how many pictures each run had."""
        self._limits, self._seen = limits, seen
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()  # bounded by the room that its pictures take

    @property
    def waiting(self) -> int:
        """How many pictures no worker has taken yet."""
        return self._queue.qsize()

    async def ask(self, asked: Sequence[Asked]) -> list[Found]:
        """Return what is found of each; the first error of one is raised. What is given up is not begun any more."""
        loop = asyncio.get_running_loop()
        answers: list[asyncio.Future[Found]] = [loop.create_future() for _ in asked]
        for one, answer in zip(asked, answers, strict=True):
            self._queue.put_nowait(Waiting(one, answer, loop.time()))
        try:
            return await asyncio.gather(*answers)
        finally:
            for answer in answers:
                answer.cancel()

    @asynccontextmanager
    async def working(self, works: Sequence[Work]) -> AsyncIterator[None]:
        """Have workers at the queue, each with a thread, until it is left."""
        with ThreadPoolExecutor(len(works), "worker") as pool:
            tasks = [asyncio.create_task(self._serve(pool, work)) for work in works]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, pool: ThreadPoolExecutor, work: Work) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch = [one for one in await self._taken() if not one.answer.done()]
            if not batch:
                continue
            self._seen(len(batch))
            found = await loop.run_in_executor(pool, attempt, work, [one.asked for one in batch])
            for one, answer in zip(batch, found, strict=True):
                give(one.answer, answer)

    async def _taken(self) -> list[Waiting]:
        """Take the first picture, and others until enough are there or the first has waited long enough.

        What waited while the worker was busy has waited: under load no worker is idle for the sake of a larger run.
        """
        taken = [await self._queue.get()]
        ends = taken[0].since + self._limits.wait
        while len(taken) < self._limits.pictures:
            try:
                async with asyncio.timeout_at(ends):
                    taken.append(self._queue.get_nowait() if self.waiting else await self._queue.get())
            except TimeoutError:
                break
        return taken


def attempt(work: Work, asked: Sequence[Asked]) -> Sequence[Found | Exception]:
    """Return an answer to each, or the error that it alone has: none may spoil what came beside it."""
    try:
        return work(asked)
    except Exception as error:  # whatever it is, it belongs to a request, which says what becomes of it
        if len(asked) == 1:
            return [error]
        return [found for one in asked for found in attempt(work, [one])]


def give(answer: "asyncio.Future[Found]", found: Found | Exception) -> None:
    if answer.done():  # nobody waits for it any more
        return
    if isinstance(found, Exception):
        answer.set_exception(found)
    else:
        answer.set_result(found)

"""Who computes the shards of a bulk run: this process, or several with a model each."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .bulk_shard import Job, Shard, complete
from .errors import RunError
from .explainer import Explainer

Deal = Callable[[Job, Explainer, Sequence[Shard]], Iterator[int]]
"""Has shards completed, by itself or others, and yields now and then how many pictures are done."""
WORTH = 1000
"""Pictures from which processes are worth their start: some seconds each, for the model is loaded again."""
USUAL = 8
"""Processes that are started unasked: each holds the model and some hundred megabytes."""
TELL = 0.5
"""Seconds between two looks at how far the workers are."""


def locally(job: Job, explainer: Explainer, shards: Sequence[Shard], *, workers: int | None = None) -> Iterator[int]:
    """Complete shards on this machine in `workers` processes, which share the cores; 1 is this process alone.

    By default one for each core (benchmarks/results/bulk.md) up to USUAL, and this process alone on a GPU or for fewer
    than WORTH pictures. Raises RunError where a process dies; finished shards stay.
    """
    pictures = sum(len(shard.names) for shard in shards)
    usual = 1 if explainer.model.device == "cuda" or pictures < WORTH else min(cores(), USUAL)
    workers = min(workers or usual, len(shards))
    if workers == 1:
        return in_turn(job, explainer, shards)
    return in_processes(job, shards, workers)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_turn(job: Job, explainer: Explainer, shards: Sequence[Shard]) -> Iterator[int]:
    done = 0
    for shard in shards:
        for _ in complete(job, explainer, shard):
            done += 1
            yield done


def in_processes(job: Job, shards: Sequence[Shard], workers: int) -> Iterator[int]:
    context = multiprocessing.get_context("spawn")  # threads of ONNX Runtime do not survive a fork
    done, stop = context.Value("q", 0), context.Event()
    pool = ProcessPoolExecutor(
        workers, context, initializer=begin, initargs=(job, max(1, cores() // workers), done, stop)
    )
    try:
        with without_interrupts():
            waiting = {pool.submit(work, shard) for shard in shards}
        while waiting:
            ended, waiting = wait(waiting, TELL, FIRST_COMPLETED)
            for one in ended:
                one.result()
            yield done.value
    except BrokenProcessPool:
        raise RunError(
            "a worker process ended before its shard was done (killed, or out of memory); finished shards stay: run "
            "the same command again, with fewer --workers where memory is short"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Let processes that are started here ignore Ctrl-C, which this one handles for them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ----- in a worker -----


@dataclass(frozen=True)
class Worker:
    """What a worker process has: its job and threads, the count of pictures that all share, whether it shall stop."""

    job: Job
    threads: int
    done: Any
    stop: Any

    @cached_property
    def explainer(self) -> Explainer:
        return self.job.explainer(self.threads)

    def work(self, shard: Shard) -> None:
        for _ in complete(self.job, self.explainer, shard):
            with self.done.get_lock():
                self.done.value += 1
            if self.stop.is_set():
                return  # and nothing of the shard stays


HERE: list[Worker] = []
"""The worker that this process is."""


def begin(job: Job, threads: int, done: Any, stop: Any) -> None:
    """Become a worker, which ends when the process that started it is gone."""
    HERE.append(Worker(job, threads, done, stop))
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def work(shard: Shard) -> None:
    HERE[0].work(shard)

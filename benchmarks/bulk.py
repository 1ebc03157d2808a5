"""What explanations cost a bulk run: rows of explanations against rows of predictions, in turn, on the same pictures.

Both read, decode and prepare pictures in the same threads and write rows in the same way; predictions come from ONNX
Runtime on the file itself. Each is timed in one process on all cores and in one process a core. Usage:
DDCAM_DATA=... python benchmarks/bulk.py [--pictures 160] [--rounds 7]
"""

import argparse
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import ddcam
from ddcam import open_image
from ddcam.engine.bulk_rows import ahead, ready
from ddcam.engine.bulk_shard import Job, Shard, complete, write_lines
from ddcam.engine.bulk_workers import cores
from ddcam.engine.explainer import Explainer
from ddcam.engine.types import Wishes

MODEL = "imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx"
WAYS = ("predictions", "grad-cam", "dd-cam")
SHARD = 20
HEADER = """# What explanations cost a bulk run

ddcam {version}, ONNX Runtime {runtime}, {cores} cores of {machine} that may be shared with other work;
{model}, {pictures} photographs in shards of {shard},
{rounds} rounds in turn; made by `python benchmarks/bulk.py`. Pictures a second are medians over rounds, "x" is the
median of a round's explanations over its predictions, both with reading, decoding, preparing and writing rows. dd-cam
preserves top1. Memory is that of a worker, after the first round and after the last.

| processes | threads each | predictions | grad-cam | x | dd-cam | x | memory, MB |
|---|---|---|---|---|---|---|---|"""


class Worker:
    """A process with a model for each way."""

    def __init__(self, job: Job, threads: int) -> None:
        self.job, self.threads = job, threads

    @cached_property
    def explainers(self) -> dict[str, Explainer]:
        model = self.job.explainer(self.threads).model
        return {method: Explainer(model, method=method) for method in WAYS[1:]}

    @cached_property
    def plain(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as engine/runtime/session.py has it
        return onnxruntime.InferenceSession(self.job.model, options, providers=["CPUExecutionProvider"])

    def run(self, way: str, shard: Shard) -> int:
        """Complete a shard in one of the ways; return the bytes of this process in memory."""
        if way == "predictions":
            write_lines(self.job.folder / f"predicted-{shard.number}", list(self.predicted(shard)))
        else:
            for _ in complete(self.job, self.explainers[way], shard):
                pass
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def predicted(self, shard: Shard) -> Iterator[dict[str, Any]]:
        prepare = partial(ready, self.explainers["dd-cam"], self.job.opener, self.job.root)
        name = self.plain.get_inputs()[0].name
        with ThreadPoolExecutor(2) as pool:
            for (index, path), one in ahead(pool, prepare, enumerate(shard.names, shard.start), 4):
                logits = self.plain.run(None, {name: one.inputs})[0][0].astype(np.float64)
                shares = np.exp(logits - logits.max())
                best = int(logits.argmax())
                yield {"index": index, "path": path, "class": best, "probability": float(shares[best] / shares.sum())}


HERE: list[Worker] = []


def begin(job: Job, threads: int) -> None:
    HERE.append(Worker(job, threads))


def work(way: str, shard: Shard) -> int:
    return HERE[0].run(way, shard)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--model", default=MODEL)
    asked = parser.parse_args()
    data = Path(os.environ.get("DDCAM_DATA") or parser.error("set DDCAM_DATA to the folder with the real models"))
    root = data / "images" / "imagenet-val160"
    names = sorted(path.name for path in root.iterdir())
    names = (names * -(-asked.pictures // len(names)))[: asked.pictures]
    print(HEADER.format(version=ddcam.__version__, runtime=onnxruntime.__version__, cores=cores(),
                        machine=platform.machine(), model=asked.model, pictures=len(names), shard=SHARD,
                        rounds=asked.rounds))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        wishes = Wishes(preprocessing="imagenet", device="cpu")
        job = Job(data / "models" / asked.model, Path(folder), root, open_image, wishes=wishes)
        settings = ((1, cores()), (cores(), 1))
        with ExitStack() as stack:
            pools = [stack.enter_context(pool_of(job, workers, threads)) for workers, threads in settings]
            rates, memory = measured(pools, shards_of(names), asked.rounds)
        for i, (workers, threads) in enumerate(settings):
            print(f"| {workers} | {threads} | {row(rates[i])} | {memory[i][0]:.0f}, {memory[i][-1]:.0f} |")


def pool_of(job: Job, workers: int, threads: int) -> ProcessPoolExecutor:
    job = replace(job, wishes=replace(job.wishes, threads=threads))
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=begin, initargs=(job, threads))


def shards_of(names: list[str]) -> list[Shard]:
    return [Shard(i, start, names[start : start + SHARD]) for i, start in enumerate(range(0, len(names), SHARD))]


def measured(
    pools: list[ProcessPoolExecutor], shards: list[Shard], rounds: int
) -> tuple[list[dict[str, list[float]]], list[list[float]]]:
    """Return for each pool the pictures a second of every round by way, and the most MB of a worker after each."""
    rates: list[dict[str, list[float]]] = [{way: [] for way in WAYS} for _ in pools]
    memory: list[list[float]] = [[] for _ in pools]
    pictures = sum(len(shard.names) for shard in shards)
    for turn in range(rounds + 1):
        for pool, found, sizes in zip(pools, rates, memory, strict=True):
            for way in WAYS:
                started = time.perf_counter()
                largest = max(pool.map(work, [way] * len(shards), shards))
                if turn:  # the first loads the models
                    found[way].append(pictures / (time.perf_counter() - started))
            sizes.append(largest / 1e6)
    return rates, memory


def row(rates: dict[str, list[float]]) -> str:
    plain = rates["predictions"]
    cells = [f"{statistics.median(plain):.1f}"]
    for way in WAYS[1:]:
        share = statistics.median(one / other for one, other in zip(rates[way], plain, strict=True))
        cells += [f"{statistics.median(rates[way]):.1f}", f"{share:.2f}"]
    return " | ".join(cells)


if __name__ == "__main__":
    main()

"""What DD-CAM inside a model costs: the plain model beside the one that explains itself, switched on and off.

Usage: DDCAM_DATA=... python benchmarks/embed_cost.py [--only mobilenetv2_torch] > benchmarks/results/embed_cost.md
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from subjects import Subject, machine, real_models

from ddcam.engine import Export, Wishes, export

RUNS = 200
HEADER = """# The cost of DD-CAM inside a model

Made by `python benchmarks/embed_cost.py` with {machine}:
medians of {runs} interleaved runs with one picture, the last two columns in the plain model's time.

| model | preserve | threads | plain ms | explained | explain=false |
|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="mobilenetv2_torch", help="a part of the model's name")
    asked = parser.parse_args()
    print(HEADER.format(machine=machine("cpu"), runs=RUNS))
    for subject in real_models(20):
        if asked.only in subject.name:
            print(*costs(subject), sep="\n", flush=True)


def costs(subject: Subject) -> Iterator[str]:
    inputs = subject.inputs(subject.load())
    with tempfile.TemporaryDirectory() as folder:
        for preserve in ("top1", "confidence:0.9"):
            file = Path(folder) / f"{preserve.partition(':')[0]}.onnx"
            export(subject.file, file, Export("dd-cam", preserve=preserve), Wishes(preprocessing=subject.preset))
            for threads in (1, 2):
                plain, on, off = timed(subject.file, file, inputs, threads)
                ratios = f"{on / plain:.2f} | {off / plain:.2f}"
                yield f"| {subject.name} | {preserve} | {threads} | {1000 * plain:.1f} | {ratios} |"


def timed(plain: Path, explained: Path, inputs: list[np.ndarray], threads: int) -> list[float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    first, second = (onnxruntime.InferenceSession(file, options) for file in (plain, explained))
    name, times = first.get_inputs()[0].name, ([], [], [])
    for turn in range(RUNS):
        fed = {name: inputs[turn % len(inputs)]}
        runs = ((first, fed), (second, fed), (second, fed | {"explain": np.array(False)}))
        for spent, (session, feeds) in zip(times, runs, strict=True):
            started = time.perf_counter()
            session.run(None, feeds)
            spent.append(time.perf_counter() - started)
    return [statistics.median(spent) for spent in times]


if __name__ == "__main__":
    main()

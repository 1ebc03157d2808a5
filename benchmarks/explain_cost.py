"""What an explanation costs beside the prediction: medians over photographs, for every model of DDCAM_DATA.

Loading, the plain forward pass (ONNX Runtime alone, the whole model) and the explanation are timed in one process,
in turn, so that the ratios hold on a noisy machine. Usage: DDCAM_DATA=... python benchmarks/explain_cost.py
"""

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime
from numpy.typing import NDArray

import ddcam
from ddcam.engine import Model
from ddcam.engine.answer import Attribution
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem

T = TypeVar("T")
PRESETS = {"torch": "imagenet", "raw_u8": "raw", "tf": "symmetric", "cifar": "cifar10"}
PICTURES, ROUNDS = 10, 3
HEADER = """# What an explanation costs beside the prediction

ddcam {version}, ONNX Runtime {runtime}, {cores} cores of {machine}; medians over {pictures} photographs, each {rounds}
times, in milliseconds; made by `python benchmarks/explain_cost.py`. "Forward" is the plain model in ONNX Runtime.
"Explain" is backbone, search and certificate, without reading, drawing and writing; "x" is explain / forward.

| model | load | forward | top1 | x | units kept | probes | confidence:0.9 | x | units kept | probes |
|---|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    paths = sorted((data / "images" / "imagenet-val160").iterdir())[:PICTURES]
    pictures = [ddcam.open_image(path) for path in paths]
    print(
        HEADER.format(
            version=ddcam.__version__,
            runtime=onnxruntime.__version__,
            cores=os.cpu_count(),
            machine=platform.machine(),
            pictures=PICTURES,
            rounds=ROUNDS,
        )
    )
    for entry in json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8")):
        if entry["ds"] in ("in", "cf", "pl15", "fl"):
            print(row(data / "models" / entry["name"], PRESETS.get(entry["pre"], entry["pre"]), pictures), flush=True)


def row(file: Path, preset: str, pictures: list[ddcam.Picture]) -> str:
    loading, model = timed(lambda: ddcam.load(file, preprocessing=preset))
    plain = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    name = plain.get_inputs()[0].name
    inputs = [prepare(p, model.opened.preprocessing, model.opened.picture)[0] for p in pictures]
    forward = [timed(partial(plain.run, None, {name: x}))[0] for _ in range(ROUNDS) for x in inputs]
    cells = [file.stem, f"{loading:.0f}", f"{statistics.median(forward):.1f}"]
    for preserve in ("top1", "confidence:0.9"):
        runs = [timed(partial(answer, model, x, preserve)) for _ in range(ROUNDS) for x in inputs]
        cost = statistics.median(seconds for seconds, _ in runs)
        kept = statistics.median(len(found.subset) for _, found in runs)
        probes = statistics.median(found.cost.probes for _, found in runs)
        ratio = cost / statistics.median(forward)
        cells += [f"{cost:.1f}", f"{ratio:.1f}", f"{kept:g} of {model.split.count}", f"{probes:.0f}"]
    return f"| {' | '.join(cells)} |"


def answer(model: Model, inputs: NDArray[Any], preserve: str) -> Attribution:
    return dd_cam(Problem(model, inputs, preserve=preserve))


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Return milliseconds and the result."""
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1000, result


if __name__ == "__main__":
    main()

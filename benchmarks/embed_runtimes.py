"""Models with DD-CAM inside, in Node, in the browser and in C++, beside Python.

Needs npm install in examples/embed/node and examples/embed/browser, chromium, g++ and ONNX Runtime's C++ headers
(`.ci/headers` fetches them for CPLUS_INCLUDE_PATH).
Usage: DDCAM_DATA=... python benchmarks/embed_runtimes.py [--pictures 20] [--only NAME] > .../embed_runtimes.md
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from subjects import Subject, real_models

import ddcam
from ddcam import DdcamError

ROOT = Path(__file__).resolve().parents[1]
EMBED = ROOT / "examples" / "embed"
sys.path.insert(0, str(ROOT / "tests" / "adapters"))  # pages are opened and programs built as their tests do

from browser import posted_by_page  # noqa: E402
from cpp import Program, program_in  # noqa: E402

HEADER = """# Explanations inside models, in other runtimes

Made by `python benchmarks/embed_runtimes.py` with ddcam {version}, ONNX Runtime {runtime} (Python), and the versions of
onnxruntime-node and onnxruntime-web {node} and {web}, by the programs under examples/embed (that in C++ on Python's
shared library): DD-CAM with `top1`, up to {pictures} pictures of each model. Scores: the largest difference of the
model's own scores from Python's, by their largest. Same: pictures on which the mask of units is Python's. Maps: their
largest difference, where it is.

Statically quantised models (products of uint8 and int8) are other models in WebAssembly: their own scores differ, with
or without an explanation inside. Of float16 scores only the bits come out of Node, which are not compared.

| model | runtime | scores | same | maps |
|---|---|---|---|---|"""
Found = list[dict[str, Any]]
Runtimes = Mapping[str, Callable[[Path], Found]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--only", default="", help="a part of the model's name")
    asked = parser.parse_args()
    versions = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "pictures": asked.pictures}
    versions |= {"node": version_of("node", "onnxruntime-node"), "web": version_of("browser", "onnxruntime-web")}
    print(HEADER.format(**versions), flush=True)
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as built:
        program = program_in(Path(built))
        subprocess.run(program.build, check=True)
        runtimes = {"Node": in_node, "browser (WebAssembly)": in_browser, "C++": partial(in_cpp, program)}
        for subject in real_models(asked.pictures):
            if asked.only in subject.name:
                for row in elsewhere(subject, Path(folder), runtimes):
                    print(row, flush=True)


def version_of(program: str, package: str) -> str:
    told = json.loads((EMBED / program / "node_modules" / package / "package.json").read_text(encoding="utf-8"))
    return str(told["version"])


def elsewhere(subject: Subject, folder: Path, runtimes: Runtimes) -> Iterator[str]:
    """Run a model with DD-CAM inside in other runtimes, and compare with what Python gives for the same file."""
    file = folder / "explained.onnx"
    try:
        ddcam.export(subject.file, file, method="dd-cam", preprocessing=subject.preset, replace=True)
    except DdcamError as error:
        yield f"| {subject.name} | - | refused: {error} | | |"
        return
    inputs, scores = prepared(subject, folder)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names, first = [scores, "units", "saliency_map"], session.get_inputs()[0].name
    expected = [[np.ravel(value) for value in session.run(names, {first: one[None]})] for one in inputs]
    for runtime, run in runtimes.items():
        found = [[np.ravel(one[name]) for name in names] for one in run(folder)]
        pairs = list(zip(expected, found, strict=True))
        same = [pair for pair in pairs if np.array_equal(pair[0][1], pair[1][1])]
        off = "-" if inputs.dtype == np.float16 else f"{max(scores_off(*pair) for pair in pairs):.1g}"
        maps = f"{max(float(np.abs(a[2] - b[2]).max()) for a, b in same):.1g}" if same else "-"
        yield f"| {subject.name} | {runtime} | {off} | {len(same)} of {len(pairs)} | {maps} |"


def scores_off(expected: list[np.ndarray], found: list[np.ndarray]) -> float:
    want, got = (np.asarray(one[0], np.float64) for one in (expected, found))
    return float(np.abs(want - got).max() / np.abs(want).max())


def prepared(subject: Subject, folder: Path) -> tuple[np.ndarray, str]:
    """Write what the programs read, and return the model inputs and the name of the scores."""
    model = subject.load()
    inputs, opened = np.concatenate(subject.inputs(model)), model.opened
    inputs.tofile(folder / "input.bin")
    labels = [opened.labels[index] for index in range(opened.logits.classes)]
    about = {"shape": inputs.shape, "type": str(inputs.dtype), "scores": opened.logits.output, "labels": labels}
    about["scores_type"] = opened.measured.values[opened.logits.output].dtype
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return inputs, opened.logits.output


def in_node(folder: Path) -> Found:
    subprocess.run(["node", EMBED / "node" / "explain.mjs", folder], check=True, stdout=subprocess.DEVNULL)
    found: Found = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def in_browser(folder: Path) -> Found:
    found: Found = posted_by_page(EMBED / "browser", folder)
    return found


def in_cpp(program: Program, folder: Path) -> Found:
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    command = [program.file, folder, *map(str, about["shape"])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=program.environment)
    types = {"units": np.float32, "saliency_map": np.float32, about["scores"]: np.dtype(about["scores_type"])}
    values = {name: np.fromfile(folder / f"{name.replace('/', '_')}.bin", kind) for name, kind in types.items()}
    pictures = [np.split(value, about["shape"][0]) for value in values.values()]
    return [dict(zip(values, one, strict=True)) for one in zip(*pictures, strict=True)]


if __name__ == "__main__":
    main()

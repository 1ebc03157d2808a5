"""Explanations inside models: how exact, on every real model, in Python, Node and the browser.

Usage: DDCAM_DATA=... python benchmarks/embed.py [--pictures 100] [--only NAME] > benchmarks/results/embed.md
Node and browser run where examples/embed/{node,browser} have their node_modules, on a few pictures of each model.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from subjects import Subject, real_models

import ddcam
from ddcam.engine import Export, Wishes, check_export, export
from ddcam.engine.errors import DdcamError

HERE = Path(__file__).resolve().parent
EMBED = HERE.parent / "examples" / "embed"
METHODS = (
    "dd-cam", "grad-cam", "grad-cam++", "xgrad-cam", "hirescam", "layer-cam", "finer-cam", "norm-grad", "saliency",
    "input-x-gradient", "fullgrad", "guided-backpropagation", "lrp", "attention-relevance",
)  # fmt: skip
FEW = 5
"""Pictures for methods other than DD-CAM."""
HEADER = """# Explanations inside models

Made by `python benchmarks/embed.py` with ddcam {version} and ONNX Runtime {runtime}. Outputs: the largest relative
difference of the model's own outputs. Same: pictures on which DD-CAM's subset inside the model is the engine's; beside
it those with another subset that the engine certifies all the same (a probe, or a tie of the decision, within
rounding). Then, for each method, the largest difference of its maps from the engine's, of 1. DD-CAM (with `top1`, or
what fits the model) on up to {pictures} pictures of each model, other methods on {few}. In brackets:
refused, for the reason below.

| model | outputs | same | other, certified | {methods} |
|---|---|---|---|{rule}|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--elsewhere", type=int, default=20, help="pictures for other runtimes")
    parser.add_argument("--only", default="", help="a part of the model's name")
    asked = parser.parse_args()
    numbers = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "few": FEW, "pictures": asked.pictures}
    print(HEADER.format(**numbers, methods=" | ".join(METHODS), rule="---|" * (len(METHODS) - 1) + "---"))
    subjects = [one for one in real_models(asked.pictures) if asked.only in one.name]
    reasons: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects:
            found = {method: compared(subject, method, Path(folder)) for method in METHODS}
            print(line(subject, found, reasons), flush=True)
        for reason, number in reasons.items():
            print(f"\n{number}. {reason}")
        print("\n## Other runtimes\n\n| model | runtime | maps off | same |\n|---|---|---|---|")
        for subject in subjects:
            for row in elsewhere(subject, asked.elsewhere, Path(folder)):
                print(row, flush=True)


Compared = tuple[float, float, int, int]
"""How far outputs and maps are off, of how many pictures, and on how many the subset is another one."""


def compared(subject: Subject, method: str, folder: Path) -> Compared | str:
    """Export and compare; return what came out, or why not."""
    file = folder / "explained.onnx"
    pictures = [ddcam.open_image(path) for path in subject.pictures[: None if method == "dd-cam" else FEW]]
    try:
        agreed = export(subject.file, file, Export(method), wishes_of(subject), replace=True)
        found = check_export(file, pictures, wishes_of(subject))
    except DdcamError as error:
        return re.sub(r"\(node '.*?'\)", "", str(error))
    return agreed.outputs, max(off for off, _ in found), len(found), sum(other for _, other in found)


def line(subject: Subject, found: dict[str, Compared | str], reasons: dict[str, int]) -> str:
    """Write a model's row of the table."""
    offs = [told[0] for told in found.values() if not isinstance(told, str)]
    cells = [f"{max(offs):.1g}" if offs else "-"]
    search = found["dd-cam"]
    cells += ["-", "-"] if isinstance(search, str) else [f"{search[2] - search[3]} of {search[2]}", str(search[3])]
    for told in found.values():
        refused = isinstance(told, str)
        cells.append(f"({reasons.setdefault(told, len(reasons) + 1)})" if refused else f"{told[1]:.1g}")
    return f"| {subject.name} | {' | '.join(cells)} |"


def wishes_of(subject: Subject) -> Wishes:
    return Wishes(preprocessing=subject.preset)


def elsewhere(subject: Subject, count: int, folder: Path) -> Iterator[str]:
    """Run a model with DD-CAM inside in other runtimes, and compare with what Python gives for the same file."""
    file = folder / "explained.onnx"
    try:
        export(subject.file, file, Export("dd-cam"), wishes_of(subject), replace=True)
    except DdcamError:
        return
    inputs = prepared(subject, count, folder)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names, first = ["saliency_map", "units"], session.get_inputs()[0].name
    expected = [session.run(names, {first: one[None]}) for one in inputs]
    for runtime, results in {"Node": in_node(folder), "browser (WebAssembly)": in_browser(folder)}.items():
        if results is None:
            continue
        off = max(np.abs(np.ravel(m) - f["saliency_map"]).max() for (m, _), f in zip(expected, results, strict=True))
        same = sum(np.array_equal(np.ravel(u), f["units"]) for (_, u), f in zip(expected, results, strict=True))
        yield f"| {subject.name} | {runtime} | {off:.1g} | {same} of {len(results)} |"


def prepared(subject: Subject, count: int, folder: Path) -> np.ndarray:
    """Write what the programs under examples/embed read, for a few pictures; return the model inputs."""
    model = subject.load()
    inputs = np.concatenate(subject.inputs(model)[:count])
    inputs.tofile(folder / "input.bin")
    labels = [model.opened.labels[index] for index in range(model.opened.logits.classes)]
    about = {"shape": inputs.shape, "type": str(inputs.dtype), "scores": model.opened.logits.output, "labels": labels}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return inputs


def in_node(folder: Path) -> list[dict[str, Any]] | None:
    if not (EMBED / "node" / "node_modules").exists():
        return None
    subprocess.run(["node", EMBED / "node" / "explain.mjs", folder], check=True, stdout=subprocess.DEVNULL)
    found: list[dict[str, Any]] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def in_browser(folder: Path) -> list[dict[str, Any]] | None:
    if not (EMBED / "browser" / "node_modules").exists():
        return None
    sys.path.insert(0, str(HERE.parent / "tests" / "adapters"))
    from browser import posted_by_page  # noqa: PLC0415  (the page is opened as its test does)

    found: list[dict[str, Any]] = posted_by_page(EMBED / "browser", folder)
    return found


if __name__ == "__main__":
    main()

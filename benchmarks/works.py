"""Run every method of the catalogue on every model of DDCAM_DATA; print docs/works.md: what works, what is refused.

Usage: DDCAM_DATA=... python benchmarks/works.py [--only NAME] > docs/works.md
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from compatibility import FOLDERS, PRESETS, picture_for

import ddcam
from ddcam.engine import METHODS, Model, find_concepts, find_prototypes
from ddcam.engine.dataset import Sample
from ddcam.engine.methods import Method
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.saliency import is_blank
from ddcam.engine.types import Picture

QUICK = {"samples": 16, "cells": 4, "across": 4, "steps": 20, "channels": 16, "refined": 4}
"""Options that make sampling methods cheap; whether a method works does not depend on them."""
PICTURES = 6
"""Of which concepts and prototypes are fitted."""
HEADER = """# Every method on every real model

Made by `python benchmarks/works.py` with ddcam {version} and ONNX Runtime {runtime}: each model of the test data on one
picture, `confidence:0.9` where a search preserves something, sampling methods with few samples,
concepts and prototypes fitted on six pictures.

**+** a map that is finite and varies · **b** a blank map, reported as such · a number: refused, for the reason below.

| method | {heads} |
|---|{rule}|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="models whose names contain this")
    asked = parser.parse_args()
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    entries = json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8"))
    columns = {}
    for entry in entries:
        if asked.only in entry["name"] and not entry["name"].startswith("detectors"):
            columns[Path(entry["name"]).stem] = column(data, entry)
    print(document(columns))


def column(data: Path, entry: dict[str, Any]) -> dict[str, str]:
    """Return the outcome of every method on one model: "+", "b" or why it refuses."""
    file = data / "models" / entry["name"]
    model = ddcam.load(file, preprocessing=PRESETS.get(entry["pre"], entry["pre"]))
    picture, started = picture_for(data, entry["ds"]), time.perf_counter()
    inputs, _ = prepare(picture, model.opened.preprocessing, model.opened.picture)
    with tempfile.TemporaryDirectory() as folder:
        files = Fitted(model, samples(data, entry["ds"], picture), Path(folder))
        found = {name: outcome(method, model, inputs, files) for name, method in METHODS.items()}
    print(f"{file.stem}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return found


@dataclass(frozen=True)
class Fitted:
    """Files of concepts and prototypes, fitted on a few pictures when a method first needs one."""

    model: Model
    samples: list[Sample]
    folder: Path

    def options(self, method: Method, target: int) -> dict[str, str]:
        kinds: dict[str, tuple[str, Callable[..., Any]]] = {
            "a concept file": ("concepts", partial(find_concepts, target=str(target), rank=5)),
            "a prototype file": ("prototypes", find_prototypes),
        }
        if method.facts.needs not in kinds:
            return {}
        name, fit = kinds[method.facts.needs]
        fit(self.model, self.samples, self.folder / f"{name}.npz")
        return {name: str(self.folder / f"{name}.npz")}


def samples(data: Path, kind: str, picture: Picture) -> list[Sample]:
    """Return a few pictures to fit on; where the data is one array, the one picture."""
    folder = data / "images" / FOLDERS.get(kind, "nowhere")
    files = sorted(folder.iterdir())[:PICTURES] if folder.is_dir() else []
    return [Sample(f.name, partial(ddcam.open_image, f)) for f in files] or [Sample(picture.name, lambda: picture)]


def outcome(method: Method, model: Model, inputs: Any, files: Fitted) -> str:
    quick = {name: value for name, value in QUICK.items() if name in method.options}
    try:
        problem = Problem(model, inputs, preserve="confidence:0.9")
        found = method(problem, **quick, **files.options(method, problem.target))
    except ddcam.DdcamError as error:
        return str(error)
    if not (np.isfinite(found.grid_map).all() and np.isfinite(found.scores).all()):
        raise SystemExit(f"{method.name} gives a map that is not finite on {model.opened.graph.path.name}")
    return "b" if is_blank(found.grid_map) else "+"


def document(columns: dict[str, dict[str, str]]) -> str:
    reasons: dict[str, int] = {}
    lines = []
    for name in METHODS:
        cells = []
        for found in columns.values():
            told = found[name]
            cells.append(told if told in ("+", "b") else str(reasons.setdefault(told, len(reasons) + 1)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    header = HEADER.format(
        version=ddcam.__version__,
        runtime=onnxruntime.__version__,
        heads=" | ".join(columns),
        rule="---|" * (len(columns) - 1) + "---",
    )
    notes = "\n".join(f"{number}. {reason}" for reason, number in reasons.items())
    return f"{header}\n" + "\n".join(lines) + f"\n\nRefusals:\n\n{notes}"


if __name__ == "__main__":
    main()

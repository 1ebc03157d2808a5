"""Run an untrusted model for the first time: in a child process, under a memory and a time limit."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, OutputError, RunError, UnsafeModelError
from ..types import BESIDE, Content, Measured, Value
from .session import brief, parts_of

SECONDS = 300
BASE = 3 * 2**30
"""Bytes that a small model may use; the usual classifiers stay far below at batch 2 with every tensor kept."""


def trial(model: Content, pictures: np.ndarray[Any, Any], *, free_batch: bool, memory: int | None = None) -> Measured:
    """Run a model whose tensors are all outputs on two pictures `[2, ...]`; return what was seen.

    `memory` is the most bytes that the run may add; the default is 3 GiB and six times the model. Raises
    UnsafeModelError when that is exceeded, ModelError when the model cannot be run, RunError when it
    crashes or does not end. Cost: a process start, two or three forwards without graph optimisation.
    """
    limit = memory or BASE + 6 * len(model)
    try:
        with tempfile.TemporaryDirectory(prefix="ddcam-") as folder:
            where = Path(folder)
            write(model, where)
            np.save(where / "pictures.npy", pictures)
            if free_batch:
                (where / "free.txt").touch()
            return read(start(where, limit), limit)
    except OSError as error:
        raise OutputError(
            f"cannot write temporary files for the trial run: {error.strerror or error}; make room or set TMPDIR"
        ) from error


def write(model: Content, folder: Path) -> None:
    """Write a graph and, where they lie beside it, its weights, in the order in which it counts them."""
    graph, weights = parts_of(model)
    (folder / "model.onnx").write_bytes(graph)
    if weights:
        with (folder / BESIDE).open("wb") as file:
            for weight in weights.values():
                weight.tofile(file)


def start(folder: Path, limit: int) -> "subprocess.CompletedProcess[str]":
    child = Path(__file__).with_name("trial_child.py")
    command = [sys.executable, "-W", "ignore", str(child), str(folder), str(limit)]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise RunError(
            f"the model did not finish one picture in {SECONDS} s; is there an endless loop in it?"
        ) from error


def read(child: "subprocess.CompletedProcess[str]", limit: int) -> Measured:
    lines = child.stdout.strip().splitlines()
    if child.returncode != 0 or not lines:
        raise RunError(
            f"the model crashed ONNX Runtime in its trial run (exit status {child.returncode}); the file is damaged "
            "or uses what this version cannot run"
        )
    result = json.loads(lines[-1])
    if result.get("error") == "memory":
        raise UnsafeModelError(
            f"the model needs more than {limit / 2**30:.1f} GiB for one picture; "
            "allow more with --memory if you trust it"
        )
    if "error" in result:
        raise ModelError(f"ONNX Runtime cannot run the model: {brief(result['text'])}")
    values = {name: value_of(facts) for name, facts in result["one"].items()}
    two = result.get("two")
    return Measured(values, two and {name: tuple(shape) for name, shape in two.items()})


def value_of(facts: Mapping[str, Any]) -> Value:
    same = tuple(facts.get("same", ()))
    one = facts.get("sums_to_one", False)
    return Value(tuple(facts["shape"]), facts["dtype"], facts.get("finite", True), same, one)

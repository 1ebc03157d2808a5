"""The child process of a trial run: load a model, run it on two pictures, print the shape of every tensor.

It is started by path so that it imports NumPy and ONNX Runtime alone. What goes wrong is printed as JSON too;
a crash or a kill by the memory limit is seen by the parent from the exit status.
"""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime as ort

NO_MEMORY = ("bad_alloc", "bad allocation", "Failed to allocate memory")
"""How ONNX Runtime says that an allocation failed."""


def main(folder: str, limit: int) -> None:
    """Run `model.onnx` of the folder on `pictures.npy`, one at a time and, where `free.txt` says so, together."""
    limit_memory(limit)
    try:
        print(json.dumps(measure(Path(folder))))
    except MemoryError:
        print(json.dumps({"error": "memory", "text": "bad allocation"}))
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        text = " ".join(str(error).split())
        kind = "memory" if any(sign in text for sign in NO_MEMORY) else "run"
        print(json.dumps({"error": kind, "text": text[:2000]}))


def limit_memory(limit: int) -> None:
    """Let the address space grow by `limit` bytes and no more; Windows has no such limit, macOS may refuse it."""
    try:
        import resource  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        used = 2**32
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    allowed = used + limit if most == resource.RLIM_INFINITY else min(used + limit, most)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (allowed, most))


def measure(folder: Path) -> dict[str, object]:
    """Run one picture, and two together where the batch is free; else the second alone if there are token rows."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = min(4, os.cpu_count() or 1)  # every thread's stack counts as memory
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    pictures = np.load(folder / "pictures.npy")
    first = run(session, name, pictures[:1])
    both = batch_of_two(session, name, pictures) if (folder / "free.txt").exists() else None
    rows = [key for key, value in first.items() if value.ndim == 3]
    second = run(session, name, pictures[1:2]) if both is None and rows else {}
    if both is not None:
        second = {key: both[key][1:2] for key in rows if len(both[key]) == 2}
    result: dict[str, object] = {"one": {key: describe(value, second.get(key)) for key, value in first.items()}}
    if both is not None:
        result["two"] = {key: value.shape for key, value in both.items()}
    return result


def run(session: ort.InferenceSession, name: str, batch: np.ndarray) -> dict[str, np.ndarray]:
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {name: batch})
    arrays = {key: value for key, value in zip(names, values, strict=True) if isinstance(value, np.ndarray)}
    return {name: batch} | arrays


def describe(value: np.ndarray, other: np.ndarray | None) -> dict[str, object]:
    """Give shape, type, whether it is finite, and of rows of tokens on which positions another picture agrees."""
    facts: dict[str, object] = {"shape": value.shape, "dtype": value.dtype.name}
    if value.dtype.kind == "f":
        facts["finite"] = bool(np.isfinite(value).all())
        facts["sums_to_one"] = bool(value.size > 1 and (value >= 0).all() and abs(value.sum() - 1) < 1e-3)
    if other is not None and value.ndim == 3 and value.shape == other.shape:
        facts["same"] = [int(i) for i in np.flatnonzero((value == other).all(axis=(0, 2)))]
    return facts


def batch_of_two(session: ort.InferenceSession, name: str, pictures: np.ndarray) -> dict[str, np.ndarray] | None:
    """Run two pictures together; None where the model's batch axis is free in name only."""
    try:
        return run(session, name, pictures[:2])
    except Exception:  # ONNX Runtime's exceptions share no base class; a baked-in batch shows as any of them
        return None


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

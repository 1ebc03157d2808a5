"""A zoo of small random classifiers, and trial runs in this process, for the tests of the engine."""

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from ddcam.engine.model import Model, load
from ddcam.engine.runtime import trial_child
from ddcam.engine.runtime.trial import read, write
from ddcam.engine.types import Content, Measured, Wishes


def sibling(name: str) -> ModuleType:
    """Import a module beside this file; test folders are no packages."""
    spec = importlib.util.spec_from_file_location(f"ddcam_tests_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


DRAFT, ZOO = sibling("draft"), sibling("zoo")


def build(family: str, opset: int = 17, ending: str = "Softmax", **kwargs: Any) -> tuple[onnx.ModelProto, str]:
    """Build a model of a family; return it and the name of the tensor to split at."""
    draft = DRAFT.Draft(opset, **kwargs)
    features = ZOO.FAMILIES[family].draw(draft)
    return draft.model(draft.end(ending)), features


def run(model: onnx.ModelProto | bytes, feeds: dict[str, np.ndarray], outputs: list[str] | None = None) -> list[Any]:
    """Run a graph as it is written, without optimisation and on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def pictures(count: int = 2, layout: str = "NCHW", dtype: str = "float32", seed: int = 0) -> np.ndarray:
    shape = (count, 3, 16, 16) if layout == "NCHW" else (count, 16, 16, 3)
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def trial_here(model: Content, pictures: np.ndarray, *, free_batch: bool, memory: int | None = None) -> Measured:
    """Do what the trial run does, in this process and without a limit."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        write(model, where)
        np.save(where / "pictures.npy", pictures)
        if free_batch:
            (where / "free.txt").touch()
        answer = json.dumps(trial_child.measure(where))
    return read(subprocess.CompletedProcess([], 0, answer, ""), 0)


@pytest.fixture(scope="session")
def zoo() -> SimpleNamespace:
    return SimpleNamespace(
        Draft=DRAFT.Draft, FAMILIES=ZOO.FAMILIES, build=build, run=run, pictures=pictures, trial=trial_here
    )


@pytest.fixture(params=list(ZOO.FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def load_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Model]:
    """Load a model given as a protobuf; the trial run needs no process of its own."""
    monkeypatch.setattr("ddcam.engine.open_model.trial", trial_here)

    def load_model(proto: onnx.ModelProto, **wishes: Any) -> Model:
        onnx.save(proto, tmp_path / "model.onnx")
        return load(tmp_path / "model.onnx", Wishes(**{"threads": 1, "device": "cpu", **wishes}))

    return load_model

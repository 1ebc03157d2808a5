"""One ONNX Runtime session per graph, on a device, for as long as it is needed."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DdcamError, OptionError, RunError
from ..types import Content, Device, Parted
from .device import providers, require, runtime

MOST_THREADS = 1024
NOISE = (
    r"\[ONNXRuntimeError\] : \d+ : \w+ : ",
    r"Load model from .*?model\.onnx failed: ?",
    r"\S*onnxruntime[/\\]core[/\\]\S+:\d+ .*?\) ",
)
"""What its messages say of files that a user has never seen."""


class Session:
    """A loaded graph; `run` takes and returns NumPy arrays by name."""

    def __init__(
        self,
        model: Content,
        *,
        device: Device = "cpu",
        threads: int = 0,
        without: Sequence[str] = (),
        optimized: Path | None = None,
    ) -> None:
        """Load a graph; `threads` 0 lets ONNX Runtime use all cores, `without` names optimisers.

        With `optimized` the graph is also written there, after those optimisations that use standard operators only.
        """
        if not 0 <= threads <= MOST_THREADS:  # far more crash ONNX Runtime
            raise OptionError(f"expected 0 (all cores) to {MOST_THREADS} threads, got {threads}")
        ort = runtime()
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if optimized:
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(optimized)
        graph, self.weights = parts_of(model)
        if self.weights:
            values = [ort.OrtValue.ortvalue_from_numpy(weight) for weight in self.weights.values()]
            options.add_external_initializers(list(self.weights), values)
        try:
            self.handle: Any = ort.InferenceSession(
                graph, options, providers=providers(device), disabled_optimizers=list(without)
            )
        except DdcamError:
            raise
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise RunError(f"ONNX Runtime cannot load the graph: {brief(error)}") from error
        require(device, self.handle)
        self.device = device
        self.threads = threads
        self.inputs: list[str] = [item.name for item in self.handle.get_inputs()]
        self.outputs: list[str] = [item.name for item in self.handle.get_outputs()]

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """Run the graph once; raises RunError in one line."""
        try:
            return [np.asarray(value) for value in self.handle.run(outputs, dict(feeds))]
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise RunError(f"ONNX Runtime failed: {brief(error)}") from error


def parts_of(content: Content) -> tuple[bytes, Mapping[str, NDArray[Any]]]:
    """Return the bytes of a graph and the weights beside it, of which most have none."""
    return (content.graph, content.weights) if isinstance(content, Parted) else (content, {})


def brief(error: object) -> str:
    """Say an error of ONNX Runtime in one line, without its codes, its own sources and our temporary file."""
    text = " ".join(str(error).split())
    return re.sub("|".join(NOISE), "", text)[:300]

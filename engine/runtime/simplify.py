"""ONNX Runtime's own first optimisations, saved as a graph: constants and batch norm folded, standard operators."""

import tempfile
from pathlib import Path

from .session import Session


def simplified(model: bytes) -> bytes:
    """Return an equivalent graph with fewer nodes; inputs and outputs keep their names.

    Raises RunError where ONNX Runtime cannot load the graph, OutputError where there is no room for a temporary
    file. Cost: one load of the model and one copy of it on disk.
    """
    with tempfile.TemporaryDirectory(prefix="ddcam-") as folder:
        path = Path(folder) / "simplified.onnx"
        Session(model, threads=1, optimized=path)
        return path.read_bytes()

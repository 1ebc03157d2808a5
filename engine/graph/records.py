"""What is written into a model file beside its graph: names of the classes, preprocessing, where it came from."""

from collections.abc import Mapping
from pathlib import Path

import onnx


def write_metadata(path: Path, entries: Mapping[str, str]) -> None:
    """Set entries of a model file's `metadata_props`; others stay, and so do weights kept in files beside it."""
    proto = onnx.load(path, load_external_data=False)
    kept = {item.key: item.value for item in proto.metadata_props}
    onnx.helper.set_model_props(proto, {**kept, **entries})
    onnx.save(proto, path)

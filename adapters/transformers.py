"""A folder of a Hugging Face or timm export: the model, its preprocessing and the names of its classes side by side."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine.errors import ModelError, OptionError
from ..engine.model import Model
from ..engine.model import load as load_file
from ..engine.types import Wishes

NAME, INNER = "model.onnx", "onnx"
LIMIT = 1_000_000
"""Bytes of a config.json."""


def load(folder: str | Path, *, labels: Path | None = None, **wishes: Any) -> Model:
    """Load the model of an export folder as `ddcam.load` does, with what its JSON files say.

    `folder` holds model.onnx, itself or in a folder `onnx`, and beside that preprocessor_config.json (Hugging Face)
    or timm's config.json, and config.json with id2label (or timm's label_names). Among several .onnx files model.onnx
    is taken; without it one file alone. `labels` is another file of names; `wishes` are those of `ddcam.load`. Nothing
    is downloaded, and neither library is needed. Raises ModelError where no file or no single one is there, and what
    `ddcam.load` raises. Cost: that of `ddcam.load`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"expected a folder with {NAME} and its configuration, found none at {str(folder)!r}")
    named = folder / "config.json"
    if labels is None and names_classes(named):
        labels = named
    return load_file(model_in(folder), Wishes(labels=labels, **wishes))


def model_in(folder: Path) -> Path:
    """Return the model file of a folder: model.onnx, else the only one there."""
    found = [file for place in (folder, folder / INNER) for file in sorted(place.glob("*.onnx"))]
    chosen = [file for file in found if file.name == NAME] or found
    if not chosen:
        raise ModelError(f"expected {NAME} in {folder} or its folder {INNER}, found no .onnx file; export the model")
    if len(chosen) > 1 and chosen[0].name != NAME:
        names = ", ".join(file.relative_to(folder).as_posix() for file in chosen)
        raise ModelError(f"expected {NAME} or a single .onnx file in {folder}, got {names}; give ddcam.load the file")
    return chosen[0]


def names_classes(config: Path) -> bool:
    """Tell whether a config.json has names for the classes, and not only LABEL_0, LABEL_1, ..."""
    if not config.is_file():
        return False
    try:
        text = config.read_bytes() if config.stat().st_size <= LIMIT else b""
        content = json.loads(text)
    except (ValueError, OSError, RecursionError):
        raise OptionError(f"expected JSON of up to {LIMIT} bytes in {config}, got something else; mend it") from None
    names = content.get("id2label") if isinstance(content, Mapping) else None
    if isinstance(names, Mapping) and all(str(name).startswith("LABEL_") for name in names.values()):
        return False
    return isinstance(content, Mapping) and bool(names or content.get("label_names"))

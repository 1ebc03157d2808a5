"""A model with its explanation inside as a model repository for Triton Inference Server."""

from pathlib import Path

from .atomic import whole_folder
from .export import Agreement, Export, explained
from .graph.triton import config_text
from .types import Wishes

CONFIG = "config.pbtxt"


def triton_repository(
    path: str | Path, folder: Path, asked: Export, wishes: Wishes, *, replace: bool = False
) -> tuple[Path, Agreement]:
    """Write FOLDER/NAME/config.pbtxt, labels.txt and 1/model.onnx, and return FOLDER/NAME; NAME is the model file's.

    One model and no ensemble, since prediction and explanation are one graph. Raises and costs what `export` does.
    """
    name = Path(path).stem
    with whole_folder(folder / name, replace=CONFIG if replace else None) as work:
        found = explained(path, asked, wishes)
        (work / "1").mkdir()
        (work / "1" / "model.onnx").write_bytes(found.content)
        (work / CONFIG).write_text(config_text(found.content, name, found.scores), encoding="utf-8")
        (work / "labels.txt").write_text("\n".join(found.labels) + "\n", encoding="utf-8")
    return folder / name, found.agreement

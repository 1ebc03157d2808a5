"""A model as two files: backbone.onnx and head.onnx, proved to compute what the model computes."""

from pathlib import Path

import numpy as np

from .atomic import refuse_existing, whole_folder
from .check import require_equal
from .errors import SplitError
from .graph.content import content_of
from .graph.cut import Part, extract
from .graph.load import valid_bytes
from .model import split_of
from .open_model import Opened, open_model
from .runtime.session import Session
from .types import Split, Wishes

BACKBONE = "backbone.onnx"
HEAD = "head.onnx"


def split_files(
    path: str | Path, folder: str | Path, wishes: Wishes | None = None, *, replace: bool = False
) -> tuple[str, float]:
    """Write a model's backbone.onnx (picture -> split tensor) and head.onnx (split tensor -> output).

    Both are checked, and head(backbone(x)) is compared with model(x) on three photographs before anything is
    written. Returns the split tensor and the largest difference relative to the largest output. Raises
    ModelError, SplitError, CheckError, OutputError.
    """
    wishes, folder = wishes or Wishes(), Path(folder)
    refuse_existing(folder, BACKBONE if replace else None)
    opened = open_model(path, wishes)
    split = split_of(opened, wishes)
    if split.units == "patch":
        raise SplitError(f"nothing to cut: patches are squares of the model's input ({split.reason})")
    proto, measured = opened.graph.proto, opened.measured
    parts = {
        BACKBONE: extract(proto, measured, Part(opened.picture.name, (split.tensor,))),
        HEAD: extract(proto, measured, Part(split.tensor, (opened.logits.output,))),
    }
    contents = {name: valid_bytes(part, name) for name, part in parts.items()}
    found = compare(opened, split, contents)
    with whole_folder(folder, replace=BACKBONE if replace else None) as work:
        for name, content in contents.items():
            (work / name).write_bytes(content)
    return split.tensor, found


def compare(opened: Opened, split: Split, contents: dict[str, bytes]) -> float:
    whole = Session(content_of(opened.graph.proto), threads=1, without=opened.without)
    backbone, head = (Session(contents[name], threads=1, without=opened.without) for name in (BACKBONE, HEAD))
    pairs = []
    for i in range(len(opened.samples)):
        inputs = {opened.picture.name: opened.samples[i : i + 1]}
        expected = whole.run(inputs, [opened.logits.output])[0]
        pairs.append((head.run({split.tensor: backbone.run(inputs)[0]})[0], expected))
    got, expected = (np.stack(values) for values in zip(*pairs, strict=True))
    return require_equal(got, expected, f"split at {split.tensor!r}", opened.coarsest)

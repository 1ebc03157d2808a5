"""One file for what was fitted: named arrays and a header, a plain .npz without pickle, safe to open from anywhere."""

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..atomic import whole_file
from ..errors import FittedFileError
from ..model import Model

VERSION = 1
HEADER = "header"
LARGEST = 2**30
"""Bytes of a file that is opened; what is fitted is far smaller."""


@dataclass(frozen=True)
class Kind:
    """A kind of fitted file: its name, the command that makes one, and the type and rank of each array."""

    name: str
    command: str
    arrays: Mapping[str, tuple[str, int]]

    def refuse(self, path: Path, why: str) -> NoReturn:
        """Raise FittedFileError with the way out."""
        raise FittedFileError(f"{path} {why}; make one with ddcam {self.command}")


@dataclass(frozen=True)
class Fitted:
    """What a file holds: the header, as JSON has it, and the arrays by name."""

    path: Path
    header: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def write_archive(
    path: Path, kind: Kind, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], *, replace: bool
) -> None:
    """Write a fitted file whole or not at all; raises OutputError."""
    full = {"format": f"ddcam {kind.name}", "version": VERSION, **header}
    text = json.dumps(full, ensure_ascii=False).encode(errors="backslashreplace")
    found = {HEADER: np.frombuffer(text, np.uint8)}
    found |= {name: np.asarray(arrays[name], dtype, order="C") for name, (dtype, _) in kind.arrays.items()}
    with whole_file(path, replace=replace) as work, work.open("wb") as file:
        np.savez(file, allow_pickle=False, **found)


def read_archive(path: Path, kind: Kind) -> Fitted:
    """Read a fitted file of a kind; nothing in it is executed, and no array is larger than the file.

    Raises FittedFileError where it is missing, damaged or of another kind or version.
    """
    if not os.path.isfile(path):
        kind.refuse(path, f"is no file of {kind.name}")
    if os.path.getsize(path) > LARGEST:
        kind.refuse(path, f"is over {LARGEST / 2**20:.0f} MB, which no file of {kind.name} is")
    try:
        members = read_members(path, [HEADER, *kind.arrays])
        header = json.loads(members.pop(HEADER).tobytes())
        said = (header["format"], header["version"])
    except Exception as error:  # the readers raise whatever the bytes make them stumble over
        kind.refuse(path, f"is damaged or no file of {kind.name} ({type(error).__name__})")
    if said != (f"ddcam {kind.name}", VERSION):
        kind.refuse(path, f"is not a file of {kind.name} of version {VERSION}")
    for name, (dtype, rank) in kind.arrays.items():
        found = members[name]
        if found.dtype != dtype or found.ndim != rank or not np.isfinite(found).all():
            kind.refuse(path, f"is damaged: {name} is not {dtype} of {rank} axes, all of it finite")
    return Fitted(path, header, members)


def read_members(path: Path, names: list[str]) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive:
        infos = {name: archive.getinfo(f"{name}.npy") for name in names}
        sizes = sum(info.file_size for info in infos.values())
        packed = any(info.compress_type != zipfile.ZIP_STORED for info in infos.values())
        if packed or sizes > os.path.getsize(path):  # packed members could unpack to anything
            raise ValueError("members larger than the file")
        return {name: array_of(archive.read(info)) for name, info in infos.items()}


def array_of(content: bytes) -> NDArray[Any]:
    """Read the bytes of a .npy file as they are: the shape must fit the bytes, and objects are refused."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("another format of arrays")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype.kind not in "iuf":
        raise ValueError("not plain numbers")
    return np.frombuffer(content[stream.tell() :], dtype).reshape(shape)


# ----- whose it is -----


def identity(model: Model) -> dict[str, Any]:
    """Return what a fitted file remembers of its model: features of another model, split or preprocessing differ."""
    preprocessing = asdict(model.opened.preprocessing)
    for name in ("reason", "name"):
        del preprocessing[name]
    graph, split = model.opened.graph, model.split
    found = {"sha256": graph.sha256, "file": graph.path.name, "split": split.tensor, "preprocessing": preprocessing}
    return dict(json.loads(json.dumps(found)))


def require_same(fitted: Fitted, kind: Kind, model: Model) -> None:
    """Raise FittedFileError where a file was fitted on another model, at another split or under other preprocessing."""
    own, theirs = identity(model), fitted.header.get("model")
    if not isinstance(theirs, dict):
        kind.refuse(fitted.path, "is damaged: it names no model")
    for name, what in (
        ("sha256", "on another model"),
        ("split", "at another split"),
        ("preprocessing", "under other preprocessing"),
    ):
        if theirs.get(name) != own[name]:
            came = theirs.get("file" if name == "sha256" else name)
            kind.refuse(
                fitted.path,
                f"was fitted {what} ({came!r:.200}, here {own['file' if name == 'sha256' else name]!r:.200})",
            )

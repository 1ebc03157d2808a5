"""A shard of a bulk run: its rows and maps, computed whole and put into place when all of it is written."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from zipfile import ZipFile, ZipInfo

import numpy as np

from .atomic import whole_file, whole_folder
from .bulk_rows import Opener, Told, explained_rows
from .errors import ModelError
from .explainer import Explainer
from .journal import Row
from .model import load
from .render.png import from_map, png_bytes
from .types import Wishes

Maps = Literal["none", "png", "npy", "zip"]
Keep = Callable[[Told], str | None]
"""Write a row's map and return where it is."""


def write_lines(file: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON, a line each."""
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@dataclass(frozen=True)
class Form:
    """How rows are written: the suffix of the files, and what writes one; a module's function, for other processes."""

    suffix: str
    write: Callable[[Path, Sequence[Row]], None]


LINES = Form("jsonl", write_lines)


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know; it travels to other processes and machines.

    `model` is the file and `sha256` that of what was planned with, `folder` where shards go, `root` what names of
    pictures are relative to, `opener` reads one. `method`, `target` and `preserve` are those of `explain`; `text` adds
    sentences to rows, `maps` says what is written of maps: grey PNG files, NPY files, or PNG files in a zip a shard.
    """

    model: Path
    folder: Path
    root: Path
    opener: Opener
    method: str = "dd-cam"
    target: str | None = None
    preserve: str | None = None
    maps: Maps = "none"
    text: bool = False
    form: Form = LINES
    wishes: Wishes = field(default_factory=Wishes)
    sha256: str = ""

    def explainer(self, threads: int = 0) -> Explainer:
        """Load the model in this process, on `threads` threads unless the wishes say how many.

        Raises what `load` and `Explainer` raise, and ModelError where the file is not the one planned with.
        """
        model = load(self.model, replace(self.wishes, threads=self.wishes.threads or threads))
        if self.sha256 not in ("", model.opened.graph.sha256):
            raise ModelError(f"{self.model} is another file than when the run was begun; put the first one back")
        return Explainer(model, method=self.method, target=self.target, preserve=self.preserve)


@dataclass(frozen=True)
class Shard:
    """A stretch of the input: its number, the place of its first picture, and the pictures' names."""

    number: int
    start: int
    names: Sequence[str]


def part_name(number: int, suffix: str) -> str:
    return f"part-{number:05d}.{suffix}"


def complete(job: Job, explainer: Explainer, shard: Shard) -> Iterator[Row]:
    """Explain the pictures of a shard and put its files into place, rows last: where they are, the shard is whole.

    Each row is yielded too. Raises OutputError, after which, as after an iteration that is left, nothing of the shard
    is there.
    """
    named = enumerate(shard.names, shard.start)
    rows = []
    with (
        whole_file(job.folder / part_name(shard.number, job.form.suffix), replace=True) as file,
        KEEPERS[job.maps](job.folder, shard.number) as keep,
    ):
        for told in explained_rows(explainer, job.opener, job.root, named, text=job.text):
            rows.append(told.row | {"map": keep(told)})
            yield rows[-1]
        job.form.write(file, rows)
        flush(file)


def rows_of(job: Job, explainer: Explainer, columns: Mapping[str, Iterable[Any]]) -> list[Row]:
    """Return the rows for a table with a column `path`, and `index` where there is one; nothing is written."""
    names = list(map(str, columns["path"]))
    places = map(int, columns["index"]) if "index" in columns else [None] * len(names)
    named = zip(places, names, strict=True)
    return [told.row for told in explained_rows(explainer, job.opener, job.root, named, text=job.text)]


def flush(file: Path) -> None:
    """Wait until the disk has a file."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


# ----- maps -----


@contextmanager
def no_maps(_: Path, __: int) -> Iterator[Keep]:
    yield lambda _: None


@contextmanager
def files_of(suffix: str, folder: Path, number: int) -> Iterator[Keep]:
    """Keep maps as files in a folder of the shard's own."""
    place = folder / part_name(number, "maps")
    if place.exists():  # a shard that broke off between its maps and its rows
        shutil.rmtree(place)
    with whole_folder(place) as work:

        def keep(told: Told) -> str | None:
            content = map_bytes(told, suffix)
            if content is None:
                return None
            name = f"{told.row['index']:08d}.{suffix}"
            (work / name).write_bytes(content)
            return f"{place.name}/{name}"

        yield keep


@contextmanager
def zip_of(folder: Path, number: int) -> Iterator[Keep]:
    """Keep maps as PNG files in one archive; they are compressed already."""
    with whole_file(folder / part_name(number, "zip"), replace=True) as file, ZipFile(file, "w") as archive:

        def keep(told: Told) -> str | None:
            content = map_bytes(told, "png")
            if content is None:
                return None
            name = f"{told.row['index']:08d}.png"
            archive.writestr(ZipInfo(name), content)  # which has no time in it
            return name

        yield keep


def map_bytes(told: Told, suffix: str) -> bytes | None:
    """Return a map as the content of a file: as numbers, or as it is shown, in grey."""
    if told.saliency is None or told.shown is None:
        return None
    saliency = told.saliency()
    if suffix == "png":
        return png_bytes(from_map(told.shown(saliency)))
    stream = BytesIO()
    np.save(stream, saliency)
    return stream.getvalue()


KEEPERS: dict[Maps, Callable[[Path, int], AbstractContextManager[Keep]]] = {
    "none": no_maps,
    "png": partial(files_of, "png"),
    "npy": partial(files_of, "npy"),
    "zip": zip_of,
}

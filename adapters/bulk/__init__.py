"""Lists of pictures as people keep them, and the forms that rows are written in."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...engine.bulk_shard import LINES, Form
from ...engine.errors import OptionError
from ...engine.journal import Row
from ..datasets import table
from ..images import suffixes

FORMS = ("parquet", "jsonl")


def find_pictures(source: Path) -> tuple[Path, list[str]]:
    """Return a folder and the names of pictures in it, in order: what a folder holds, or what a list says.

    Of a folder the picture files in it and below, by their suffix, in the order of their names, hidden ones left out.
    A CSV, TSV or Parquet file has them in a column path, file, filename, file_name, image, picture or name; another
    file is text, a name a line. They are relative to the list's folder. Nothing is opened. Raises OptionError,
    MissingPackageError for Parquet without pyarrow.
    """
    root, suffix = source.absolute(), source.suffix.lower()
    if source.is_dir():
        names = sorted(in_folder(root), key=lambda name: name.split("/"))
    elif source.is_file():
        root, names = root.parent, in_list(source, suffix)
    else:
        raise OptionError(f"expected a folder or a list of pictures, found nothing at {str(source)!r}; check the path")
    if not names:
        raise OptionError(f"expected pictures in {str(source)!r}, found none; check the path")
    return root, names


def in_folder(root: Path) -> Iterator[str]:
    endings = tuple(suffixes())
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(os.path.relpath(place, root))
        for name in files:
            if name.lower().endswith(endings) and not name.startswith("."):
                yield (below / name).as_posix()


def in_list(source: Path, suffix: str) -> list[str]:
    if suffix in suffixes():
        raise OptionError(f"expected a folder or a list of pictures, {source.name} is one picture; take ddcam explain")
    if suffix == ".parquet":
        from . import parquet  # noqa: PLC0415  (pyarrow, only where it is used)

        return parquet.read_column(source, table.FILES)
    if table.recognises(source):
        return [name or "" for name, _ in table.lines(source)]
    try:
        text = source.read_text("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise OptionError(f"cannot read {source}: {error.strerror}") from None
    if "\0" in text:
        raise OptionError(f"expected names of pictures in {source.name}, a line each, got a binary file")
    return [line for line in (line.strip() for line in text.split("\n")) if line]


def form_named(name: str) -> Form:
    """Return how rows are written: "parquet", which needs pyarrow, or "jsonl". Raises MissingPackageError."""
    if name == "jsonl":
        return LINES
    from . import parquet  # noqa: PLC0415  (pyarrow, only where it is used)

    return Form("parquet", parquet.write_rows)


def arrow_table(rows: Sequence[Row]) -> Any:
    """Return rows as an Arrow table. Raises MissingPackageError."""
    from . import parquet  # noqa: PLC0415  (pyarrow, only where it is used)

    return parquet.table_of(rows)

"""A file of rows that grows by one whole line at a time and outlives being killed."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import OutputError

Row = dict[str, Any]


class Journal:
    """Rows as JSON, a line each; made by `journal`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    def append(self, row: Row) -> None:
        """Write a row and wait until the disk has it; OutputError if that fails, and then nothing of it stays."""
        line = (json.dumps(row, allow_nan=False) + "\n").encode()
        end = os.lseek(self._descriptor, 0, os.SEEK_END)
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):  # a full disk takes a part and then nothing
                os.write(self._descriptor, line[written:])
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, end)
            raise OutputError(f"cannot write {self._path}: {error.strerror or error}") from error


@contextmanager
def journal(path: Path) -> Iterator[Journal]:
    """Open a journal to go on with; what an interrupted write has left at its end is cut off first.

    Raises OutputError where it cannot be written, or another process writes it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        lock(descriptor, path)
        os.ftruncate(descriptor, whole_length(path))
        yield Journal(path, descriptor)
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: Path) -> None:
    """Keep other processes out while this one writes; the lock goes with the process, however it ends."""
    try:
        import fcntl  # noqa: PLC0415  (absent on Windows)
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise OutputError(f"another process is writing {path}; wait for it, or choose another -o") from None


def whole_length(path: Path) -> int:
    """Return how many bytes of a journal are whole lines."""
    return path.read_bytes().rfind(b"\n") + 1


def rows_of(path: Path) -> list[Row]:
    """Read the whole rows of a journal; none where there is none. OutputError names a line that is damaged."""
    if not path.exists():
        return []
    lines = path.read_bytes()[: whole_length(path)].splitlines()
    return [parsed(line, f"line {number} of {path}") for number, line in enumerate(lines, 1)]


def parsed(line: bytes, place: str) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict):
        raise OutputError(f"expected a row in {place}, got something else; remove that line, or take another -o")
    return row

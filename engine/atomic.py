"""Write a folder, or a file, whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


@contextmanager
def whole_folder(path: Path, *, replace: str | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` when the block ends well, and vanishes when it does not.

    An existing `path` is refused, unless `replace` names a file that marks it as ours to overwrite. Raises
    OutputError in one line when the disk is full or the place cannot be written.
    """
    refuse_existing(path, replace)
    path = Path(os.path.realpath(path))  # "." has no name and no parent of its own
    work: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield work
        work.chmod(0o755)
        move(work, path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if work is not None and work.exists():
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def whole_file(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary file that becomes `path` when the block ends well, and vanishes when it does not.

    An existing `path` is refused unless it may be replaced. Raises OutputError in one line.
    """
    refuse_existing_file(path, replace=replace)
    work = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work.touch()
        yield work
        work.replace(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        work.unlink(missing_ok=True)


def move(work: Path, path: Path) -> None:
    """Let `work` take the place of `path`; what was there is removed last, so that it cannot be lost."""
    old = work.with_name(f"{work.name}.old")
    if path.exists():
        path.rename(old)
    work.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def refuse_existing(path: Path, replace: str | None) -> None:
    """Raise OutputError where a folder cannot be made, or is there already and is not ours to replace."""
    if not os.path.lexists(path):
        refuse_under_file(path)
        return
    if replace is None:
        raise OutputError(f"{path} exists already; choose another -o, or overwrite it with --force")
    ours = path.is_dir() and not path.is_symlink() and (os.path.exists(path / replace) or is_empty(path))
    if not ours:
        raise OutputError(f"{path} exists and holds no {replace}, so --force does not overwrite it; choose another -o")


def refuse_existing_file(path: Path, *, replace: bool) -> None:
    """Raise OutputError where a file cannot be made, or is there already and may not be replaced."""
    if os.path.lexists(path) and not (replace and path.is_file()):
        raise OutputError(f"{path} exists already; choose another -o, or overwrite a file with --force")
    refuse_under_file(path)


def refuse_under_file(path: Path) -> None:
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not os.path.isdir(above):
        raise OutputError(f"cannot make {path}, since {above} is not a folder; choose another -o")


def is_empty(folder: Path) -> bool:
    try:
        return not os.listdir(folder)
    except OSError:  # a folder that one may not look into
        return False

"""Write a folder whole or not at all."""

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
    work: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield work
        work.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        work.rename(path)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if work is not None and work.exists():
            shutil.rmtree(work, ignore_errors=True)


def refuse_existing(path: Path, replace: str | None) -> None:
    if not path.exists() and not path.is_symlink():
        return
    if replace is None:
        raise OutputError(f"{path} exists already; choose another -o, or overwrite it with --force")
    ours = path.is_dir() and not path.is_symlink() and ((path / replace).exists() or not any(path.iterdir()))
    if not ours:
        raise OutputError(f"{path} exists and holds no {replace}, so --force does not overwrite it; choose another -o")

"""Where models of the catalogue lie on this machine, and how they get there: whole, or not at all."""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from ..engine.atomic import whole_file
from ..engine.errors import DownloadError, OptionError, OutputError
from ..engine.lock import claim
from .catalogue import Entry, catalogue, find_entry, table_of

Fetch = Callable[[str, Path, int], Iterator[int]]
"""Bring the file at a URL, of so many bytes, to a path; what is there already is its beginning. Yields bytes done."""
MIRROR = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%-]+)*/?")
WAIT = 0.2
"""Seconds between looks at a lock that another process holds."""


def cache_folder() -> Path:
    """Return where pulled models lie: DDCAM_CACHE, or `ddcam` where the platform keeps what can be fetched again."""
    if own := os.environ.get("DDCAM_CACHE"):
        return Path(own).absolute()
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ddcam" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "ddcam"
        wanted = os.environ.get("XDG_CACHE_HOME", "")  # to be passed over where it is relative, says its specification
        return (Path(wanted) if os.path.isabs(wanted) else Path.home() / ".cache") / "ddcam"
    except RuntimeError:
        raise OptionError("there is no home folder to keep models in; set DDCAM_CACHE to a folder") from None


def file_of(entry: Entry) -> Path:
    """Return where the model lies, or would lie: alone in a folder with its own config."""
    return cache_folder() / "models" / entry.name / f"{entry.name}.onnx"


def is_pulled(entry: Entry) -> bool:
    return _length(file_of(entry)) == entry.size


def model_path(name: str) -> Path:
    """Return the file of a pulled model, with the config beside it that tells its preprocessing and labels.

    Its size is compared each time; its sha256 was when it was pulled, and is again whenever it is pulled. Raises
    OptionError where no model is called that or it is not pulled yet, DownloadError where the file is damaged.
    """
    entry = find_entry(name)
    file = file_of(entry)
    length = _length(file)
    if length is None:
        raise OptionError(f"{name} is not on this machine yet; run ddcam models pull {name}")
    if length != entry.size:
        raise DownloadError(
            f"expected {entry.size} bytes in {file}, got {length}: it is damaged; run ddcam models pull {name}"
        )
    _write_config(entry, file.parent)
    return file


def rows() -> list[dict[str, str]]:
    """Return a row of texts for each model of the catalogue, and whether it is pulled."""
    pulled = ["yes" if is_pulled(entry) else "-" for entry in catalogue().values()]
    return [row | {"pulled": here} for row, here in zip(table_of(), pulled, strict=True)]


def records() -> str:
    """Return all that is known of each model as JSON; `path` is null where it is not pulled."""
    known = ("name", "about", "url", "sha256", "size", "licence", "preprocessing")
    found = [
        {key: getattr(entry, key) for key in known}
        | {"labels": entry.naming, "path": str(file_of(entry)) if is_pulled(entry) else None}
        for entry in catalogue().values()
    ]
    return json.dumps(found, indent=2)


def pull(entry: Entry, fetch: Fetch, mirror: str | None = None) -> Iterator[int]:
    """Bring a model into the cache; yield how many of its bytes are there, at last all of them.

    A file that is there is kept where its sha256 is right. Else it is fetched under another name, from where an
    earlier try ended, and gets its own when its sha256 is right; what was resumed and is wrong is fetched once more
    from the beginning. Processes that want the same model wait for each other. `mirror` takes the place of scheme and
    host in the URL. Raises DownloadError, OutputError, OptionError for a mirror that is no URL.
    """
    url, file = mirrored(entry.url, mirror) if mirror else entry.url, file_of(entry)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with (file.parent / ".lock").open("ab") as lock:
            while not claim(lock):
                yield _length(_part(file)) or 0
                time.sleep(WAIT)
            if not _is_right(entry, file):
                yield from _fetched(entry, fetch, url)
            _write_config(entry, file.parent)
    except OSError as error:
        if isinstance(error, DownloadError | OutputError):
            raise
        raise OutputError(f"cannot write {error.filename or file}: {error.strerror or error}") from error
    yield entry.size


def mirrored(url: str, mirror: str) -> str:
    """Put a mirror's scheme, host and path before the path of a URL."""
    if not MIRROR.fullmatch(mirror):
        raise OptionError(f"expected a mirror like https://host/path, got {mirror!r}")
    return mirror.rstrip("/") + urlsplit(url).path


def _fetched(entry: Entry, fetch: Fetch, url: str) -> Iterator[int]:
    file = file_of(entry)
    part = _part(file)
    for resumed in (bool(_length(part)), False):
        yield from fetch(url, part, entry.size)
        found = _digest(part)
        if found == entry.sha256:
            with part.open("rb+") as stream:
                os.fsync(stream.fileno())  # a power cut must not leave a file of the right size and other bytes
            part.replace(file)
            return
        part.unlink()
        if not resumed:
            raise DownloadError(
                f"expected a file with sha256 {entry.sha256} at {url}, got {found}; nothing is kept: "
                "the server has another file, so try another --mirror"
            )


def _write_config(entry: Entry, folder: Path) -> None:
    """Write what the reading of configs beside models understands; a file that says it already is left alone."""
    record = {"preprocessing": dict(entry.preprocessing), "label_names": list(entry.labels)}
    text, file = json.dumps(record, indent=1), folder / "config.json"
    if not file.is_file() or file.read_text("utf-8", "replace") != text:
        with whole_file(file, replace=True) as work:
            work.write_text(text, "utf-8")


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _is_right(entry: Entry, file: Path) -> bool:
    return _length(file) == entry.size and _digest(file) == entry.sha256


def _length(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

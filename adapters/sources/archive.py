"""Picture files in a zip archive, read one at a time and never unpacked to disk."""

import zipfile
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from ...engine.errors import PictureError

LIMIT = 1 << 28
"""Bytes of a member when unpacked: three times what the largest picture has that is not refused."""


def members(path: Path, suffixes: Collection[str]) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yield name and content of the members with a picture's suffix, sorted by name, hidden ones left out.

    Content is read when it is called for, while the iteration is at that member. Raises PictureError where the archive
    is damaged or holds no pictures; so does what is yielded, for a member that is damaged, encrypted or above 256 MiB.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise PictureError(f"expected a zip archive in {str(path)!r}, got: {error}; fetch or save it again") from None
    with archive:
        found = sorted((m for m in archive.infolist() if is_picture(m, suffixes)), key=lambda member: member.filename)
        if not found:
            raise PictureError(f"expected pictures in the archive {str(path)!r}, found none ({', '.join(suffixes)})")
        for member in found:
            yield member.filename, partial(content, archive, member)


def is_picture(member: zipfile.ZipInfo, suffixes: Collection[str]) -> bool:
    place = PurePosixPath(member.filename)
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in place.parts)
    return place.suffix.lower() in suffixes and not hidden and not member.is_dir()


def content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Unpack one member in memory; the reader itself stops at the size that the archive declares."""
    where = f"{member.filename!r} of {archive.filename!r}"
    if member.file_size > LIMIT:
        raise PictureError(f"expected up to {LIMIT} bytes in {where}, got {member.file_size}; unpack the archive")
    try:
        return archive.read(member)
    except Exception as error:  # damaged, encrypted, an unknown compression: each decoder has errors of its own
        raise PictureError(f"expected to unpack {where}, got: {error}; fetch or save the archive again") from None

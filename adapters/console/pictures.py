"""A verb over several pictures: a folder for each, and one that is refused does not stop the others."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ...engine import DdcamError
from .printed import note


def each_picture(paths: Sequence[Path], folders: Sequence[Path], work: Callable[[Path, Path], None]) -> int:
    """Do the work for every picture and its folder; one of several that is refused is only noted. Return how many."""
    failures = 0
    for path, folder in zip(paths, folders, strict=True):
        try:
            work(path, folder)
        except DdcamError as error:
            if len(paths) == 1:
                raise
            failures += 1
            note(f"ddcam: {path}: {error}")
    return failures


def out_folders(paths: Sequence[Path], out: Path | None, one: str = "ddcam", all_: str = "explanations") -> list[Path]:
    """Name a folder per picture: `out` itself for one, sub-folders named after the files for several."""
    if len(paths) == 1:
        return [out or Path(f"{paths[0].stem}.{one}")]
    root, used, folders = out or Path(all_), set[str](), []
    for path in paths:
        name, number = path.stem, 2
        while name.lower() in used:
            name, number = f"{path.stem}-{number}", number + 1
        used.add(name.lower())
        folders.append(root / name)
    return folders

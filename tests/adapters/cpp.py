"""How the program in C++ under examples/embed is built against the library of the wheel that runs here, and started."""

import os
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

SOURCE = Path(__file__).parents[2] / "examples" / "embed" / "cpp" / "explain.cpp"
COMPILER = ("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-isystem", "/usr/include/onnxruntime")
LIBRARIES = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
"""Of the wheel: one, or none where it has its library inside another."""


@dataclass(frozen=True)
class Program:
    """The file once it is built, what builds it, and the environment that it runs in."""

    file: Path
    build: tuple[str | Path, ...]
    environment: dict[str, str]


def program_in(folder: Path) -> Program:
    """Put the library under the name that the program looks for into a folder that is to hold both."""
    library, file = folder / "libonnxruntime.so.1", folder / "explain"
    library.symlink_to(LIBRARIES[0])
    return Program(file, (*COMPILER, SOURCE, library, "-o", file), os.environ | {"LD_LIBRARY_PATH": str(folder)})

"""What the benchmarks are run on: the real models of DDCAM_DATA and the shapes, each with pictures of its kind."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from shapes import SHAPES, write

import ddcam
from ddcam.engine import Model
from ddcam.engine.preprocess import prepare

PRESETS = {"torch": "imagenet", "raw_u8": "raw", "tf": "symmetric", "cifar": "cifar10"}
FOLDERS = {
    "in": "imagenet-val160",
    "cf": "cifar10-200",
    "pl15": "plant-22",
    "fl": "flowers-50",
    "bm": "misc",
    "fm": "misc",
}
PHOTOGRAPHS = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Subject:
    """A model file, its preprocessing, and the pictures that it is asked about."""

    file: Path
    preset: str
    pictures: tuple[Path, ...]

    @property
    def name(self) -> str:
        return self.file.stem

    def load(self, **wishes: Any) -> Model:
        return ddcam.load(self.file, preprocessing=self.preset, **wishes)

    def inputs(self, model: Model) -> list[NDArray[Any]]:
        """Return the pictures as model input."""
        opened = model.opened
        return [prepare(ddcam.open_image(p), opened.preprocessing, opened.picture)[0] for p in self.pictures]


def data_folder() -> Path:
    return Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))


def real_models(pictures: int) -> list[Subject]:
    """List every classifier of DDCAM_DATA; small grey models are asked about any photographs."""
    data, found = data_folder(), []
    for entry in json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8")):
        if entry["ds"] in FOLDERS:
            preset = PRESETS.get(entry["pre"], entry["pre"])
            photographs = spread(data / "images" / FOLDERS[entry["ds"]], pictures)
            found.append(Subject(data / "models" / entry["name"], preset, photographs))
    return found


def shape_models(folder: Path, pictures: int, names: Iterable[str] = SHAPES) -> list[Subject]:
    """Write the shapes, which are asked about photographs too."""
    photographs = spread(data_folder() / "images" / "imagenet-val160", pictures)
    return [Subject(write(name, folder), "imagenet", photographs) for name in names]


def spread(folder: Path, count: int) -> tuple[Path, ...]:
    """Choose pictures evenly among all of a folder and its subfolders."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTOGRAPHS)
    count = min(count, len(paths))
    return tuple(paths[i * len(paths) // count] for i in range(count))


def machine(device: str) -> str:
    """Say in one line what the figures were measured with."""
    return (
        f"ddcam {ddcam.__version__}, ONNX Runtime {onnxruntime.__version__}, {os.cpu_count()} cores of "
        f"{processor()}, device {device}"
    )


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())

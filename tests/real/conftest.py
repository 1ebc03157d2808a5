"""Where the real models and pictures are: DDCAM_DATA, which CI requires and a laptop may lack."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddcam import Picture, open_image
from ddcam.engine.preprocess import from_pixels

PRESETS = {
    "torch": "imagenet",
    "caffe": "caffe",
    "raw": "raw",
    "raw_u8": "raw",
    "tf": "symmetric",
    "cifar": "cifar10",
    "unit": "unit",
    "mean127": "symmetric",
}
"""The manifest's names of preprocessings and ours (mean127 differs by half a percent)."""
FOLDERS = {"in": "imagenet-val160", "cf": "cifar10-200/dog", "pl15": "plant-22", "fl": "flowers-50/daisy"}


@pytest.fixture(scope="session")
def data() -> Path:
    folder = os.environ.get("DDCAM_DATA")
    if folder and (Path(folder) / "models" / "manifest.json").is_file():
        return Path(folder)
    if os.environ.get("DDCAM_REQUIRE_DATA"):
        pytest.fail(f"DDCAM_REQUIRE_DATA is set and DDCAM_DATA={folder!r} holds no models/manifest.json")
    pytest.skip("DDCAM_DATA is not set: no real models and pictures here")


@pytest.fixture(scope="session")
def entries(data: Path) -> list[dict[str, Any]]:
    """List the models with `file`, `preset` and three fitting `pictures` added."""
    listed = json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8"))
    return [
        e | {"file": data / "models" / e["name"], "preset": PRESETS[e["pre"]], "pictures": pictures_for(data, e["ds"])}
        for e in listed
    ]


def pictures_for(data: Path, kind: str) -> list[Picture]:
    """Open pictures of the kind that a model was trained on; garments stand in for handwritten digits."""
    if kind in ("bm", "fm"):
        garments = np.load(data / "images/fashion-mnist-sprite/fashion900.npz")
        arrays = next(garments[name] for name in garments.files if garments[name].ndim >= 3)
        return [from_pixels(arrays[i].reshape(28, 28).astype(np.uint8), f"garment {i}") for i in (0, 100, 200)]
    folder = data / "images" / FOLDERS.get(kind, "imagenet-val160")
    return [open_image(path) for path in sorted(folder.iterdir())[:3]]


@pytest.fixture(scope="session")
def photographs(data: Path) -> list[Path]:
    return sorted((data / "images" / "imagenet-val160").iterdir())

"""Inspect, split, explain and verify every model of DDCAM_DATA; print the table of docs/compatibility.md."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import ddcam
from ddcam.engine import split_files
from ddcam.engine.inspect import precision
from ddcam.engine.model import check_cut
from ddcam.engine.preprocess import from_pixels
from ddcam.engine.types import Picture, Wishes

PRESETS = {"torch": "imagenet", "raw_u8": "raw", "tf": "symmetric", "cifar": "cifar10", "mean127": "symmetric"}
FOLDERS = {"in": "imagenet-val160", "cf": "cifar10-200/dog", "pl15": "plant-22", "fl": "flowers-50/daisy"}
FACES = "images/coco-30/images/000000008690.jpg"
HEADER = """# Compatibility

Made by `python benchmarks/compatibility.py` with ddcam {version} and ONNX Runtime {runtime}: every model of the test
data is inspected, split into two files (difference from the model, relative to its largest output), explained on a
picture with `top1` and with `confidence:0.9` (units kept; every answer certified 1-minimal), and the second
explanation is verified from the files alone. Of a detector the first box found in a photograph is explained, with its
default `threshold:0.5` in the place of `top1`. Precision is that of the coarsest activation.

| model | precision | split at | units | head | probes | split differs by | top1 | confidence:0.9 | verified |
|---|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    print(HEADER.format(version=ddcam.__version__, runtime=onnxruntime.__version__))
    for entry in json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8")):
        file = data / "models" / entry["name"]
        preset = PRESETS.get(entry["pre"], entry["pre"])
        try:
            detector = entry["name"].startswith("detectors")
            picture = ddcam.open_image(data / FACES) if detector else picture_for(data, entry["ds"])
            cells = (examine_detector if detector else examine)(file, preset, picture)
        except ddcam.DdcamError as error:
            cells = [f"refused: {error}"]
        print(f"| {file.stem} | {' | '.join(cells)} |")


def examine(file: Path, preset: str, picture: Picture) -> list[str]:
    report = ddcam.inspect(file, Wishes(preprocessing=preset))
    if report["refusal"]:
        raise ddcam.DdcamError(report["refusal"])
    model = ddcam.load(file, preprocessing=preset)
    with tempfile.TemporaryDirectory() as folder:
        _, difference = split_files(file, Path(folder) / "split", Wishes(preprocessing=preset))
    return cells_of(model, file, picture, "top1", difference)


def examine_detector(file: Path, preset: str, picture: Picture) -> list[str]:
    """Explain the first box that is found; such a model is not split into files, the difference is the cut's."""
    model = ddcam.load_for(file, picture, box=1, preprocessing=preset, units="channel")
    return cells_of(model, file, picture, "threshold:0.5", check_cut(model))


def cells_of(model: ddcam.Model, file: Path, picture: Picture, least: str, difference: float) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        found = [ddcam.explain(model, picture, preserve=p) for p in (least, "confidence:0.9")]
        ddcam.save(found[1], Path(folder) / "explanation")
        verdict = ddcam.verify(ddcam.open_explanation(Path(folder) / "explanation"), file, picture)
    split, kind = model.split, model.head_class[0]
    return [
        precision({value.dtype for value in model.opened.measured.values.values()}),
        f"`{split.tensor[-40:]}` {list(split.shape)}",
        f"{split.count} {split.units}s",
        kind,
        f"{model.batch} at a time" if model.batch > 1 else "one at a time",
        f"{difference:.0e}",
        *(answer(e) for e in found),
        "yes" if verdict.agrees else "NO",
    ]


def answer(explanation: ddcam.Explanation) -> str:
    attribution: Any = explanation.attribution
    certified = "" if attribution.certificate.holds else " NOT CERTIFIED"
    return f"{len(attribution.subset)}{certified}"


def picture_for(data: Path, kind: str) -> Picture:
    if kind in ("bm", "fm"):
        garments = np.load(data / "images/fashion-mnist-sprite/fashion900.npz")
        pixels = next(garments[name] for name in garments.files if garments[name].ndim >= 3)
        return from_pixels(pixels[0].reshape(28, 28).astype(np.uint8), "garment")
    folder = data / "images" / FOLDERS.get(kind, "imagenet-val160")
    return ddcam.open_image(sorted(folder.iterdir())[0])


if __name__ == "__main__":
    main()

"""Prepare what the programs beside this read: a model with DD-CAM inside, a picture as it takes it, the class names.

Usage: python prepare.py MODEL PICTURE FOLDER [--method dd-cam] [--preserve confidence:0.9]
"""

import argparse
import json
from pathlib import Path

from PIL import Image

import ddcam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--method", default="dd-cam")
    parser.add_argument("--preserve")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    out = asked.folder / "explained.onnx"
    ddcam.export(asked.model, out, method=asked.method, preserve=asked.preserve, replace=True)
    model = ddcam.load(asked.model)
    prepared = ddcam.Explainer(model).prepare(ddcam.open_image(asked.picture))
    prepared.inputs.tofile(asked.folder / "input.bin")
    seen = prepared.placement
    box = tuple(round(side) for side in (seen.left, seen.top, seen.right, seen.bottom))
    shown = model.opened.preprocessing
    Image.fromarray(prepared.picture.pixels).resize((shown.width, shown.height), box=box).save(
        asked.folder / "picture.png"
    )
    opened = model.opened
    about = {
        "shape": list(prepared.inputs.shape),
        "type": str(prepared.inputs.dtype),
        "scores": opened.logits.output,
        "labels": [opened.labels[index] for index in range(opened.logits.classes)],
    }
    (asked.folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


if __name__ == "__main__":
    main()

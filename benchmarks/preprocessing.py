"""Warn of wrong preprocessing on every model of DDCAM_DATA; print the table of docs/preprocessing.md.

Usage: DDCAM_DATA=... python benchmarks/preprocessing.py [--only NAME]
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from compatibility import PRESETS as NAMES

import ddcam
from ddcam.engine.open_model import Opened, open_model
from ddcam.engine.plausible import judge
from ddcam.engine.preprocess import PRESETS, from_pixels, prepare
from ddcam.engine.preprocess.values import Values, name_of
from ddcam.engine.types import Picture, Wishes
from ddcam.engine.whole import open_whole

PICTURES, HARMLESS = 40, 0.02
"""Labelled pictures of a model at most, and the accuracy below which a wrong setting is no harm."""
IMAGENET, UNIT = PRESETS["imagenet"], PRESETS["unit"]
COLOURED: Mapping[str, Values] = {
    **{name: PRESETS[name] for name in ("imagenet", "unit", "symmetric", "raw", "caffe", "cifar10")},
    "imagenet in BGR": replace(IMAGENET, color="BGR"),
    "raw in BGR": replace(PRESETS["raw"], color="BGR"),
    "caffe in RGB": replace(PRESETS["caffe"], color="RGB"),
    "imagenet without / 255": replace(IMAGENET, scale=1.0),
    "imagenet without std": replace(IMAGENET, std=(1.0,)),
    "/ 255 twice": replace(UNIT, scale=1 / 255**2),
}
GREY: Mapping[str, Values] = {
    **{name: PRESETS[name] for name in ("unit", "symmetric", "raw")},
    "mnist": Values("L", 1 / 255, (0.1307,), (0.3081,)),
    "raw - 127.5": Values("L", 1.0, (127.5,), (1.0,)),
    "inverted unit": Values("L", -1 / 255, (-1.0,), (1.0,)),
    "inverted raw": Values("L", -1.0, (-255.0,), (1.0,)),
    "mnist without / 255": Values("L", 1.0, (0.1307,), (0.3081,)),
    "/ 255 twice": replace(UNIT, scale=1 / 255**2),
}
FLOWERS = ("dandelion", "daisy", "tulip", "sunflower", "rose")
Labelled = list[tuple[Picture, int]]


@dataclass(frozen=True)
class Row:
    """One setting of one model: its accuracy, and what was named as likelier where it was doubted."""

    model: str
    setting: str
    right: bool
    accuracy: float | None
    harmless: bool
    doubt: str
    forwards: int
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="models whose names contain this")
    only = parser.parse_args().only
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    rows = []
    for entry in json.loads((data / "models" / "manifest.json").read_text(encoding="utf-8")):
        if only in entry["name"] and not entry["name"].startswith("detectors"):
            found = list(examine(data, entry))
            print(f"{entry['name']}: {rate(found)}", file=sys.stderr, flush=True)
            rows += found
    print(document(rows))


def examine(data: Path, entry: dict[str, Any]) -> Iterator[Row]:
    right = NAMES.get(entry["pre"], entry["pre"])
    opened = open_model(data / "models" / entry["name"], Wishes(preprocessing=right))
    pictures = labelled(data, entry["ds"])
    settings = {name: v for name, v in settings_for(opened).items() if name == right or name_of(v) != right}
    best = accuracy(opened, pictures)
    for name, values in settings.items():
        chosen = with_setting(opened, values)
        share = best if name == right else accuracy(chosen, pictures)
        own = judge(chosen, pictures[0][0])
        told = own.doubt.likelier if own.doubt else ""
        harmless = name != right and best - share < HARMLESS
        yield Row(Path(entry["name"]).stem, name, name == right, share, harmless, told, own.forwards, own.seconds)


def settings_for(opened: Opened) -> Mapping[str, Values]:
    if opened.picture.dtype == "uint8":
        return {"raw": PRESETS["raw"], "raw in BGR": COLOURED["raw in BGR"]}
    return GREY if opened.picture.channels == 1 else COLOURED


def with_setting(opened: Opened, values: Values) -> Opened:
    channels = opened.picture.channels
    mean, std = ((v * channels)[:channels] for v in (values.mean, values.std))
    color = "L" if channels == 1 else values.color
    return replace(
        opened, preprocessing=replace(opened.preprocessing, color=color, scale=values.scale, mean=mean, std=std)
    )


def accuracy(opened: Opened, pictures: Labelled) -> float:
    score, shown = open_whole(opened).score, opened.preprocessing
    answers = [score(prepare(p, shown, opened.picture)[0])[0].argmax() for p, _ in pictures]
    background = opened.logits.classes == 1001
    return float(np.mean([a == label + background for a, (_, label) in zip(answers, pictures, strict=True)]))


def labelled(data: Path, kind: str) -> Labelled:
    """Open up to PICTURES labelled pictures of what a model was trained on; garments lie in an array, digits too."""
    images, labels = data / "images", data / "labels"
    if kind == "in":
        listed = json.loads((labels / "imagenet_val160_boxes.json").read_text(encoding="utf-8"))
        named = [(images / "imagenet-val160" / name, facts["label"]) for name, facts in sorted(listed.items())]
    elif kind == "cf":
        folders = sorted((images / "cifar10-200").iterdir())
        named = [(file, i) for i, folder in enumerate(folders) for file in sorted(folder.iterdir())[::3]]
    elif kind == "fl":
        named = [(f, i) for i, kind in enumerate(FLOWERS) for f in sorted((images / "flowers-50" / kind).iterdir())]
    elif kind == "pl15":
        names = (labels / "plant15_vansh.txt").read_text(encoding="utf-8").split("\n")
        truth = json.loads((labels / "plant_test_labels.json").read_text(encoding="utf-8"))["plant15"]
        files = [images / "plant-22" / name for name in sorted(truth)]
        named = [(file, names.index(truth[file.name])) for file in files if file.is_file()]
    else:
        return garments(data) if kind == "fm" else digits()
    step = max(1, len(named) // PICTURES)
    return [(ddcam.open_image(file), label) for file, label in named[::step][:PICTURES]]


def garments(data: Path) -> Labelled:
    held = np.load(data / "images/fashion-mnist-sprite/fashion900.npz")
    pairs = zip(held["images"][::15], held["labels"].ravel()[::15], strict=True)
    return [(from_pixels(pixels.astype(np.uint8), "garment"), int(label)) for pixels, label in pairs][:PICTURES]


def digits() -> Labelled:
    """Enlarge scikit-learn's 8 x 8 digits, white on black, to 20 x 20 within 28 x 28."""
    from PIL import Image  # noqa: PLC0415  (for these alone)
    from sklearn.datasets import load_digits  # noqa: PLC0415

    found = load_digits()
    large = [Image.fromarray((d * 15.9).astype(np.uint8)).resize((20, 20)) for d in found.images[:PICTURES]]
    return [(from_pixels(np.pad(np.asarray(d), 4), "digit"), int(t)) for d, t in zip(large, found.target, strict=False)]


def rate(rows: list[Row]) -> str:
    wrong = [row for row in rows if not row.right and not row.harmless]
    fired = sum(bool(row.doubt) for row in wrong)
    false = sum(bool(row.doubt) for row in rows if row.right)
    share = f"{fired / len(wrong):.0%}" if wrong else "none"
    return f"{fired} of {len(wrong)} wrong ones ({share}), {false} of {sum(r.right for r in rows)} right ones"


def document(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        kind = "right" if row.right else "harmless" if row.harmless else "wrong"
        lines.append(
            f"| {row.model} | {row.setting} | {kind} | {row.accuracy:.0%} | {row.doubt or '-'} "
            f"| {row.forwards} | {row.seconds:.1f} |"
        )
    harmless = [row for row in rows if row.harmless]
    summary = (
        f"Warned of {rate(rows)}, and "
        f"of {sum(bool(r.doubt) for r in harmless)} of {len(harmless)} harmless ones (less than "
        f"{HARMLESS:.0%} of accuracy lost on up to {PICTURES} pictures)."
    )
    header = "| model | setting | it is | top-1 | named as likelier | forwards | seconds |"
    return "\n".join([summary, "", header, "|---" * 7 + "|", *lines])


if __name__ == "__main__":
    main()

"""The field on one file: methods x metrics on ImageNet pictures with boxes, for benchmarks/results/field_MODEL.*.

A run that is stopped, or killed, goes on when the command is given again. Class: the true one, which boxes are of.
Usage: DDCAM_DATA=... python benchmarks/field.py mobilenetv2|squeezenet FOLDER [--pictures N]
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import onnxruntime

import ddcam
from ddcam.engine import Plan, evaluate, results, write_results
from ddcam.engine.dataset import Dataset, Sample
from ddcam.engine.results import Results
from ddcam.engine.types import Wishes

MODELS = {
    "mobilenetv2": "imagenet/mobilenetv2_torch_nchw_f32_logits_opset13.onnx",
    "squeezenet": "imagenet/squeezenet1.1_nchw_f32_opset7.onnx",
}
METHODS = (
    "dd-cam", "nested", "grad-cam", "grad-cam++", "smooth-grad-cam++:samples=8", "xgrad-cam",
    "hirescam", "layer-cam", "eigen-grad-cam", "shapley-cam", "finer-cam", "norm-grad", "cf-cam", "eigen-cam",
    "kpca-cam", "fem", "ablation-cam", "recipro-cam", "saliency", "input-x-gradient", "smoothgrad:samples=8",
    "integrated-gradients:steps=8", "fullgrad", "guided-backpropagation", "deeplift", "lrp", "occlusion",
    "rise:samples=200",
)  # fmt: skip
METRICS = (
    "insertion:count=14", "deletion:count=14", "average-drop", "average-increase", "average-gain",
    "average-drop-in-deletion", "restoring-area:count=14", "road:percentiles=50", "energy", "pointing-game",
    "box-iou", "complexity", "sparseness", "entropy", "coherency", "adcc", "label-randomisation", "sufficiency",
    "minimality", "subset-share", "probes", "seconds",
)  # fmt: skip
"""What 100 pictures on one core take an hour or two for: sampling methods get fewer samples than their defaults."""

HEADER = """# The field on {model}

Made by `python benchmarks/field.py {model} FOLDER` with ddcam {version} and ONNX Runtime {runtime}: means over
{pictures} ImageNet validation pictures with boxes, the class explained is the true one; maps: pictures with a map that
is not blank. ▲ and ▼: better and worse than {baseline} on the same pictures, where the 95 % bootstrap interval of the
difference does not hold 0. Intervals are in the .csv beside this. Seconds are of one thread on a busy machine.

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("folder", type=Path, help="where the run goes")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1, help="one, so that both models run beside each other")
    asked = parser.parse_args()
    data = Path(os.environ.get("DDCAM_DATA") or sys.exit("set DDCAM_DATA to the folder with the real models"))
    plan = Plan(METHODS, METRICS, explain="label", limit=asked.pictures, against="grad-cam")
    file, wishes = data / "models" / MODELS[asked.model], Wishes(preprocessing="imagenet", threads=asked.threads)
    started = time.perf_counter()
    for done, total in evaluate(file, boxed_pictures(data), plan, asked.folder, wishes):
        print(f"\r{done} of {total} rows, {time.perf_counter() - started:.0f} s", end="", file=sys.stderr, flush=True)
    found = results(asked.folder)
    write_results(found)
    print(document(asked.model, found))


def document(model: str, found: Results) -> str:
    """Return the means as a table; what differs clearly from the baseline on the same pictures is marked."""
    ways = {name: metric.facts.better for name, metric in found.metrics.items()}
    lines = [f"| method | maps | {' | '.join(ways)} |", "|---|" + "---|" * (len(ways) + 1)]
    for told in found.summary["methods"]:
        cells = [cell(told["metrics"][name], way) for name, way in ways.items()]
        lines.append(f"| {told['method']} | {told['maps']} | {' | '.join(cells)} |")
    versions = {"version": ddcam.__version__, "runtime": onnxruntime.__version__}
    header = HEADER.format(model=model, pictures=len(found.pictures), baseline=found.baseline, **versions)
    return header + "\n".join(lines)


def cell(told: Mapping[str, Any], way: str) -> str:
    mean, difference = told["mean"], told["difference"]
    if mean is None:
        return "-"
    clear = difference is not None and not difference["low"] <= 0 <= difference["high"]
    better = clear and (difference["low"] > 0) == (way == "higher")
    return f"{mean['mean']:.3g}{(' ▲' if better else ' ▼') if clear else ''}"


def boxed_pictures(data: Path) -> Dataset:
    """Return the labelled pictures of the test data, whose boxes are in pixels of the picture."""
    known = json.loads((data / "labels" / "imagenet_val160_boxes.json").read_text(encoding="utf-8"))
    opened = data / "images" / "imagenet-val160"
    samples = [
        Sample(name, partial(ddcam.open_image, opened / name), told["label"], tuple(map(tuple, told["boxes_xyxy"])))
        for name, told in sorted(known.items())
    ]
    return Dataset(tuple(samples), (), "ImageNet validation pictures with boxes")


if __name__ == "__main__":
    main()

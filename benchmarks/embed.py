"""Explanations inside models: how exact, on every real model. benchmarks/embed_runtimes.py has other runtimes.

Usage: DDCAM_DATA=... python benchmarks/embed.py [--pictures 100] [--only NAME] > benchmarks/results/embed.md
"""

import argparse
import re
import tempfile
from pathlib import Path

import onnxruntime
from subjects import Subject, real_models

import ddcam
from ddcam.engine import Export, Wishes, check_export, export
from ddcam.engine.errors import DdcamError

METHODS = (
    "dd-cam", "grad-cam", "grad-cam++", "xgrad-cam", "hirescam", "layer-cam", "finer-cam", "norm-grad", "saliency",
    "input-x-gradient", "fullgrad", "guided-backpropagation", "lrp", "attention-relevance",
)  # fmt: skip
FEW = 5
"""Pictures for methods other than DD-CAM."""
HEADER = """# Explanations inside models

Made by `python benchmarks/embed.py` with ddcam {version} and ONNX Runtime {runtime}. Outputs: the largest relative
difference of the model's own outputs. Same: pictures on which DD-CAM's subset inside the model is the engine's; beside
it those with another subset that the engine certifies all the same (a probe, or a tie of the decision, within
rounding). Then, for each method, the largest difference of its maps from the engine's, of 1. DD-CAM (with `top1`, or
what fits the model) on up to {pictures} pictures of each model, other methods on {few}. In brackets:
refused, for the reason below.

| model | outputs | same | other, certified | {methods} |
|---|---|---|---|{rule}|"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--only", default="", help="a part of the model's name")
    asked = parser.parse_args()
    numbers = {"version": ddcam.__version__, "runtime": onnxruntime.__version__, "few": FEW, "pictures": asked.pictures}
    print(HEADER.format(**numbers, methods=" | ".join(METHODS), rule="---|" * (len(METHODS) - 1) + "---"))
    subjects = [one for one in real_models(asked.pictures) if asked.only in one.name]
    reasons: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects:
            found = {method: compared(subject, method, Path(folder)) for method in METHODS}
            print(line(subject, found, reasons), flush=True)
        for reason, number in reasons.items():
            print(f"\n{number}. {reason}")


Compared = tuple[float, float, int, int]
"""How far outputs and maps are off, of how many pictures, and on how many the subset is another one."""


def compared(subject: Subject, method: str, folder: Path) -> Compared | str:
    """Export and compare; return what came out, or why not."""
    file = folder / "explained.onnx"
    pictures = [ddcam.open_image(path) for path in subject.pictures[: None if method == "dd-cam" else FEW]]
    try:
        agreed = export(subject.file, file, Export(method), wishes_of(subject), replace=True)
        found = check_export(file, pictures, wishes_of(subject))
    except DdcamError as error:
        return re.sub(r"\(node '.*?'\)", "", str(error))
    return agreed.outputs, max(off for off, _ in found), len(found), sum(other for _, other in found)


def line(subject: Subject, found: dict[str, Compared | str], reasons: dict[str, int]) -> str:
    """Write a model's row of the table."""
    offs = [told[0] for told in found.values() if not isinstance(told, str)]
    cells = [f"{max(offs):.1g}" if offs else "-"]
    search = found["dd-cam"]
    cells += ["-", "-"] if isinstance(search, str) else [f"{search[2] - search[3]} of {search[2]}", str(search[3])]
    for told in found.values():
        refused = isinstance(told, str)
        cells.append(f"({reasons.setdefault(told, len(reasons) + 1)})" if refused else f"{told[1]:.1g}")
    return f"| {subject.name} | {' | '.join(cells)} |"


def wishes_of(subject: Subject) -> Wishes:
    return Wishes(preprocessing=subject.preset)


if __name__ == "__main__":
    main()

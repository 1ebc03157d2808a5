"""What the search costs beside a plain prediction and beside the straightforward way, on every model.

Each model is measured in a process of its own, and everything of one row in turn in it, so that the ratios hold on a
noisy machine. Usage, with DDCAM_DATA set: python benchmarks/search.py > benchmarks/results/search.md, with --help for
fewer models or pictures, or CUDA. `benchmarks/certified.py` checks the answers themselves.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from growth import BATCHES, CLASSES, UNITS, growth
from measure import LONGEST, Row, measure, peak_memory
from shapes import SHAPES
from strategies import strategies, strategy_header
from subjects import Subject, machine, real_models, shape_models

from ddcam.engine.runtime.trial import BASE

T = TypeVar("T")
PROMISED = ("mobilenetv2_torch_nchw_f32_logits_opset13", "squeezenet1.1_nchw_f32_opset7")
"""Models that are asked about five times as many pictures."""
GIB = 2**30
HEADER = """# What the search costs

{machine}; made by `python benchmarks/search.py`. Medians over the pictures that need any unit
at all (so many of so many asked). Every model ran in a process of its own; what one row compares was measured in turn
in that process."""
COSTS = """
## Beside one plain prediction

Milliseconds. "Plain" is the file in ONNX Runtime alone, default threads. "Fold" is what is computed once a picture
behind the backbone. "Search" is the rest until the subset is found, ordering the units included; the decision itself
(the head on the whole set) is part of the prediction. "x" is (fold + search) / plain, "x all" the same with the
certificate. "Runs" are the unfolded head runs of a whole explanation beyond |S|, at most. "Canonical" is the share of
probes so close to the threshold that the unfolded head decided them.

| model | head | probes go through | units | preserve | pictures | plain | fold | search | certificate | x | x all \
| kept | probes | runs | canonical |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"""
REFERENCE = f"""
## Beside the straightforward way

(a) is the paper's ddmin in index order with one run of the whole model per probe, the mask in the graph; (b) the same
probes with one run of the unfolded head each. Seconds are the number of probes, counted on every picture, times the
median time of such a run. Where (a) takes less than {LONGEST:.0f} s it was also run in full on one picture:
"estimate / run" compares, "same" says that it found the subset that was counted with. "÷" is (a) or (b) divided by
fold + search.

| model | preserve | kept | kept by (a) | probes | probes of (a) | (a) s | (b) s | ÷ (a) | ÷ (b) | estimate / run |
|---|---|---|---|---|---|---|---|---|---|---|"""
MEMORY = """
## Peak memory

GiB: of a process that loads the model and explains {count} pictures with both predicates, and of the trial run that
loading starts in a child process; "allowed" is what `--memory` allows by default.

| model | file | explaining | trial run | allowed |
|---|---|---|---|---|"""
DEVICES = """
## The same subsets as on the CPU

| model | preserve | each device on its own features | the CPU on the device's features |
|---|---|---|---|"""
GROWTH = """
## How the cost grows

Random heads on a 32 x 32 picture, confidence:0.9, medians over {count} pictures, milliseconds: "additive" is a mean
and a linear layer, "mlp" flattens 2 x 2 cells a unit into a hidden layer of 512. From {middle}, one at a time.

| head | units | classes | batch | fold | search | probes | kept |
|---|---|---|---|---|---|---|---|"""


def main() -> None:
    asked = arguments()
    print(HEADER.format(machine=machine(asked.device)), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        subjects = list(chosen(asked, Path(asked.shapes or folder)))
        few = [replace(subject, pictures=subject.pictures[: asked.pictures // 2 or 1]) for subject in subjects]
        rows = [row for subject in subjects for row in apart(measure, subject, asked.device)]
        show(COSTS, map(cost_line, rows))
        show(REFERENCE, map(reference_line, rows))
        if asked.device != "cpu":
            show(DEVICES, map(device_line, rows))
        show(MEMORY.format(count=len(few[0].pictures)), (memory_line(s, asked.device) for s in few))
        show(strategy_header(len(few[0].pictures)), (line for s in few for line in apart(strategies, s, asked.device)))
        middle = f"{UNITS[1]} units, {CLASSES[2]} classes, batch {BATCHES[2]}"
        show(
            GROWTH.format(count=len(few[0].pictures), middle=middle),
            growth(Path(folder), few[0].pictures, asked.device),
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure what the search costs; prints Markdown.")
    parser.add_argument("names", nargs="*", help="only models whose names contain one of these")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--pictures", type=int, default=10, help="pictures a model, five times as many for two of them")
    parser.add_argument("--shapes", help="folder in which the models of known shapes are kept")
    return parser.parse_args()


def chosen(asked: argparse.Namespace, folder: Path) -> Iterator[Subject]:
    many = {subject.name: subject for subject in real_models(5 * asked.pictures)}
    for subject in real_models(asked.pictures):
        if wanted(subject.name, asked.names):
            yield many[subject.name] if subject.name in PROMISED else subject
    yield from shape_models(folder, asked.pictures, [name for name in SHAPES if wanted(name, asked.names)])


def wanted(name: str, parts: list[str]) -> bool:
    return not parts or any(part in name for part in parts)


def apart(work: Callable[[Subject, str], T], subject: Subject, device: str) -> T:
    """Do some work in a fresh process, whose memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, subject, device).result()


def show(header: str, lines: Iterable[list[str]]) -> None:
    print(header, flush=True)
    for cells in lines:
        print(f"| {' | '.join(cells)} |", flush=True)


def cost_line(row: Row) -> list[str]:
    records, middle = row.records, row.middle
    about = [row.model, row.head, row.way, row.units, row.preserve, f"{len(records)} of {row.asked}"]
    if not records:
        return [*about, *[""] * 10]
    times = [middle(get) for get in map(attrgetter, ("plain", "fold", "search", "certificate"))]
    times += [middle(lambda r: r.found / r.plain), middle(lambda r: r.certified / r.plain)]
    close = sum(r.close for r in records) / max(1, sum(r.probes for r in records))
    counts = [f"{middle(attrgetter(name)):g}" for name in ("kept", "probes")]
    return [*about, *(f"{t:.2f}" for t in times), *counts, str(max(r.runs - r.kept for r in records)), f"{close:.2%}"]


def reference_line(row: Row) -> list[str]:
    if not row.records:
        return [row.model, row.preserve, *[""] * 9]
    names = ("kept", "paper_kept", "probes", "paper_probes")
    counts = [f"{row.middle(attrgetter(name)):g}" for name in names]
    ways = [lambda r: r.paper_probes * r.whole, lambda r: r.paper_probes * r.head]
    seconds = [f"{row.middle(way) / 1000:.3g}" for way in ways]
    ratios = [f"{row.middle(lambda r, way=way: way(r) / r.found):.0f}" for way in ways]
    full = "" if row.full is None else f"{row.full[0]:.2f}, {'same' if row.full[1] else 'ANOTHER SUBSET'}"
    return [row.model, row.preserve, *counts, *seconds, *ratios, full]


def device_line(row: Row) -> list[str]:
    pairs = [record.same for record in row.records if record.same]
    return [row.model, row.preserve, *(f"{sum(same)} of {len(same)}" for same in zip(*pairs, strict=True))]


def memory_line(subject: Subject, device: str) -> list[str]:
    size = subject.file.stat().st_size
    figures = (size, *apart(peak_memory, subject, device), BASE + 6 * size)
    return [subject.name, *(f"{figure / GIB:.2f}" for figure in figures)]


if __name__ == "__main__":
    main()

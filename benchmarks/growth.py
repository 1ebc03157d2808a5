"""How the cost of a search grows with units, classes and batch size, on random heads."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import onnx
from shapes import additive_head, mlp_head
from subjects import Subject

from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem

HEADS = {"additive": additive_head, "mlp": mlp_head}
UNITS, CLASSES, BATCHES = (256, 1024, 4096), (10, 100, 1000, 10000), (1, 8, 64, 256)


def growth(folder: Path, pictures: Sequence[Path], device: str) -> Iterator[list[str]]:
    """Yield one line of the table for each head and size."""
    middle = UNITS[1], CLASSES[2], BATCHES[2]
    sizes = [(n, *middle[1:]) for n in UNITS]
    sizes += [(middle[0], classes, middle[2]) for classes in CLASSES]
    batches = [(*middle[:2], batch) for batch in BATCHES]
    for head in HEADS:
        # An additive head has no head runs, whose batch could matter.
        for units, classes, batch in dict.fromkeys(sizes + (batches if head == "mlp" else [])):
            subject = written(folder, head, (units, classes), tuple(pictures))
            yield [head, str(units), str(classes), str(batch), *grown(subject, batch, device)]


def written(folder: Path, head: str, size: tuple[int, int], pictures: tuple[Path, ...]) -> Subject:
    file = folder / f"{head}_{size[0]}_{size[1]}.onnx"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(HEADS[head](*size), file)
    return Subject(file, "imagenet", pictures)


def grown(subject: Subject, batch: int, device: str) -> list[str]:
    model, rows = subject.load(batch=batch, device=device), []
    for inputs in (pictures := subject.inputs(model))[:1] + pictures:
        features = model.features(inputs)
        problem = Problem(model, None, preserve="confidence:0.9", features=features)
        cost, subset = (answer := dd_cam(problem)).cost, answer.subset
        fold = problem.folding_seconds
        rows.append((1000 * fold, 1000 * (cost.search_seconds - fold), cost.probes, len(subset)))
    columns = [statistics.median(column) for column in zip(*rows[1:], strict=True)]  # the first run warms up
    return [f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in columns]

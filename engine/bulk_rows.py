"""Pictures to rows: read and prepared ahead in threads, decided in order, and nothing kept but the row."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .answer import Attribution
from .errors import DdcamError
from .explain import as_drawn, explanation_of, in_picture
from .explainer import Decision, Explainer, attempt
from .journal import Row
from .runtime.blas import one_blas_thread
from .saliency import is_blank
from .types import Device, Floats, Picture, Placement, Split

T = TypeVar("T")
R = TypeVar("R")
Opener = Callable[[Path], Picture]
Named = tuple[int | None, str]
"""A picture's place in the input, where that is known, and what the input calls it."""

COLUMNS: dict[str, tuple[str, str]] = {
    "index": ("int64", "the picture's place in the input, from 0"),
    "path": ("string", "the picture as the input names it"),
    "sha256": ("string", "that of the picture file"),
    "width": ("int32", "pixels, upright"),
    "height": ("int32", "pixels, upright"),
    "class": ("int32", "the class decided for"),
    "label": ("string", "its name"),
    "probability": ("double", "its probability, null for plain scores"),
    "target": ("int32", "the class explained"),
    "target_label": ("string", "its name"),
    "target_probability": ("double", "its probability"),
    "method": ("string", "as it was asked for"),
    "predicate": ("string", "what a search preserves"),
    "outcome": ("string", "how a search ended: one-minimal, empty-suffices, full-fails, out-of-budget"),
    "units_kept": ("int32", "units in the subset that a search found"),
    "units": ("list<int32>", "these units"),
    "sufficient": ("bool", "the certificate: they suffice"),
    "minimal": ("bool", "the certificate: none of them can go"),
    "probes": ("int64", "probes of the search"),
    "map_half": ("double", "share of the picture on which the map is above half of its maximum; null for a blank map"),
    "map_x": ("double", "the map's centre of mass, from 0 at the left to 1 at the right"),
    "map_y": ("double", "the same from 0 at the top to 1 at the bottom"),
    "map": ("string", "the file of the map: its path below the output folder, in a zip its name there"),
    "text": ("string", "the explanation in sentences, if asked for"),
    "error": ("string", "why there is no explanation, else null"),
}
"""The columns of a row in order: types in Arrow's words, and what they hold. Any may be null but the first two."""

TOGETHER: dict[Device, int] = {"cpu": 1, "cuda": 16}
"""Pictures that are decided in one call: a CPU gains nothing by more (engine/features.py)."""
RASTER = 64
"""Places along the longer side on which the numbers of a map are taken: the same whatever a picture's size."""


@dataclass(frozen=True)
class Ready:
    """What is kept of a picture until the model has decided: not its pixels, so that large ones do not add up."""

    sha256: str
    inputs: NDArray[Any]
    placement: Placement


@dataclass(frozen=True)
class Told:
    """A row, and what draws the map: `[H, W]` in 0..1 over the picture, and as shown; None where there is none."""

    row: Row
    saliency: Callable[[], Floats] | None = None
    shown: Callable[[Floats], Floats] | None = None


def explained_rows(
    explainer: Explainer, opener: Opener, root: Path, named: Iterable[Named], *, text: bool = False
) -> Iterator[Told]:
    """Explain pictures, files by their names below `root`, one after the other; yield a row each, in order.

    `opener` raises PictureError. What concerns one picture alone is the error in its row. `text` adds sentences. Two
    threads read, decode and prepare a few pictures ahead of the model; memory does not grow with their number.
    """
    size = TOGETHER[explainer.model.device]
    prepare = partial(ready, explainer, opener, root)
    with one_blas_thread(), ThreadPoolExecutor(2) as pool:
        waiting = ahead(pool, prepare, named, 2 * size + 2)
        try:
            while chunk := list(islice(waiting, size)):
                yield from decided(explainer, chunk, text)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def ahead(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], most: int) -> Iterator[tuple[T, R]]:
    """Do work in a pool and yield items and results in order, with at most `most` begun and not yet taken."""
    begun: deque[tuple[T, Future[R]]] = deque()
    for item in items:
        begun.append((item, pool.submit(work, item)))
        if len(begun) >= most:
            done, future = begun.popleft()
            yield done, future.result()
    while begun:
        done, future = begun.popleft()
        yield done, future.result()


def ready(explainer: Explainer, opener: Opener, root: Path, named: Named) -> Ready | DdcamError:
    """Read, decode and prepare one picture, or return why that cannot be done."""
    picture = attempt(opener, root / named[1])
    prepared = attempt(explainer.prepare, picture) if isinstance(picture, Picture) else picture
    if isinstance(prepared, DdcamError):
        return prepared
    return Ready(prepared.picture.sha256, prepared.inputs, prepared.placement)


def decided(explainer: Explainer, chunk: list[tuple[Named, Ready | DdcamError]], text: bool) -> Iterator[Told]:
    found = iter(explainer.decide([one.inputs for _, one in chunk if isinstance(one, Ready)]))
    for named, one in chunk:
        row: Row = dict.fromkeys(COLUMNS)
        row |= {"index": named[0], "path": escaped(named[1])}
        if isinstance(one, DdcamError):
            yield Told(row | {"error": str(one)})
            continue
        yield told(row | picture_columns(one), one, next(found), text)


def escaped(name: str) -> str:
    """Return a file name as text: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def picture_columns(one: Ready) -> Row:
    return {"sha256": one.sha256, "width": one.placement.picture_width, "height": one.placement.picture_height}


def told(row: Row, one: Ready, found: Decision | DdcamError, text: bool) -> Told:
    if isinstance(found, DdcamError):
        return Told(row | {"error": str(found)})
    problem, attribution = found.problem, found.attribution
    split, shown = problem.split, problem.model.opened.preprocessing
    row |= decision_columns(found) | search_columns(attribution)
    row |= map_columns(attribution.grid_map, split, one.placement)
    if text:
        picture = Picture(np.empty((0, 0, 3), np.uint8), row["path"], one.sha256)
        row["text"] = explanation_of(problem, attribution, picture, one.placement).text
    grid_map = attribution.grid_map
    return Told(
        row,
        lambda: in_picture(grid_map, split, one.placement),
        lambda saliency: as_drawn(saliency, grid_map, shown),
    )


def decision_columns(found: Decision) -> Row:
    problem = found.problem
    decided, target = (problem.prediction(i) for i in (int(problem.logits.argmax()), problem.target))
    return {
        "class": decided.index,
        "label": decided.label,
        "probability": decided.probability,
        "target": target.index,
        "target_label": target.label,
        "target_probability": target.probability,
        "method": found.attribution.method,
        "predicate": problem.preserve,
    }


def search_columns(found: Attribution) -> Row:
    """Return what a search found; nothing of that is there for other methods."""
    row: Row = {"outcome": found.outcome or None}
    if found.subset is not None:
        row |= {"units_kept": len(found.subset), "units": [int(unit) for unit in found.subset]}
    if found.certificate is not None:
        row |= {"sufficient": bool(found.certificate.sufficient), "minimal": bool(found.certificate.minimal)}
    return row | ({"probes": int(found.cost.probes)} if found.cost else {})


def map_columns(grid_map: Floats, split: Split, placement: Placement) -> Row:
    """Return how large a map is and where its centre lies, in shares of the picture."""
    if is_blank(grid_map):
        return {}
    saliency = in_picture(grid_map, split, on_raster(placement, split)).astype(np.float64)
    rows, columns = saliency.sum(axis=1), saliency.sum(axis=0)
    if not rows.sum() > 0:  # the whole map lies in the border around a padded picture
        return {}
    return {
        "map_half": float((saliency > saliency.max() / 2).mean()),
        "map_x": centre(columns),
        "map_y": centre(rows),
    }


def centre(mass: NDArray[np.float64]) -> float:
    return float((np.arange(len(mass)) + 0.5) @ mass / mass.sum() / len(mass))


def on_raster(placement: Placement, split: Split) -> Placement:
    """Return the same place in a picture of RASTER pixels along its longer side; volumes and series stay."""
    height, width = placement.picture_height, placement.picture_width
    if split.slices[0] > 1 or 1 in (height, width):
        return placement
    step = max(height, width) / RASTER
    rows, columns = max(1, round(height / step)), max(1, round(width / step))
    down, across = rows / height, columns / width
    return replace(
        placement,
        picture_height=rows,
        picture_width=columns,
        top=placement.top * down,
        bottom=placement.bottom * down,
        left=placement.left * across,
        right=placement.right * across,
    )

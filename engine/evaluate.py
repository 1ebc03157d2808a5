"""Methods x metrics x a data set: a row a picture and method, appended whole, so that a killed run goes on."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .answer import Explanation
from .atomic import whole_file
from .dataset import Dataset, Sample, drawn, require_known, true_classes
from .errors import DdcamError, OptionError, OutputError
from .explain import drawn_map, explanation_of
from .graph.content import require_light
from .graph.shuffle import shuffled
from .journal import Journal, Row, journal, rows_of
from .methods import Method, method_named
from .methods.forms import require_picture
from .metrics import Case, Map, Metric, metric_named
from .model import Model, load
from .mosaic import Mosaics
from .preprocess import arranged, prepare
from .preserved import any_class
from .problem import Problem
from .render.thumbnail import thumbnail
from .saliency import is_blank
from .search.predicate import require_fit
from .trials import Exhibit, Setting, exhibit, inside, trial
from .types import Wishes

PLAN, ROWS, GALLERY = "plan.json", "rows.jsonl", "gallery"


@dataclass(frozen=True)
class Plan:
    """What is to be measured: names of methods and metrics with options, and which pictures and class.

    `explain` is the class explained, the one decided for or the true one; `preserve` the predicate of the searches,
    by default confidence:0.9; `limit` pictures are drawn with `seed`; the first `gallery` are shown in the report;
    `against` is the method that others are compared with, by default the first.
    """

    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    explain: Literal["decided", "label"] = "decided"
    preserve: str | None = None
    limit: int | None = None
    seed: int = 0
    gallery: int = 6
    against: str | None = None


@dataclass(frozen=True)
class Run:
    """A plan, ready: what its names stand for, the pictures in order, and where rows go."""

    plan: Plan
    folder: Path
    setting: Setting
    methods: dict[str, Method]
    metrics: dict[str, Metric]
    order: list[Sample]
    mosaics: Mosaics | None
    truths: dict[int | str, int]

    @property
    def samples(self) -> list[Sample]:
        return self.order[: self.plan.limit]


def evaluate(
    path: Path, data: Dataset, plan: Plan, folder: Path, wishes: Wishes | None = None
) -> Iterator[tuple[int, int]]:
    """Measure methods on a data set; yield how many of how many rows are done, after each.

    `folder` gets plan.json, rows.jsonl and pictures for the report, a row a picture and method, each written to the
    disk before the next is begun. Called again with the same plan, or one of more methods or pictures, it goes on
    where it stopped, and the numbers are the same as without a stop (seconds and memory excepted). A picture or
    method that is refused becomes a row that says why. Raises DdcamError for what concerns all of them.
    """
    run = ready(path, data, plan, folder, wishes or Wishes())
    folder.mkdir(parents=True, exist_ok=True)
    with journal(folder / ROWS) as rows:
        agree_on_plan(run, data)
        known = rows_of(folder / ROWS)
        done = {(row["picture"], row["method"]) for row in known}
        skipped = {row["picture"] for row in known if row["method"] is None}
        total, count = len(run.samples) * len(run.methods), 0
        for index, sample in enumerate(run.samples):
            left = [name for name in run.methods if (sample.name, name) not in done]
            left = [] if sample.name in skipped else left
            count += len(run.methods) - len(left)
            yield count, total
            for _ in measured(run, index, left, rows):
                count += 1
                yield min(count, total), total


def ready(path: Path, data: Dataset, plan: Plan, folder: Path, wishes: Wishes) -> Run:
    """Check everything that can be checked before a picture is opened, and load the model."""
    methods = {name: method_named(name) for name in plan.methods}
    metrics = {name: metric_named(name) for name in plan.metrics}
    if plan.against not in (None, *methods):
        raise OptionError(f"expected a method out of {', '.join(methods)} to compare with, got {plan.against!r}")
    require_boxes(metrics, data)
    model = load(path, wishes)
    require_picture("an evaluation", model.opened.picture)
    logits = model.opened.logits
    preserve = plan.preserve or any_class(model.opened)
    require_fit(preserve, logits.classes, logits.activation)
    if plan.explain == "label":
        require_known(data, model.opened.labels)
    truths = true_classes(data, model.opened.labels)
    setting = Setting(model, preserve, partial(load_shuffled, model, wishes, plan.seed))
    order = drawn(data.samples, None, plan.seed)
    mosaics = Mosaics(model, order) if any("mosaic" in metric.facts.needs for metric in metrics.values()) else None
    return Run(plan, folder, setting, methods, metrics, order, mosaics, truths)


def boxed(data: Dataset) -> bool:
    return any(sample.boxes for sample in data.samples)


def require_boxes(metrics: dict[str, Metric], data: Dataset) -> None:
    needy = [name for name, metric in metrics.items() if "box" in metric.facts.needs]
    if needy and not boxed(data):
        raise OptionError(f"{needy[0]} needs boxes of the objects, and no picture has one; leave it out of --metrics")


def load_shuffled(model: Model, wishes: Wishes, seed: int) -> Model:
    """Load a model once more with its weights shuffled, cut at the same tensor."""
    opened = model.opened
    size = opened.preprocessing.height, opened.preprocessing.width
    same = replace(
        wishes, split=model.split.tensor, output=opened.logits.output, layout=opened.picture.layout, size=size
    )
    same = replace(same, input=None, hold=None)  # held inputs are weights by now
    same = replace(same, labels=None, preprocessing=None) if model.split.units != "patch" else replace(same, split=None)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shuffled.onnx"
        require_light(opened.graph.proto, "the model with its weights shuffled")
        file.write_bytes(shuffled(opened.graph.proto, seed).SerializeToString())
        return load(file, same)


def agree_on_plan(run: Run, data: Dataset) -> None:
    """Write the plan, or compare it with the one that the folder was begun with: methods and limit may differ."""
    graph, split = run.setting.model.opened.graph, run.setting.model.split
    now: dict[str, Any] = json.loads(json.dumps(asdict(run.plan))) | {
        "preserve": run.setting.preserve,
        "model": graph.path.name,
        "sha256": graph.sha256,
        "split": f"{split.tensor}, {split.count} {split.units} units",
        "data": data.reason,
        "pictures": data.digest,
        "of": len(data.samples),
    }
    before = read_plan(run.folder)
    for key, value in now.items():
        if before and key not in ("methods", "limit", "gallery", "against") and before.get(key) != value:
            raise OutputError(
                f"{run.folder} holds a run with {key} {before.get(key)!r}, and this one has {value!r}; "
                "choose another -o, or overwrite it with --force"
            )
    with whole_file(run.folder / PLAN, replace=True) as file:
        file.write_text(json.dumps(now, indent=1, ensure_ascii=False), encoding="utf-8")


def read_plan(folder: Path) -> dict[str, Any]:
    """Read the plan of a run; empty where there is none."""
    try:
        found = json.loads((folder / PLAN).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise OutputError(f"{folder / PLAN} is damaged; choose another -o, or overwrite it with --force")
    return found


def restart(folder: Path) -> None:
    """Remove what an earlier run has left in a folder; OutputError where the folder is something else."""
    if not folder.exists():
        return
    if not (folder / PLAN).is_file() and any(folder.iterdir()):
        raise OutputError(f"{folder} exists and holds no {PLAN}, so --force does not overwrite it; choose another -o")
    for file in (folder / ROWS, folder / PLAN, *(folder / GALLERY).glob("*.jpg")):
        file.unlink(missing_ok=True)


# ----- one picture -----


def measured(run: Run, index: int, names: list[str], rows: Journal) -> Iterator[Row]:
    """Measure methods on one picture, append and yield their rows."""
    if not names:
        return
    sample = run.samples[index]
    try:
        shown = put_up(run, index)
    except DdcamError as error:
        row: Row = {"picture": sample.name, "method": None, "skipped": str(error)}
        rows.append(row)
        yield from [row] * len(names)
        return
    for name in names:
        row = {"picture": sample.name, "method": name} | result(run, name, shown, index)
        rows.append(row)
        yield row


def put_up(run: Run, index: int) -> Exhibit:
    """Open a picture and pose the decision about it; boxes count where they are those of the class explained."""
    model, sample = run.setting.model, run.samples[index]
    truth = run.truths.get(sample.label) if sample.label is not None else None
    if run.plan.explain == "label" and truth is None:
        raise OptionError(f"expected a label that is a class of the model, got {sample.label!r}")
    target = str(truth) if run.plan.explain == "label" else None
    picture = arranged(sample.open(), model.opened.preprocessing, model.opened.picture)
    inputs, placement = prepare(picture, model.opened.preprocessing, model.opened.picture)
    problem = Problem(model, inputs, target=target, preserve=run.setting.preserve)
    box = inside(sample.boxes, placement, model.opened.preprocessing)
    usable = box.any() and truth in (None, problem.target)
    shown = exhibit(picture, placement, problem, box if usable else None)
    return replace(shown, mosaic=run.mosaics.around(index, problem) if run.mosaics else None)


def result(run: Run, name: str, shown: Exhibit, index: int) -> Row:
    """Return what is known of one method on one picture."""
    problem = shown.problem
    decided = problem.prediction(problem.target)
    told: Row = {"index": index, "class": decided.index, "label": decided.label, "probability": decided.probability}
    try:
        saliency, case = trial(run.setting, name, run.methods[name], shown)
    except DdcamError as error:
        return told | {"refused": str(error)}
    assert case.attempt is not None
    attribution = case.attempt.attribution
    told |= {"outcome": attribution.outcome, "warnings": list(attribution.warnings)}
    if index < run.plan.gallery:
        explanation = explanation_of(problem, attribution, shown.picture, shown.placement)
        keep_picture(run.folder, index, name, explanation)
        told |= {"text": explanation.text}
    if is_blank(attribution.grid_map):
        return told | {"blank": True}
    return told | scored(run.metrics, saliency, case)


def scored(metrics: dict[str, Metric], saliency: Map, case: Case) -> Row:
    """Return the metrics of a map by name, null where one is not defined; `notes` say why one could not be had."""
    values, notes = {}, {}
    for name, metric in metrics.items():
        value = float("nan")
        if all(getattr(case, need) is not None for need in metric.facts.needs):
            try:
                value = metric(saliency, case)
            except DdcamError as error:
                notes[name] = str(error)
        values[name] = value if np.isfinite(value) else None
    return {"values": values, "notes": notes}


def keep_picture(folder: Path, index: int, name: str, explanation: Explanation) -> None:
    """Write a small overlay for the report, and the picture itself."""
    for stem, saliency in ((str(index), None), (f"{index}-{slug(name)}", drawn_map(explanation))):
        with whole_file(folder / GALLERY / f"{stem}.jpg", replace=True) as file:
            file.write_bytes(thumbnail(explanation.picture.pixels, saliency))


def slug(name: str) -> str:
    """Return a method's name as part of a file name."""
    return "".join(letter if letter.isalnum() else "_" if letter == ":" else "-" for letter in name)

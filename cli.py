"""The command line: one short command per verb, no logic of its own."""

import functools
import io
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import click

from . import __version__, engine
from .adapters.bulk import FORMS, find_pictures, form_named
from .adapters.datasets import FORMATS, open_dataset
from .adapters.images import decode_strange, find_images, open_image
from .engine import Choice, DdcamError, Explanation, Model, Picture, Wishes
from .engine.choose import Loader
from .engine.dataset import Sample
from .engine.detector import IOU, LEAST, corners_of
from .engine.errors import printable
from .engine.explain import PRESETS as EXPLAIN_PRESETS
from .engine.explanation_file import describe
from .engine.find import NAMES as SEARCH_NAMES
from .engine.graph.hold import shown
from .engine.inspect import as_text, preprocessing_text
from .engine.preprocess import PRESETS
from .engine.runtime.device import both_wheels
from .engine.types import Question, Seek
from .models import DEMOS, demo_path, demo_pictures, model_path
from .models.cache import pull, records, rows
from .models.catalogue import catalogue, find_entry, table_of

FAILED, WRONG = 1, 2
"""Exit codes: something failed or does not verify; the input or an option is wrong."""

Rows = Sequence[Mapping[str, str]]
"""A table: rows of texts by column."""
option = functools.partial(click.option, show_default=True)
flag = functools.partial(click.option, is_flag=True, show_default="off")
path_type = click.Path(path_type=Path)


class ModelPath(click.Path):
    """A path, or `zoo:` and the name of a pulled model of the catalogue."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).startswith("zoo:"):
            return model_path(str(value).removeprefix("zoo:"))
        return super().convert(value, param, ctx)


model_type = ModelPath(path_type=Path)


class Numbers(click.ParamType):  # type: ignore[type-arg]  # click 8.1 takes none
    """Numbers separated by commas (or by x, for sizes)."""

    name = "NUMBERS"

    def __init__(self, kind: type, separator: str = ",", most: int = 4) -> None:
        self.kind, self.separator, self.most = kind, separator, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            numbers = tuple(self.kind(part) for part in str(value).split(self.separator))
        except ValueError:
            self.fail(f"expected numbers separated by {self.separator!r}, got {value!r}", param, ctx)
        if len(numbers) > self.most:
            self.fail(f"expected at most {self.most} numbers, got {len(numbers)}", param, ctx)
        return numbers


class Held(click.ParamType):  # type: ignore[type-arg]
    """An input of a model and the value it is held at, which the engine reads."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, given = str(value).partition("=")
        if not (name and equals and given):
            self.fail(f"expected NAME=VALUE, got {value!r}", param, ctx)
        return name, given


class Gibibytes(click.ParamType):  # type: ignore[type-arg]
    """An amount of memory in GiB, converted to bytes."""

    name = "GIB"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            amount = float(value)
        except ValueError:
            amount = 0.0
        if not 0.1 <= amount <= 2**20:  # false for NaN too
            self.fail(f"expected GiB from 0.1 to {2**20}, got {value!r}", param, ctx)
        return int(amount * 2**30)


def choices(*names: str) -> "click.Choice[str]":
    return click.Choice(names)


RUN_OPTIONS = [
    option("--device", type=choices("auto", "cpu", "cuda"), default="auto", help="Where to run."),
    option("--threads", type=click.IntRange(0, 1024), default=0, help="Threads; 0 means all cores."),
]
MODEL_OPTIONS = [
    option("--units", type=choices("channel", "token", "cell", "patch"), help="What can be removed.",
           show_default="channel for maps, token for transformers, patch where there is neither"),
    option("--patch", type=click.IntRange(min=1), metavar="N", help="Side of a patch in pixels of the model input.",
           show_default="what gives about 14 x 14 patches"),
    option("--baseline", type=choices("mean", "blur", "zero"), show_default="mean",
           help="What a removed patch is: the picture's mean colour, its blur, or 0 in the model input."),
    option("--split", metavar="TENSOR", help="Cut at this tensor; ddcam inspect lists them.",
           show_default="the last map before the classifier, or the last tokens that attention mixes"),
    option("--output", metavar="NAME", show_default="found", help="The output with the class scores."),
    option("--input", metavar="NAME", show_default="the only one of four axes", help="The input with the picture."),
    option("--hold", type=Held(), multiple=True, show_default="nothing",
           help="Hold another input: a number, numbers with commas, or an .npy or .npz file; as often as needed."),
    option("--layout", type=choices("NCHW", "NHWC"), show_default="found", help="Axes of the picture input."),
    option("--preprocessing", type=choices(*PRESETS, "array"), help="A named preprocessing.",
           show_default="what the model, or a config beside it, records; else by the input's type"),
    option("--size", type=Numbers(int, "x", 2), metavar="HxW", help="Size of the model input.",
           show_default="the model's own, else 224x224"),
    option("--fit", type=choices("crop", "stretch", "pad"), help="How a picture gets the shape of the model input.",
           show_default="recorded; else crop, and stretch for boxes and regions"),
    option("--mean", type=Numbers(float, most=4096), metavar="A,B,C", show_default="the preprocessing's",
           help="Mean per channel, in 0..1, or in 0..255 if any is above 1."),
    option("--std", type=Numbers(float, most=4096), metavar="A,B,C", show_default="the preprocessing's",
           help="Standard deviation per channel, in the mean's units."),
    option("--labels", type=path_type, metavar="FILE", help="Class names: a line each, or JSON.",
           show_default="the model's; ImageNet's for 1000 classes; else numbers"),
    *RUN_OPTIONS,
    option("--trust-preprocessing", "doubts", flag_value="none", default="look", show_default="compared",
           help="Do not compare the preprocessing with what the model was trained with."),
    option("--batch", type=click.IntRange(min=1), help="Most masks per run of the head.",
           show_default="what fits 256 MiB, at most 64"),
    option("--memory", type=Gibibytes(), metavar="GIB", show_default="3 and six times the file",
           help="Most memory for the trial run of an unknown model."),
    option("--straight-through", "rounding", flag_value="straight-through", default="refuse", show_default="refused",
           help="Take gradients of a quantised model as if QuantizeLinear and DequantizeLinear did not round."),
]  # fmt: skip
ASKING_OPTIONS = [
    option("--target", metavar="CLASS", show_default="the class decided for", help="Class to explain: index or name."),
    option("--preserve", metavar="PREDICATE", show_default="top1; threshold for one sigmoid score",
           help="What must stay: top1, confidence:T, topk:K, label:NAME, threshold:T, multilabel:T, tolerance:E."),
]  # fmt: skip
DETECTOR_OPTIONS = [
    option("--score", type=float, help="Score above which a box is found.", show_default=str(LEAST)),
    option("--detector", metavar="KIND", show_default="found, with the reason",
           help="How boxes are read from the outputs: KIND, or KIND:boxes=FORM:unit=UNIT:scores=FORM:background=N."),
]  # fmt: skip
CHOICE_OPTIONS = [
    option("--box", metavar="BOX", show_default="none",
           help="Explain a detected box: its number in ddcam detect, or LEFT,TOP,RIGHT,BOTTOM in the picture."),
    option("--iou", type=float, help="Overlap with the box from which another is the same.", show_default=str(IOU)),
    option("--region", metavar="REGION", show_default="none",
           help="Explain the class of a region: LEFT,TOP,RIGHT,BOTTOM in the picture, or a mask picture."),
    *DETECTOR_OPTIONS,
]  # fmt: skip
EXPLAIN_OPTIONS = [
    option("--preset", type=choices(*EXPLAIN_PRESETS), show_default="none",
           help="best: the map of nested answers of cells, or of tokens; --units and --method still stand."),
    option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.ddcam, or explanations/NAME for several",
           help="Folder of the explanation; for several pictures that of their folders."),
    *ASKING_OPTIONS,
    option("--method", metavar="NAME", show_default="dd-cam, or the preset's",
           help="How to explain: a name that ddcam methods lists, with options as NAME:OPTION=VALUE."),
    option("--search", type=choices(*SEARCH_NAMES), default="auto", metavar="NAME",
           help=f"How to search: {', '.join(SEARCH_NAMES)}. auto is ordered; minimum proves the fewest units."),
    flag("--necessary", help="Find units without which the decision is lost, instead of units that suffice."),
    option("--count", type=click.IntRange(1, 1000), default=1, help="Answers that differ, disjoint ones first."),
    option("--probes", type=click.IntRange(min=1), show_default="no limit",
           help="Most probes of a search; those of a batch count even where an earlier one decides."),
    option("--seconds", type=click.FloatRange(min=0, min_open=True), show_default="no limit; 10 to prove a minimum",
           help="Most seconds of a search; the certificate comes on top."),
    flag("--keep-arrays", help="Keep model input and features too, so that verify needs no picture."),
    flag("--force", help="Overwrite an earlier explanation."),
    flag("--json", "as_json", help="Print the manifest, one JSON object a picture."),
]  # fmt: skip

SERVING_OPTIONS = [
    option("--method", metavar="NAME", default="dd-cam", help="How to explain, with options as NAME:OPTION=VALUE."),
    *ASKING_OPTIONS,
    option("--seconds", type=click.FloatRange(min=0, min_open=True), show_default="no limit",
           help="Most seconds of a search."),
    option("--host", default="127.0.0.1", help="Address to listen on; nobody is asked who they are."),
    option("--port", type=click.IntRange(0, 65535), default=8080, help="Port to listen on; 0 takes a free one."),
    option("--name", show_default="the file's", help="What the model is called in URLs."),
    option("--workers", type=click.IntRange(1, 64), default=1, help="Copies of the model that work side by side."),
    option("--queue", type=click.IntRange(min=1), default=64, help="Most pictures under way; more get a 503."),
    option("--pictures", type=click.IntRange(min=1), default=8, help="Most pictures that share a run."),
    option("--wait", type=click.FloatRange(0, 60_000), default=2, metavar="MS",
           help="Milliseconds that a picture waits for others to share its run."),
    option("--timeout", type=click.FloatRange(min=0, min_open=True), default=30, metavar="S",
           help="Seconds within which a request is answered, or gets a 504."),
    option("--max-bytes", "bytes", type=click.IntRange(min=1), default=16 * 2**20, help="Most bytes of a request."),
    option("--max-pixels", "pixels", type=click.IntRange(min=1), default=25_000_000, help="Most pixels of a picture."),
]  # fmt: skip


def with_options(options: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for one in reversed(options):
            command = one(command)
        return command

    return add


def wishes_of(options: dict[str, Any]) -> Wishes:
    """Take the model options out of a command's parameters."""
    chosen = {field.name: options.pop(field.name, None) for field in fields(Wishes)}
    chosen["hold"] = dict(chosen["hold"] or ())
    if chosen["size"] and len(chosen["size"]) == 1:
        chosen["size"] *= 2
    return Wishes(**chosen)


def holding(wishes: Wishes) -> str:
    """Say which inputs a written file no longer has, since it holds their values."""
    return "".join(f"; {name} is held at {value}" for name, value in (wishes.hold or {}).items())


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="ddcam")
def cli() -> None:
    """Explain a deployed ONNX vision model: the smallest set of internal units that keeps its decision."""
    if conflict := both_wheels():
        note(f"ddcam: {conflict}")


@cli.command()
@click.argument("model", type=model_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@with_options([*EXPLAIN_OPTIONS, *CHOICE_OPTIONS, *MODEL_OPTIONS])
def explain(model: Path, images: tuple[str, ...], **options: Any) -> None:
    """Explain why MODEL decides as it does about each IMAGE (files, folders or patterns)."""
    paths, as_json = find_images(images), options.pop("as_json")
    units, method = EXPLAIN_PRESETS.get(options.pop("preset"), (None, "dd-cam"))
    options |= {"units": options["units"] or units, "method": options["method"] or method}
    folders = out_folders(paths, options.pop("out"))
    choice = choice_of(options)
    if choice.chooses:
        options["units"] = engine.units_for(options["method"], options["units"])
    load = noting(engine.loader(model, wishes_of(options), choice), options, as_json)
    each_picture(
        paths, folders, lambda path, folder: report(explain_one(load, path, folder, options), path, folder, as_json)
    )


def each_picture(paths: Sequence[Path], folders: Sequence[Path], work: Callable[[Path, Path], None]) -> None:
    """Do the work for every picture and its folder, and end; one of several that is refused is only reported."""
    failures = 0
    for path, folder in zip(paths, folders, strict=True):
        try:
            work(path, folder)
        except DdcamError as error:
            if len(paths) == 1:
                raise
            failures += 1
            note(f"ddcam: {path}: {error}")
    sys.exit(FAILED if failures else 0)


def choice_of(options: dict[str, Any]) -> Choice:
    """Take what is to be explained of a picture out of the parameters; of a box the target is its class."""
    given = {name: options.pop(name) for name in ("box", "iou", "score", "region")}
    if given["region"] is not None:
        text = given["region"]
        given["region"] = corners_of(text, "--region") if "," in text else open_image(Path(text))
    target = options["target"] if given["box"] is not None else None
    options["target"] = None if target is not None else options["target"]
    return Choice(**given, target=target)


def noting(loader: Loader, options: dict[str, Any], as_json: bool) -> Callable[[Picture], Model]:
    """Refuse what does not fit a model when it is first there, and note how pictures become its input."""

    @functools.cache
    def once(preprocessing: str) -> None:
        if not as_json:
            note(f"preprocessing {preprocessing}")

    def met(model: Model) -> Model:
        engine.require_request(model, **{name: options[name] for name in ("target", "preserve", "method")})
        held = model.opened.graph.held
        once(preprocessing_text(asdict(model.opened.preprocessing)) + (f"; held: {shown(held)}" if held else ""))
        return model

    if loader.ready is not None:
        met(loader.ready)
    return lambda picture: met(loader.load(picture))


def explain_one(load: Callable[[Picture], Model], path: Path, folder: Path, options: dict[str, Any]) -> Explanation:
    asking = {name: options[name] for name in ("target", "preserve", "method")}
    seek: Seek = "necessary" if options["necessary"] else "sufficient"
    limits = {name: options[name] for name in ("search", "count", "probes", "seconds")}
    asking["question"] = Question(seek=seek, **limits)
    engine.require_writable(folder, replace=options["force"])
    picture = open_image(path)
    explanation = engine.explain(load(picture), picture, **asking)
    engine.save(explanation, folder, keep_arrays=options["keep_arrays"], replace=options["force"])
    return explanation


def report(explanation: Explanation, path: Path, folder: Path, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(describe(explanation) | {"folder": str(folder)}, ensure_ascii=False))
        return
    say(f"{path.name}: {explanation}")
    say(f"  {explanation.text}")
    for warning in explanation.warnings:
        note(f"{path.name}: {warning}")
    note(f"written to {folder}")


def out_folders(paths: Sequence[Path], out: Path | None, one: str = "ddcam", all_: str = "explanations") -> list[Path]:
    """Name a folder per picture: `out` itself for one, sub-folders named after the files for several."""
    if len(paths) == 1:
        return [out or Path(f"{paths[0].stem}.{one}")]
    root, used, folders = out or Path(all_), set[str](), []
    for path in paths:
        name, number = path.stem, 2
        while name.lower() in used:
            name, number = f"{path.stem}-{number}", number + 1
        used.add(name.lower())
        folders.append(root / name)
    return folders


@cli.command()
@click.argument("model", type=model_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@option(
    "--methods",
    metavar="A,B,C",
    default="dd-cam,nested,grad-cam,hirescam,eigen-cam,ablation-cam",
    help="Names as for explain --method, with commas between; all, or all:FAMILY, for what there is.",
)
@option(
    "-o",
    "--out",
    type=path_type,
    metavar="DIR",
    show_default="NAME.compare, or comparisons/NAME for several",
    help="Folder of the sheet and the table; for several pictures that of their folders.",
)
@flag("--agreement", help="Print the rank correlation of the maps, too.")
@flag("--force", help="Overwrite an earlier comparison.")
@flag("--json", "as_json", help="Print the table and the rank correlations, one JSON object a picture.")
@with_options([*ASKING_OPTIONS, *MODEL_OPTIONS])  # fmt: skip
def compare(model: Path, images: tuple[str, ...], **options: Any) -> None:
    """Show what several methods make of MODEL's decision about each IMAGE: their maps on a sheet, and a table."""
    paths, force = find_images(images), options.pop("force")
    printed = {name: options.pop(name) for name in ("as_json", "agreement")}
    folders = out_folders(paths, options.pop("out"), "compare", "comparisons")
    methods, asked = (
        engine.methods_named(options.pop("methods")),
        [options.pop(name) for name in ("target", "preserve")],
    )
    loaded = engine.load(model, wishes_of(options))
    engine.require_request(loaded, target=asked[0], preserve=asked[1])
    contest = engine.Contest(loaded, methods, *asked)

    def work(path: Path, folder: Path) -> None:
        engine.require_free(folder, replace=force)
        found = engine.compare(contest, open_image(path), progress(path, methods))
        engine.save_comparison(found, folder, replace=force)
        show(found, folder, **printed)

    each_picture(paths, folders, work)


def progress(path: Path, methods: Mapping[str, engine.Method]) -> Callable[[str], None]:
    """Return what notes that a method begins, the how manyth it is, and what it usually costs."""
    begun = itertools.count(1)
    return lambda name: note(f"{path.name}: {next(begun)}/{len(methods)} {name} ({methods[name].facts.cost})")


def show(found: engine.Comparison, folder: Path, as_json: bool, agreement: bool) -> None:
    if as_json:
        click.echo(json.dumps(engine.describe_comparison(found) | {"folder": str(folder)}, ensure_ascii=False))
        return
    say(f"{found.picture}: {found.target}")
    for line in table([cells(row) for row in found.rows]).splitlines():
        say(line)
    if agreement and found.mapped:
        numbers = [str(number + 1) for number in range(len(found.mapped))]
        rows = zip(numbers, found.mapped, found.agreement, strict=True)
        alike = [
            {"rank correlation": f"{number} {name}"}
            | dict(zip(numbers, (f"{value:5.2f}" for value in row), strict=True))
            for number, name, row in rows
        ]
        for line in table(alike).splitlines():
            say(line)
    note(f"written to {folder}")


def cells(row: engine.Row) -> dict[str, str]:
    """Write a row of a comparison for the terminal."""
    return {
        "method": row.method,
        "where the map lies": row.where,
        "half on": "-" if row.half is None else f"{row.half:.0%}",
        "insertion": "-" if row.insertion is None else f"{row.insertion:.3f}",
        "deletion": "-" if row.deletion is None else f"{row.deletion:.3f}",
        "seconds": "-" if row.seconds is None else f"{row.seconds:.3f}",
        "note": row.note,
    }


@cli.command()
@click.argument("model", type=model_type)
@click.argument("image", type=path_type)
@flag("--json", "as_json", help="Print everything as JSON.")
@with_options([*DETECTOR_OPTIONS, *MODEL_OPTIONS])
def detect(model: Path, image: Path, as_json: bool, **options: Any) -> None:
    """List the boxes that a detector MODEL finds in IMAGE, numbered as explain --box takes them."""
    least = LEAST if options["score"] is None else options["score"]
    engine.require_score(least)
    del options["score"]
    seen = engine.open_detector(model, wishes_of(options)).detect(open_image(image), least)
    if as_json:
        click.echo(json.dumps(asdict(seen), ensure_ascii=False))
        return
    note(f"read as {seen.reading}: {seen.reading.reason}")
    rows = [{"number": str(i), "class": one.label, "score": f"{one.score:.3f}", "box": one.corners}
            for i, one in enumerate(seen.detections, 1)]  # fmt: skip
    found = table(rows) if rows else f"no box with a score above {least:g}; try a lower --score"
    for line in found.splitlines():
        say(line)


@cli.command()
@click.argument("explanation", type=path_type)
@click.argument("model", type=model_type)
@click.argument("image", type=path_type, required=False)
@with_options(RUN_OPTIONS)
@flag("--json", "as_json", help="Print the verdict as JSON.")
def verify(explanation: Path, model: Path, image: Path | None, as_json: bool, **running: Any) -> None:
    """Ask MODEL again whether EXPLANATION is true; IMAGE is needed unless the arrays were kept."""
    saved = engine.open_explanation(explanation)
    verdict = engine.verify(saved, model, open_image(image) if image else None, **running)
    if as_json:
        click.echo(json.dumps(asdict(verdict) | {"agrees": verdict.agrees}))
    else:
        say(f"{'verified' if verdict.agrees else 'NOT verified'}: {verdict}")
    sys.exit(0 if verdict.agrees else FAILED)


@cli.command()
@click.argument("model", type=model_type)
@click.argument("dataset", type=path_type)
@option(
    "--methods",
    metavar="NAMES",
    default="dd-cam,nested,grad-cam,layer-cam,eigen-cam,ablation-cam",
    help="Methods with commas between them; all, or all:FAMILY.",
)
@option(
    "--metrics",
    metavar="NAMES",
    default="insertion,deletion,average-drop,complexity,restoring-area",
    help="Metrics with commas between them; all, or all:FAMILY.",
)
@option("--against", metavar="METHOD", show_default="the first", help="What the others are compared with.")
@option("--explain", type=choices("decided", "label"), default="decided", help="The class to explain.")
@option("--preserve", metavar="PREDICATE", show_default="confidence:0.9", help="What searches must preserve.")
@option("--limit", type=click.IntRange(min=1), metavar="N", show_default="all", help="Pictures, drawn at random.")
@option("--seed", type=click.IntRange(min=0), default=0, help="Of the draw and the intervals.")
@option("--gallery", type=click.IntRange(min=0), default=6, metavar="N", help="Pictures that the report shows.")
@option("--format", "form", type=choices(*FORMATS), show_default="found", help="What DATASET is.")
@option(
    "-o",
    "--out",
    type=path_type,
    metavar="DIR",
    show_default="NAME.evaluation",
    help="Folder of rows, tables and report; a run that was stopped goes on there.",
)
@flag("--force", help="Begin again where an earlier run is.")
@flag("--json", "as_json", help="Print the summary as JSON.")
@with_options(MODEL_OPTIONS)
def evaluate(model: Path, dataset: Path, out: Path | None, **options: Any) -> None:
    """Measure methods on DATASET: class folders, CSV, ImageNet, COCO, Pascal VOC or NPZ."""
    folder, as_json = out or Path(f"{model.stem}.evaluation"), options.pop("as_json")
    data = open_dataset(dataset, open_image, options.pop("form"))
    if options.pop("force"):
        engine.restart(folder)
    asked = {name: options.pop(name) for name in ("explain", "preserve", "limit", "seed", "gallery", "against")}
    methods, metrics = engine.methods_named(options.pop("methods")), engine.metrics_named(options.pop("metrics"))
    plan = engine.Plan(tuple(methods), tuple(metrics), **asked)
    note(f"{len(data.samples)} pictures: {data.reason}")
    with_progress(engine.evaluate(model, data, plan, folder, wishes_of(options)), "rows")
    found = engine.results(folder)
    engine.write_results(found)
    click.echo(engine.summary_json(found) if as_json else table(engine.means(found)))
    note(f"written to {folder}; open report.html there")


@cli.command()
@click.argument("model", type=model_type)
@click.argument("source", metavar="INPUT", type=path_type)
@option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.batch",
        help="Folder of the rows; a run that was stopped goes on there.")  # fmt: skip
@option("--method", metavar="NAME", default="dd-cam", help="How to explain, with options as for explain.")
@with_options(ASKING_OPTIONS)
@option("--workers", type=click.IntRange(1, 1024), metavar="N",
        show_default="a core each, up to 8; 1 on a GPU or for few",
        help="Processes with a model each, which share the cores; 1 is this one.")  # fmt: skip
@option("--maps", type=choices("none", "png", "npy", "zip"), default="none",
        help="Write maps: a folder of PNG or NPY files a shard, or one zip of PNG files.")  # fmt: skip
@option("--format", "form", type=choices(*FORMS), default="parquet", help="How rows are written.")
@option("--shard", type=click.IntRange(1, 10**6), metavar="N", show_default="a sixteenth of all, from 16 to 500",
        help="Pictures a file of rows; what a kill can cost, times the workers.")  # fmt: skip
@flag("--text", help="Add the explanation in sentences.")
@option("--engine", "place", type=choices("local", "ray"), default="local", help="Where workers run.")
@option("--address", metavar="HOST", show_default="auto: the cluster that is there", help="The Ray cluster's address.")
@flag("--force", help="Begin again where an earlier run is.")
@with_options(MODEL_OPTIONS)
def batch(model: Path, source: Path, out: Path | None, **options: Any) -> None:
    """Explain the pictures of INPUT, a folder or a list of any length, into files of rows; see docs/bulk.md."""
    root, names = find_pictures(source)
    folder, form = out or Path(f"{model.stem}.batch"), form_named(options.pop("form"))
    deal = deal_of(options)
    if options.pop("force"):
        engine.restart_bulk(folder)
    size = options.pop("shard")
    asked = {name: options.pop(name) for name in ("method", "target", "preserve", "maps", "text")}
    job = engine.Job(model, folder, root, open_image, **asked, form=form, wishes=wishes_of(options))
    with_progress(engine.bulk(job, names, size=size, deal=deal, note=note), "pictures")
    note(f"written to {folder}")


def deal_of(options: dict[str, Any]) -> engine.Deal:
    """Take out of the parameters who computes shards."""
    place, workers, address = (options.pop(name) for name in ("place", "workers", "address"))
    if place == "local":
        return functools.partial(engine.locally, workers=workers)
    from .adapters.ray import on_ray  # noqa: PLC0415  (Ray, only where it is used)

    return functools.partial(on_ray, address=address, workers=workers)


def with_progress(steps: Iterator[tuple[int, int]], what: str) -> None:
    """Show how far a long piece of work is and how long it will still take; a line a tenth where nobody watches."""
    done, total = next(steps)
    if not sys.stderr.isatty():
        for now, _ in steps:
            if now * 10 // total > done * 10 // total:
                note(f"{now} of {total} {what}")
            done = now
        return
    with click.progressbar(length=total, file=sys.stderr, show_pos=True, label=what) as bar:
        bar.update(done)
        for now, _ in steps:
            bar.update(now - done)
            done = now


@cli.command()
@click.argument("model", type=model_type)
@flag(
    "--strict",
    help="Try all that can be asked of it: what works or is refused, and why. Takes a minute; exit code 1 where "
    "something is refused.",
)
@flag("--json", "as_json", help="Print everything as JSON.")
@with_options(MODEL_OPTIONS)
def inspect(model: Path, as_json: bool, strict: bool, **options: Any) -> None:
    """Show what MODEL is, where it would be cut and why, and whether it can be explained."""
    if strict:
        rows = engine.inspect_strictly(model, wishes_of(options), lambda what: note(f"trying {what}"))
        click.echo(json.dumps([asdict(row) for row in rows], indent=2) if as_json else table(engine.in_words(rows)))
        sys.exit({"works": 0, "refused": FAILED, "n/a": WRONG}[engine.verdict(rows)])
    found = engine.inspect(model, wishes_of(options))
    click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else as_text(found))
    sys.exit(WRONG if found["refusal"] else 0)


@cli.command()
@click.argument("model", type=model_type)
@option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.split", help="Where to write the two files.")
@flag("--force", help="Overwrite an earlier split.")
@with_options(MODEL_OPTIONS)
def split(model: Path, out: Path | None, force: bool, **options: Any) -> None:
    """Cut MODEL into backbone.onnx and head.onnx, verified to compute the same together."""
    folder = out or Path(f"{model.stem}.split")
    wishes = wishes_of(options)
    tensor, found = engine.split_files(model, folder, wishes, replace=force)
    equal = f"head(backbone(x)) equals the model within {found:.1g}"
    say(f"cut at {tensor}; {equal}{holding(wishes)}; written to {folder}")


@cli.command()
@click.argument("model", type=model_type)
@option("-o", "--out", type=path_type, metavar="FILE", show_default="NAME.gradient.onnx", help="Where to write.")
@option("--of", metavar="TENSOR", show_default="the class scores", help="What to differentiate.")
@option("--wrt", metavar="TENSOR", multiple=True, show_default="the picture",
        help="By what to differentiate; may be given several times.")  # fmt: skip
@flag("--force", help="Overwrite an earlier file.")
@with_options(MODEL_OPTIONS)
def gradient(model: Path, out: Path | None, **options: Any) -> None:
    """Write MODEL's backward graph: its inputs and a seed in, gradients out, checked against finite differences."""
    asked, force = engine.Derivative(options.pop("of"), options.pop("wrt")), options.pop("force")
    file = out or Path(f"{model.stem}.gradient.onnx")
    wishes = wishes_of(options)
    of, wrt, error = engine.write_gradient(model, file, asked, wishes, replace=force)
    checked = "rounding has no slope to compare" if error is None else f"agrees with differences within {error:.1g}"
    say(f"gradient of {of} by {', '.join(wrt)}: {checked}{holding(wishes)}; written to {file}")


@cli.command()
@click.argument("model", type=path_type)
@option("-o", "--out", type=path_type, metavar="FILE", show_default="NAME.explained.onnx", help="Where to write.")
@option("--method", metavar="NAME", default="grad-cam", help="dd-cam, or a method that is a graph, with options.")
@option("--preserve", metavar="PREDICATE", show_default="what fits the model", help="What dd-cam must keep.")
@option("--target", metavar="CLASS", show_default="the class decided for", help="Class to explain: index or name.")
@option("--map-size", "map_size", type=choices(*engine.SIZES), default="input",
        help="As large as the model input, or as fine as the features.")  # fmt: skip
@option("--triton", type=path_type, metavar="DIR", show_default="none",
        help="Write a model repository for Triton there, no file.")  # fmt: skip
@flag("--force", help="Overwrite an earlier file.")
@with_options(MODEL_OPTIONS)
def export(model: Path, out: Path | None, **options: Any) -> None:
    """Write MODEL with the output saliency_map, from plain ONNX operators, and the input explain, true by default.

    dd-cam adds units (the mask), sufficient and minimal.
    """
    if (known := engine.embedded(model)) is not None:
        say(f"{model} has the explanation of {known.method} inside already; nothing is written")
        return
    asked = engine.Export(*(options.pop(name) for name in ("method", "target", "map_size", "preserve")))
    force, triton, file = options.pop("force"), options.pop("triton"), out or Path(f"{model.stem}.explained.onnx")
    if triton is not None and out is not None:
        raise click.UsageError("give -o FILE or --triton DIR, not both")
    if triton is not None:
        file, found = engine.triton_repository(model, triton, asked, wishes_of(options), replace=force)
    else:
        found = engine.export(model, file, asked, wishes_of(options), replace=force)
    say(f"outputs are the model's within {found.outputs:.1g}, the map is {asked.method}'s within {found.maps:.1g}; "
        f"written to {file}")  # fmt: skip


@cli.command()
@click.argument("model", type=path_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@with_options(MODEL_OPTIONS)
def check(model: Path, images: tuple[str, ...], **options: Any) -> None:
    """Compare the explanation inside an exported MODEL with the engine's on pictures."""
    paths = find_images(images)
    found = engine.check_export(model, [open_image(path) for path in paths], wishes_of(options))
    for path, (off, other) in zip(paths, found, strict=True):
        near = ", for another subset, as well certified (a probe lies within rounding)" if other else ""
        say(f"{path.name}: the map is the engine's within {off:.1g}{near}")


@cli.command()
@click.argument("model", type=model_type)
@with_options([*SERVING_OPTIONS, *MODEL_OPTIONS])
def serve(model: Path, host: str, port: int, name: str | None, workers: int, **options: Any) -> None:
    """Answer over HTTP what MODEL predicts and why, in KServe's protocols V1 and V2, until it is interrupted."""
    from .adapters import serve as server  # noqa: PLC0415  (of the extra `serve`)

    limits = server.Limits(
        wait=options.pop("wait") / 1000,
        **{each: options.pop(each) for each in ("queue", "pictures", "timeout", "bytes", "pixels")},
    )
    asked = {each: options.pop(each) for each in ("method", "target", "preserve", "seconds")}
    wishes = wishes_of(options)
    with server.listen(host, port) as socket:  # a port that cannot be had is told before the model is loaded
        explainers = [engine.Explainer(engine.load(model, wishes), **asked) for _ in range(workers)]
        served = server.open_served(name or model.stem, explainers, asked["preserve"], decode_strange, limits)
        server.run(served, socket, note)


FORM = option("--format", "form", type=choices("text", "json", "markdown", "guide"), default="text",
              help="How to print them.")  # fmt: skip


@cli.command()
@click.argument("model", type=model_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@option(
    "-o", "--out", type=path_type, metavar="FILE", default=Path("concepts.npz"), help="Where to write; FILE.png too."
)
@option("--target", metavar="CLASS", show_default="the class decided for most often", help="The class: index or name.")
@option("--rank", type=click.IntRange(1, 1000), default=10, help="How many concepts.")
@option("--seed", type=click.IntRange(0), default=0, help="Seed of the fit.")
@flag("--force", help="Overwrite earlier files.")
@with_options(MODEL_OPTIONS)
def concepts(model: Path, images: tuple[str, ...], **options: Any) -> None:
    """Find the concepts of a class in pictures of it (files, folders or patterns), for explain --method craft."""
    asked = {name: options.pop(name) for name in ("out", "target", "rank", "seed")}
    fit_on(engine.find_concepts, model, images, options, asked)


@cli.command()
@click.argument("model", type=model_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@option("-o", "--out", type=path_type, metavar="FILE", default=Path("prototypes.npz"), help="Where to write; .png too.")
@option("--steps", type=click.IntRange(0, 1000), default=0, help="Steps that turn the channels to be purer.")
@flag("--force", help="Overwrite earlier files.")
@with_options(MODEL_OPTIONS)
def prototypes(model: Path, images: tuple[str, ...], **options: Any) -> None:
    """Find what each channel responds to most in training pictures, for explain --method epic."""
    asked = {name: options.pop(name) for name in ("out", "steps")}
    fit_on(engine.find_prototypes, model, images, options, asked)


def fit_on(
    fit: Callable[..., tuple[str, list[str]]], model: Path, images: tuple[str, ...], options: Any, asked: Any
) -> None:
    """Fit on pictures with a line of progress; say what came out and what was left out."""
    paths, replace = find_images(images), options.pop("force")
    samples = [Sample(path.name, functools.partial(open_image, path)) for path in paths]
    out = asked.pop("out")
    engine.refuse_existing_fit(out, replace=replace)
    found, skipped = fit(engine.load(model, wishes_of(options)), samples, out, replace=replace, track=tracked, **asked)
    for line in skipped:
        note(f"ddcam: left out: {line}")
    say(found)


def tracked(items: Sequence[Any], title: str) -> Iterator[Any]:
    """Give items one by one under a progress bar, on a terminal; else the title is a line."""
    with click.progressbar(items, label=f"{title} ({len(items)})", file=sys.stderr) as shown:
        yield from shown


@cli.command()
@FORM
def methods(form: str) -> None:
    """List the methods: what they need and cost, whether they see the class, their options and papers."""
    click.echo(listing(engine.catalogue(), form))


@cli.command()
@FORM
def metrics(form: str) -> None:
    """List the metrics: which way is better, what they need and cost, their options and papers."""
    click.echo(listing(engine.metric_catalogue(), form))


@cli.group()
def models() -> None:
    """List well-known ONNX classifiers, pull them, and say where they lie; elsewhere MODEL may be zoo:NAME."""


@models.command("list")
@option("--format", "form", type=choices("text", "json", "markdown"), default="text", help="How to print them.")
def list_models(form: str) -> None:
    """List the catalogue: source, size, licence, preprocessing, labels, and which models are pulled."""
    forms = {"text": lambda: table(rows()), "markdown": lambda: markdown(table_of()), "json": records}
    click.echo(forms[form]())


@models.command("pull")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@option("--mirror", metavar="URL", envvar="DDCAM_MIRROR", show_envvar=True, show_default="none",
        help="What takes the place of scheme and host in a model's URL.")  # fmt: skip
def pull_models(names: tuple[str, ...], mirror: str | None) -> None:
    """Fetch models by name, or all of them, and check them; what broke off goes on where it ended."""
    from .adapters.download import fetch  # noqa: PLC0415  (the modules of HTTP, which no other command needs)

    for entry in map(find_entry, catalogue() if names == ("all",) else names):
        kilobytes = ((-(-done // 1000), -(-entry.size // 1000)) for done in pull(entry, fetch, mirror))
        with_progress(kilobytes, f"kB of {entry.name}")
        say(str(model_path(entry.name)))


@models.command("path")
@click.argument("name")
def path_of_model(name: str) -> None:
    """Print the path of a pulled model."""
    click.echo(model_path(name))


@cli.command()
@option("-o", "--out", type=path_type, metavar="DIR", default=Path("ddcam-demo"), help="Where to write.")
@flag("--force", help="Overwrite an earlier demo.")
def demo(out: Path, force: bool) -> None:
    """Explain three small models that come with ddcam on handwritten digits."""
    for name in DEMOS:
        model = engine.load(demo_path(name))
        for path in demo_pictures():
            folder = out / name / path.stem
            engine.require_writable(folder, replace=force)
            explanation = engine.explain(model, open_image(path), preserve="confidence:0.9")
            engine.save(explanation, folder, replace=force)
            say(f"{name} {path.name}: {explanation}")
    note(f"written to {out}; look at the panel.png in each folder")


def listing(rows: Rows, form: str) -> str:
    """Print a catalogue in one of the forms of `--format`."""
    forms: dict[str, Callable[[Rows], str]] = {"text": table, "markdown": markdown, "json": as_lines, "guide": guide}
    return forms[form](rows)


def table(rows: Rows) -> str:
    """Lay rows out in columns under their names."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def markdown(rows: Rows) -> str:
    """Write rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def guide(rows: Rows) -> str:
    """Write a section a method or metric: what its docstring says, and its options."""
    known: dict[str, Mapping[str, Any]] = {"method": engine.METHODS, "metric": engine.METRICS}
    kind = next(iter(rows[0]))
    return "\n\n".join(f"## {row[kind]}\n\n{known[kind][row[kind]].doc}\n\nOptions: {row['options']}" for row in rows)


def as_lines(rows: Rows) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False)


def say(text: str) -> None:
    click.echo(printable(text))


def note(text: str) -> None:
    click.echo(printable(text), err=True)


def main() -> None:
    """Run the command line; what ddcam refuses is one line and exit code 2."""
    escape_what_cannot_be_said()
    try:
        sys.exit(cli.main(sys.argv[1:] or ["--help"], prog_name="ddcam", standalone_mode=False) or 0)
    except DdcamError as error:
        fail(str(error))
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        fail(error.format_message().rstrip(".") + hint)
    except click.ClickException as error:
        fail(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        note("ddcam: interrupted")
        sys.exit(130)
    except OSError as error:
        sys.stdout = io.StringIO()  # what a full disk refused must not be tried again at exit
        fail(f"cannot read or write {error.filename or 'the output'}: {error.strerror or error}")
    except MemoryError:
        fail("out of memory; use a smaller --batch, or a smaller picture")


def escape_what_cannot_be_said() -> None:
    """Print names that the encoding of the terminal or pipe does not have as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fail(text: str) -> None:
    note(f"ddcam: {' '.join(text.split())}")
    sys.exit(WRONG)


if __name__ == "__main__":
    main()

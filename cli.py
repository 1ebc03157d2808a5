"""The command line: one short command per verb, no logic of its own."""

import functools
import io
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from . import __version__, engine
from .adapters.bulk import find_pictures, form_named
from .adapters.console.answers import progress, report, show
from .adapters.console.options import (
    ASKING_OPTIONS,
    BATCH_OPTIONS,
    CHOICE_OPTIONS,
    COMPARE_OPTIONS,
    DETECTOR_OPTIONS,
    EVALUATE_OPTIONS,
    EXPLAIN_OPTIONS,
    MODEL_OPTIONS,
    RUN_OPTIONS,
    SERVING_OPTIONS,
    wishes_of,
    with_options,
)
from .adapters.console.parameters import choices, flag, option, path_type
from .adapters.console.pictures import each_picture, out_folders
from .adapters.console.printed import (
    escape_what_cannot_be_said,
    listing,
    markdown,
    note,
    say,
    say_lines,
    table,
    tracked,
    with_progress,
)
from .adapters.datasets import open_dataset
from .adapters.images import decode_strange, find_images, open_image
from .engine import Choice, DdcamError, Explanation, Model, Picture, Wishes
from .engine.choose import Loader
from .engine.dataset import Sample
from .engine.detector import LEAST, corners_of
from .engine.explain import PRESETS as EXPLAIN_PRESETS
from .engine.graph.hold import shown
from .engine.inspect import as_text, preprocessing_text
from .engine.runtime.device import both_wheels
from .engine.types import Question, Seek
from .models import DEMOS, demo_path, demo_pictures, model_path
from .models.cache import pull, records, rows
from .models.catalogue import catalogue, find_entry, table_of

FAILED, WRONG = 1, 2
"""Exit codes: something failed or does not verify; the input or an option is wrong."""


class ModelPath(click.Path):
    """A path, or `zoo:` and the name of a pulled model of the catalogue."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value).startswith("zoo:"):
            return model_path(str(value).removeprefix("zoo:"))
        return super().convert(value, param, ctx)


model_type = ModelPath(path_type=Path)


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
    failures = each_picture(
        paths, folders, lambda path, folder: report(explain_one(load, path, folder, options), path, folder, as_json)
    )
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


@cli.command()
@click.argument("model", type=model_type)
@click.argument("images", metavar="IMAGE...", nargs=-1, required=True)
@with_options([*COMPARE_OPTIONS, *ASKING_OPTIONS, *MODEL_OPTIONS])
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

    sys.exit(FAILED if each_picture(paths, folders, work) else 0)


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
    say_lines(table(rows) if rows else f"no box with a score above {least:g}; try a lower --score")


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
@with_options([*EVALUATE_OPTIONS, *MODEL_OPTIONS])
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
@with_options([*BATCH_OPTIONS, *MODEL_OPTIONS])
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


def fail(text: str) -> None:
    note(f"ddcam: {' '.join(text.split())}")
    sys.exit(WRONG)


if __name__ == "__main__":
    main()

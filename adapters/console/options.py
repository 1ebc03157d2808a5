"""The options that commands share, in tables, and the wishes that the model's among them are."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import click

from ...engine import Wishes
from ...engine.detector import IOU, LEAST
from ...engine.explain import PRESETS as EXPLAIN_PRESETS
from ...engine.find import NAMES as SEARCH_NAMES
from ...engine.preprocess import PRESETS
from ..bulk import FORMS as ROWS
from ..datasets import FORMATS as DATASETS
from .parameters import Gibibytes, Held, Numbers, choices, flag, option, path_type

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
COMPARE_OPTIONS = [
    option("--methods", metavar="A,B,C", default="dd-cam,nested,grad-cam,hirescam,eigen-cam,ablation-cam",
           help="Names as for explain --method, with commas between; all, or all:FAMILY, for what there is."),
    option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.compare, or comparisons/NAME for several",
           help="Folder of the sheet and the table; for several pictures that of their folders."),
    flag("--agreement", help="Print the rank correlation of the maps, too."),
    flag("--force", help="Overwrite an earlier comparison."),
    flag("--json", "as_json", help="Print the table and the rank correlations, one JSON object a picture."),
]  # fmt: skip
EVALUATE_OPTIONS = [
    option("--methods", metavar="NAMES", default="dd-cam,nested,grad-cam,layer-cam,eigen-cam,ablation-cam",
           help="Methods with commas between them; all, or all:FAMILY."),
    option("--metrics", metavar="NAMES", default="insertion,deletion,average-drop,complexity,restoring-area",
           help="Metrics with commas between them; all, or all:FAMILY."),
    option("--against", metavar="METHOD", show_default="the first", help="What the others are compared with."),
    option("--explain", type=choices("decided", "label"), default="decided", help="The class to explain."),
    option("--preserve", metavar="PREDICATE", show_default="confidence:0.9", help="What searches must preserve."),
    option("--limit", type=click.IntRange(min=1), metavar="N", show_default="all", help="Pictures, drawn at random."),
    option("--seed", type=click.IntRange(min=0), default=0, help="Of the draw and the intervals."),
    option("--gallery", type=click.IntRange(min=0), default=6, metavar="N", help="Pictures that the report shows."),
    option("--format", "form", type=choices(*DATASETS), show_default="found", help="What DATASET is."),
    option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.evaluation",
           help="Folder of rows, tables and report; a run that was stopped goes on there."),
    flag("--force", help="Begin again where an earlier run is."),
    flag("--json", "as_json", help="Print the summary as JSON."),
]  # fmt: skip
BATCH_OPTIONS = [
    option("-o", "--out", type=path_type, metavar="DIR", show_default="NAME.batch",
           help="Folder of the rows; a run that was stopped goes on there."),
    option("--method", metavar="NAME", default="dd-cam", help="How to explain, with options as for explain."),
    *ASKING_OPTIONS,
    option("--workers", type=click.IntRange(1, 1024), metavar="N",
           show_default="a core each, up to 8; 1 on a GPU or for few",
           help="Processes with a model each, which share the cores; 1 is this one."),
    option("--maps", type=choices("none", "png", "npy", "zip"), default="none",
           help="Write maps: a folder of PNG or NPY files a shard, or one zip of PNG files."),
    option("--format", "form", type=choices(*ROWS), default="parquet", help="How rows are written."),
    option("--shard", type=click.IntRange(1, 10**6), metavar="N", show_default="a sixteenth of all, from 16 to 500",
           help="Pictures a file of rows; what a kill can cost, times the workers."),
    flag("--text", help="Add the explanation in sentences."),
    option("--engine", "place", type=choices("local", "ray"), default="local", help="Where workers run."),
    option("--address", metavar="HOST", show_default="auto: the cluster that is there",
           help="The Ray cluster's address."),
    flag("--force", help="Begin again where an earlier run is."),
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
    option("--wait", type=click.FloatRange(0, 60_000), default=0, metavar="MS",
           help="Milliseconds that a free worker waits for others to share the first picture's run."),
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

"""What is known of a model file, what was chosen for it and why; also of files that cannot be explained."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .answer import plural
from .errors import ModelError, printable
from .graph.hold import shown
from .graph.interface import dtype_of, tensor_of
from .graph.load import Graph, read_model
from .graph.walk import feeds
from .model import Model, check_cut, prepare
from .open_model import Opened, open_model
from .types import Candidate, PictureInput, Wishes


def inspect(path: str | Path, wishes: Wishes | None = None) -> dict[str, Any]:
    """Return a report ready for JSON; `refusal` says why a model cannot be explained, else it is None.

    Raises ModelError only where the file cannot be read at all. Cost: that of `load`.
    """
    wishes, refusal = wishes or Wishes(), None
    report = describe_file(read_model(path))
    try:
        opened = open_model(path, wishes)
        report |= describe_opened(opened)
        model = prepare(opened, wishes)
        report |= describe_model(model)
        what = "with every patch kept it" if model.split.units == "patch" else "head(backbone(x))"
        if (verdict := model.verdict()) is not None:
            report["plausible"] = str(verdict)
            report["warnings"] = [str(verdict.doubt)] if verdict.doubt else []
        report["cut"] = f"{what} equals the model within {check_cut(model):.1g} on three photographs"
    except ModelError as error:
        refusal = str(error)
    return report | {"refusal": refusal}


def describe_file(graph: Graph) -> dict[str, Any]:
    proto = graph.proto
    weights = {dtype_of(tensor.data_type) for tensor in proto.graph.initializer}
    return {
        "file": str(graph.path),
        "sha256": graph.sha256,
        "producer": f"{proto.producer_name} {proto.producer_version}".strip() or "not recorded",
        "opset": graph.opset,
        "nodes": len(proto.graph.node),
        "inputs": [str(tensor_of(i)) for i in feeds(proto.graph)],
        "outputs": [str(tensor_of(o)) for o in proto.graph.output],
        "weights": sorted(weights),
        "notes": list(graph.notes),
    }


def describe_opened(opened: Opened) -> dict[str, Any]:
    picture, logits = opened.picture, opened.logits
    dtypes = {value.dtype for value in opened.measured.values.values()}
    return {
        "precision": precision(dtypes),
        "layout": f"{layout_text(picture)}, {picture.channels} channels, {picture.dtype}",
        "held": shown(opened.graph.held) or "no other input",
        "preprocessing": asdict(opened.preprocessing),
        "logits": f"{logits.tensor} [N, {logits.classes}]: {logits.reason}",
        "labels": opened.labels.reason,
        "batch": "free" if opened.measured.batch_two is not None else "fixed to 1",
        "candidates": [describe_candidate(c) for c in opened.candidates],
    }


def layout_text(picture: PictureInput) -> str:
    if picture.form == "picture":
        return f"{picture.layout}"
    width, rows = picture.width, (picture.height or 0) // picture.depth
    size = f"{width} positions" if picture.form == "series" else f"{picture.depth} slices of {rows} x {width}"
    return f"a {picture.form} of {size}, channels {'first' if picture.layout == 'NCHW' else 'last'}"


def precision(dtypes: set[str]) -> str:
    """Name the coarsest type that activations have."""
    names = (({"uint8", "int8"}, "quantised to 8 bit"), ({"float16", "bfloat16"}, "16-bit float"))
    return next((name for kinds, name in names if kinds & dtypes), "32-bit float")


def describe_candidate(candidate: Candidate) -> dict[str, Any]:
    rows, columns = candidate.grid
    return {
        "tensor": candidate.tensor.name,
        "shape": list(candidate.tensor.shape),
        "dtype": candidate.tensor.dtype,
        "form": candidate.form,
        "grid": f"{rows} x {columns}",
    }


def describe_model(model: Model) -> dict[str, Any]:
    kind, reason = model.head_class
    return {
        "split": asdict(model.split),
        "units": {"kind": model.split.units, "count": model.split.count},
        "head": {"class": kind, "reason": reason},
        "probes": f"{model.batch} at a time" if model.batch > 1 else "one at a time",
        "probes_reason": model.probe.reason,
        "device": f"{model.device}: {model.device_reason}",
    }


def as_text(report: dict[str, Any]) -> str:
    """Lay a report out for reading, a line a fact; candidates last to first, at most eight of them."""
    spelled: dict[str, Callable[[Any], list[str]]] = {
        "preprocessing": lambda fields: [preprocessing_text(fields)],
        "candidates": candidate_lines,
        "split": lambda split: [f"{split['tensor']} {list(split['shape'])}: {split['reason']}"],
        "units": lambda units: [f"{units['count']} {plural(units['kind'])}"],
        "head": lambda head: [f"{head['class']}: {head['reason']}"],
        "refusal": lambda refusal: [refusal] if refusal else [],
    }
    lines = []
    for key, value in report.items():
        items = spelled[key](value) if key in spelled else value if isinstance(value, list) else [value]
        lines += [f"{key.replace('_', ' ') + ':':<15}{item}" for item in items]
    return "\n".join(map(printable, lines))


def preprocessing_text(fields: dict[str, Any]) -> str:
    return (
        f"{fields['name']}: {fields['height']} x {fields['width']} by {fields['fit']} {fields['crop']:g}, "
        f"{fields['color']}, (x * {fields['scale']:.4g} - {list(fields['mean'])}) / {list(fields['std'])}; "
        f"{fields['reason']}"
    )


def candidate_lines(found: list[dict[str, Any]]) -> list[str]:
    shown = [f"{c['tensor']} {c['shape']} {c['form']} {c['grid']}" for c in found[::-1][:8]]
    return shown + ([f"and {len(found) - 8} earlier ones (--json lists all)"] if len(found) > 8 else [])

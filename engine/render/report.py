"""The report of a run as one HTML page: numbers, pictures and distributions, with nothing fetched from anywhere."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..types import Floats
from .plot import box_plot

Told = Mapping[str, Any]
"""A part of a run's summary, as `results.summary` gives it."""
NAMES = {"model": "model", "sha256": "sha256", "split": "units", "data": "pictures", "explain": "class explained",
         "preserve": "searches preserve", "seed": "seed"}  # fmt: skip
BETTER = {"higher": "more is better", "lower": "less is better"}


@dataclass(frozen=True)
class Shown:
    """A picture of the gallery: its name, the class explained, itself as JPEG, overlay and words by method."""

    name: str
    label: str
    picture: bytes
    overlays: Mapping[str, tuple[bytes, str]]


def page(
    summary: Told, better: Mapping[str, str], values: Mapping[str, Mapping[str, Floats]], gallery: Sequence[Shown]
) -> str:
    """Draw the page; `better` is the direction of each metric, `values` a number a picture by metric and method."""
    parts = [
        header(summary),
        numbers(summary, better),
        pictures(gallery),
        plots(better, values),
        missing(summary),
    ]
    style, script = (Path(__file__).with_name(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    title = f"Explanations of {summary['plan']['model']} compared"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>'
        f"<body><h1>{escape(title)}</h1>{''.join(parts)}<script>{script}</script></body></html>\n"
    )


def header(summary: Told) -> str:
    plan = summary["plan"]
    rows = "".join(f"<dt>{told}</dt><dd>{escape(str(plan[key]))}</dd>" for key, told in NAMES.items())
    count = f"{summary['pictures']} measured of {plan['of']}"
    return f"<dl>{rows}<dt>count</dt><dd>{count}, {len(summary['skipped'])} skipped</dd></dl>"


# ----- numbers -----


def numbers(summary: Told, better: Mapping[str, str]) -> str:
    heads = "".join(head(name, BETTER[way]) for name, way in better.items())
    body = "".join(method_row(told, summary, better) for told in summary["methods"])
    return (
        "<h2>Means</h2><p class='soft'>Means over pictures with their 95 % bootstrap intervals; the best of a column "
        f"is coloured. ▲ and ▼: better and worse than {escape(summary['baseline'])} on the same pictures, where the "
        "interval of the difference does not hold 0. A click on a name sorts.</p>"
        f'<div class="wide"><table class="sortable"><thead><tr>{head("method")}{head("maps")}{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def head(name: str, note: str = "") -> str:
    small = f"<small>{note}</small>" if note else ""
    return f'<th scope="col"><button type="button">{escape(name)}</button>{small}</th>'


def method_row(told: Told, summary: Told, better: Mapping[str, str]) -> str:
    name, kind = told["method"], ' class="baseline"' if told["method"] == summary["baseline"] else ""
    lost = [f"{told[key]} {key}" for key in ("refused", "blank") if told[key]]
    small = f"<small>{', '.join(lost)}</small>" if lost else ""
    cells = "".join(cell(told["metrics"][metric], way, best(summary, metric, way)) for metric, way in better.items())
    first = f'<td data-value="{escape(name)}">{escape(name)}</td>'
    return f'<tr{kind}>{first}<td data-value="{told["maps"]}">{told["maps"]}{small}</td>{cells}</tr>'


def cell(told: Told, way: str, best_mean: float | None) -> str:
    mean, difference = told["mean"], told["difference"]
    if mean is None:
        return "<td>-</td>"
    kind = ' class="best"' if mean["mean"] == best_mean else ""
    ends = f"{mean['low']:.3g} to {mean['high']:.3g}"
    return (
        f'<td{kind} data-value="{mean["mean"]!r}">{mean["mean"]:.3g}{mark(difference, way)}<small>{ends}</small></td>'
    )


def mark(difference: Told | None, way: str) -> str:
    """Return an arrow where a difference to the baseline is clear, with the difference as its title."""
    if difference is None or difference["low"] <= 0 <= difference["high"]:
        return ""
    good = (difference["low"] > 0) == (way == "higher")
    title = f"{difference['mean']:+.3g}, {difference['low']:+.3g} to {difference['high']:+.3g}"
    return f' <span class="{"up" if good else "down"}" title="{title}">{"▲" if good else "▼"}</span>'


def best(summary: Told, metric: str, way: str) -> float | None:
    means = [told["metrics"][metric]["mean"]["mean"] for told in summary["methods"] if told["metrics"][metric]["mean"]]
    return (max if way == "higher" else min)(means, default=None)


# ----- pictures and plots -----


def pictures(gallery: Sequence[Shown]) -> str:
    rows = []
    for shown in gallery:
        drawn = (figure(overlay, name, text) for name, (overlay, text) in shown.overlays.items())
        tiles = figure(shown.picture, "picture") + "".join(drawn)
        rows.append(f"<h3>{escape(shown.name)}: {escape(shown.label)}</h3><div class='gallery'>{tiles}</div>")
    return f"<h2>Pictures</h2>{''.join(rows)}" if rows else ""


def figure(content: bytes, caption: str, text: str = "") -> str:
    source = f"data:image/jpeg;base64,{b64encode(content).decode()}"
    image = f'<img loading="lazy" alt="{escape(caption)}" src="{source}">'
    words = f"<p>{escape(text)}</p>" if text else ""
    return f"<figure>{image}<figcaption>{escape(caption)}{words}</figcaption></figure>"


def plots(better: Mapping[str, str], values: Mapping[str, Mapping[str, Floats]]) -> str:
    drawn = (
        f'<div class="plot"><h3>{escape(name)} <span class="soft">{BETTER[way]}</span></h3>'
        f"{box_plot(values[name], way == 'higher')}</div>"
        for name, way in better.items()
    )
    return (
        "<h2>Distributions</h2><p class='soft'>Box: first to third quartile, with the median; line: 5th to 95th "
        f"percentile; dot and number: mean. Best means first.</p><div class='plots'>{''.join(drawn)}</div>"
    )


def missing(summary: Told) -> str:
    """Say what has no numbers, and why."""
    refused = [
        f"<li><b>{escape(told['method'])}</b>, {count} pictures: {escape(reason)}</li>"
        for told in summary["methods"]
        for reason, count in told["refusals"]
    ]
    skipped = [f"<li><b>{escape(name)}</b>: {escape(reason)}</li>" for name, reason in summary["skipped"].items()]
    if not refused and not skipped:
        return ""
    return f"<h2>Refused and skipped</h2><ul>{''.join(refused + skipped)}</ul>"

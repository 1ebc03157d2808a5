"""What a run has measured so far: means with intervals, differences to a baseline, as CSV, JSON and one HTML page."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .atomic import whole_file
from .csv_text import csv_text
from .errors import OutputError
from .evaluate import GALLERY, PLAN, ROWS, read_plan, slug
from .journal import Row, rows_of
from .metrics import Metric, metric_named
from .render.report import Shown, page
from .statistics import Estimate, Values, estimate, paired

FILES = ("results.csv", "summary.csv", "summary.json", "report.html")


@dataclass(frozen=True)
class Results:
    """Rows by picture and method, and what the plan says of them; pictures and methods in the plan's order."""

    plan: dict[str, Any]
    folder: Path
    rows: dict[tuple[str, str], Row]
    pictures: list[str]
    skipped: dict[str, str]
    baseline: str

    @property
    def methods(self) -> list[str]:
        names: list[str] = self.plan["methods"]
        return names

    @property
    def metrics(self) -> dict[str, Metric]:
        return {name: metric_named(name) for name in self.plan["metrics"]}

    def values(self, method: str, metric: str) -> Values:
        """Return a metric of a method, a number a picture and NaN where there is none."""
        rows = (self.rows.get((picture, method), {}) for picture in self.pictures)
        found = [row.get("values", {}).get(metric) for row in rows]
        return np.array([np.nan if value is None else value for value in found], np.float64)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Means, intervals, differences to the baseline, counts and refusals; each is resampled once."""
        return {
            "plan": self.plan,
            "baseline": self.baseline,
            "pictures": len(self.pictures),
            "skipped": self.skipped,
            "methods": [summary_of(self, method) for method in self.methods],
        }

    def mean(self, method: str, metric: str) -> Estimate | None:
        return estimate(self.values(method, metric), self.plan["seed"])

    def difference(self, method: str, metric: str) -> Estimate | None:
        """Return by how much a method exceeds the baseline on the pictures that have both; None for the baseline."""
        if method == self.baseline:
            return None
        return paired(self.values(method, metric), self.values(self.baseline, metric), self.plan["seed"])

    def counts(self, method: str) -> dict[str, int]:
        """Count the pictures that a method has a map for, those it refuses, and those where its map is blank."""
        rows = [self.rows[picture, method] for picture in self.pictures if (picture, method) in self.rows]
        refused, blank = (sum(kind in row for row in rows) for kind in ("refused", "blank"))
        return {"maps": len(rows) - refused - blank, "refused": refused, "blank": blank}

    def refusals(self, method: str) -> list[tuple[str, int]]:
        """Return why a method has refused, and how often, most often first."""
        told = [row["refused"] for (_, name), row in self.rows.items() if name == method and "refused" in row]
        return Counter(told).most_common()


def results(folder: Path) -> Results:
    """Read what a run has measured so far; OutputError where there is none."""
    plan = read_plan(folder)
    if not plan:
        raise OutputError(f"expected a run in {folder}, found no {PLAN}; ddcam evaluate makes one")
    found = rows_of(folder / ROWS)
    skipped = {row["picture"]: row["skipped"] for row in found if row["method"] is None}
    rows = {(row["picture"], row["method"]): row for row in found if row["method"] in plan["methods"]}
    pictures = list(dict.fromkeys(row["picture"] for row in found if row["method"] is not None))
    return Results(plan, folder, rows, pictures, skipped, plan["against"] or plan["methods"][0])


def write_results(found: Results) -> None:
    """Write results.csv, summary.csv, summary.json and report.html into the run's folder, each whole."""
    contents = (results_csv(found), summary_csv(found), summary_json(found), report(found))
    for name, content in zip(FILES, contents, strict=True):
        with whole_file(found.folder / name, replace=True) as file:
            file.write_text(content, encoding="utf-8", errors="backslashreplace", newline="")  # names that are no UTF-8


def results_csv(found: Results) -> str:
    """Write a line a picture and method."""
    lines = []
    for (picture, method), row in found.rows.items():
        values = row.get("values", {})
        told = [
            picture,
            method,
            row["label"],
            row["probability"],
            row.get("refused", "blank" if "blank" in row else ""),
        ]
        lines.append(told + [values.get(metric) for metric in found.metrics])
    return csv_text([["picture", "method", "class", "probability", "missing", *found.metrics], *lines])


def summary_csv(found: Results) -> str:
    """Write a line a method and metric: mean, interval, pictures, and the difference to the baseline."""
    lines = []
    for entry in found.summary["methods"]:
        for metric, told in entry["metrics"].items():
            mean, difference = told["mean"], told["difference"]
            numbers = [(part or {}).get(key) for part in (mean, difference) for key in ("mean", "low", "high", "count")]
            lines.append([entry["method"], metric, *numbers])
    names = [f"{part}{key}" for part in ("", "difference_") for key in ("mean", "low", "high", "pictures")]
    return csv_text([["method", "metric", *names], *lines])


def summary_json(found: Results) -> str:
    return json.dumps(found.summary, indent=1, ensure_ascii=False) + "\n"


def summary_of(found: Results, method: str) -> dict[str, Any]:
    measures = {}
    for metric in found.metrics:
        mean, difference = found.mean(method, metric), found.difference(method, metric)
        measures[metric] = {"mean": mean and asdict(mean), "difference": difference and asdict(difference)}
    counts, refusals = found.counts(method), found.refusals(method)
    return {"method": method, **counts, "refusals": [list(pair) for pair in refusals], "metrics": measures}


def means(found: Results) -> list[dict[str, str]]:
    """Return a row a method, as texts: its means, and how many maps they are of."""
    rows = []
    for told in found.summary["methods"]:
        counts = {name: str(told[name]) for name in ("maps", "refused", "blank")}
        numbers = {name: measure["mean"] for name, measure in told["metrics"].items()}
        texts = {name: "-" if mean is None else f"{mean['mean']:.4g}" for name, mean in numbers.items()}
        rows.append({"method": told["method"]} | counts | texts)
    return rows


def report(found: Results) -> str:
    """Draw the HTML page."""
    better = {name: metric.facts.better for name, metric in found.metrics.items()}
    values = {metric: {method: found.values(method, metric) for method in found.methods} for metric in better}
    return page(found.summary, better, values, gallery(found))


def gallery(found: Results) -> list[Shown]:
    """Read the small pictures that the run has kept."""
    rows = []
    for picture in found.pictures[: found.plan["gallery"]]:
        row = next(row for (name, _), row in found.rows.items() if name == picture)
        index = row["index"]
        own = found.folder / GALLERY / f"{index}.jpg"
        files = {method: found.folder / GALLERY / f"{index}-{slug(method)}.jpg" for method in found.methods}
        if own.exists():
            tiles = {
                method: (file.read_bytes(), found.rows[picture, method].get("text", ""))
                for method, file in files.items()
                if file.exists()
            }
            rows.append(Shown(picture, row["label"], own.read_bytes(), tiles))
    return rows

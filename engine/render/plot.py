"""Distributions of one metric over pictures, a row a method, as SVG."""

from collections.abc import Mapping
from html import escape

import numpy as np

from ..types import Floats

ROW, LEFT, WIDTH, RIGHT, TOP = 22, 190, 460, 70, 8
"""Pixels: height of a row, space for names, width of the axis, space for the mean, margin above."""
MOST_TICKS = 6


def box_plot(values: Mapping[str, Floats], best_first: bool) -> str:
    """Draw boxes from the first to the third quartile, whiskers from the 5th to the 95th percentile, medians and means.

    values: a number a picture for each method, NaN where there is none; methods without any are left out. Rows are
    sorted by their means, the largest first if `best_first` says so.
    """
    known = {name: array[np.isfinite(array)] for name, array in values.items()}
    known = {name: array for name, array in known.items() if array.size}
    if not known:
        return '<p class="none">No value.</p>'
    rows = sorted(known, key=lambda name: known[name].mean(), reverse=best_first)
    low, high = limits(list(known.values()))
    parts = [axis(low, high, len(rows))]
    parts += [row(name, known[name], index, low, high) for index, name in enumerate(rows)]
    height = TOP + ROW * len(rows) + 26
    size = f'viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" width="{LEFT + WIDTH + RIGHT}" height="{height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{"".join(parts)}</svg>'


def limits(arrays: list[Floats]) -> tuple[float, float]:
    """Return the ends of the axis: what the whiskers of all rows reach, and a little more."""
    ends = np.array([[*np.quantile(array, (0.05, 0.95)), array.mean()] for array in arrays])
    low, high = float(ends.min()), float(ends.max())
    room = 0.03 * (high - low) or 0.5 * abs(high) or 0.5
    return low - room, high + room


def axis(low: float, high: float, rows: int) -> str:
    bottom = TOP + ROW * rows
    parts = []
    for value in ticks(low, high):
        x = place(value, low, high)
        parts.append(f'<line class="grid" x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{bottom + 16}">{value:.4g}</text>')
    return "".join(parts)


def ticks(low: float, high: float) -> list[float]:
    """Return three to six round numbers between the ends: steps of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / MOST_TICKS
    power = 10 ** np.floor(np.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = int(np.ceil(low / step))
    return [float(step * number) for number in range(first, int(np.floor(high / step)) + 1)]


def row(name: str, array: Floats, index: int, low: float, high: float) -> str:
    y = TOP + ROW * index + ROW / 2
    ends = np.quantile(array, (0.05, 0.25, 0.5, 0.75, 0.95))
    least, first, median, third, most = (place(float(value), low, high) for value in ends)
    mean = place(float(array.mean()), low, high)
    title = f"{escape(name)}: mean {array.mean():.4g}, median {ends[2]:.4g}, quartiles {ends[1]:.4g} to {ends[3]:.4g}"
    return (
        f'<g><title>{title}, {array.size} pictures</title><text class="name" x="{LEFT - 8}" y="{y + 4}">{escape(name)}'
        f'</text><line class="whisker" x1="{least}" x2="{most}" y1="{y}" y2="{y}"/>'
        f'<rect class="box" x="{first}" y="{y - 6}" width="{max(third - first, 1):.1f}" height="12"/>'
        f'<line class="median" x1="{median}" x2="{median}" y1="{y - 6}" y2="{y + 6}"/>'
        f'<circle class="mean" cx="{mean}" cy="{y}" r="3.2"/>'
        f'<text class="value" x="{LEFT + WIDTH + 8}" y="{y + 4}">{array.mean():.4g}</text></g>'
    )


def place(value: float, low: float, high: float) -> float:
    return round(LEFT + float(np.clip((value - low) / (high - low), 0, 1)) * WIDTH, 1)

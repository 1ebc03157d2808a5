"""The tables of docs/study.md: means, paired differences and how sure they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
DRAWS = 2000


@dataclass(frozen=True)
class Study:
    """By model the names of the pictures and values `[pictures, rows, metrics]`; `signs` are 1 where more is better."""

    results: Mapping[str, tuple[Sequence[str], Values]]
    rows: Sequence[str]
    signs: Mapping[str, int]

    def gains(self, row: str, other: str) -> dict[str, Values]:
        """Return by how much a row is better than another, `[pictures, metrics]` by model, better always positive."""
        first, second = self.rows.index(row), self.rows.index(other)
        signs = np.array(list(self.signs.values()))
        return {model: signs * (v[:, first] - v[:, second]) for model, (_, v) in self.results.items()}


def means_table(study: Study, model: str) -> str:
    """Return the means of every row; the best of a column is bold."""
    _, values = study.results[model]
    means, signs = values.mean(axis=0), np.array(list(study.signs.values()))
    best = np.round(means * signs, 3).max(axis=0)
    lines = [header(["map", *(f"{n} {'↑' if s > 0 else '↓'}" for n, s in study.signs.items())])]
    for name, row in zip(study.rows, means, strict=True):
        cells = [bold(f"{v:.3f}", round(v * s, 3) >= b) for v, s, b in zip(row, signs, best, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gains_table(study: Study, row: str, other: str) -> str:
    """Return the mean gain of `row` over `other` with its 95 % interval, for every model and over all of them."""
    gains = study.gains(row, other)
    lines = [header(["model", "pictures", *study.signs])]
    for model, values in gains.items():
        lines.append(line(model, len(values), values.mean(axis=0), interval(resampled(values))))
    names = sorted({name for pictures, _ in study.results.values() for name in pictures})
    means = np.mean([values.mean(axis=0) for values in gains.values()], axis=0)
    lines.append(line("mean of all models", len(names), means, interval(together(study, gains, names))))
    return "\n".join(lines)


def best_linear_table(study: Study, row: str, linear: Sequence[str]) -> str:
    """Return the gain of `row` over the best of the linear maps, which may be another one in every cell."""
    gains = np.array([[v.mean(axis=0) for v in study.gains(row, other).values()] for other in linear]).min(axis=0)
    lines = [header(["model", *study.signs])]
    for model, values in zip(study.results, gains, strict=True):
        lines.append(f"| {model} | {' | '.join(bold(f'{v:+.3f}', round(v, 3) >= 0) for v in values)} |")
    lines.append(
        f"| models where it is not worse | {' | '.join(str(n) for n in (np.round(gains, 3) >= 0).sum(axis=0))} |"
    )
    return "\n".join(lines)


def resampled(values: Values) -> Values:
    """Return the means `[draws, metrics]` of pictures drawn with replacement."""
    drawn = np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))
    return values[drawn].mean(axis=1)


def together(study: Study, gains: Mapping[str, Values], names: Sequence[str]) -> Values:
    """Return the means over models of resampled pictures: a picture is drawn for all models at once."""
    place = {name: i for i, name in enumerate(names)}
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    means = []
    for model, values in gains.items():
        weights = drawn[:, [place[name] for name in study.results[model][0]]].astype(float)
        means.append(weights @ values / np.maximum(weights.sum(axis=1, keepdims=True), 1))
    return np.mean(means, axis=0)


def interval(draws: Values) -> tuple[Values, Values]:
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return low, high


def line(name: str, count: int, means: Values, bounds: tuple[Values, Values]) -> str:
    """Write gains; bold where the interval lies above 0, in italics where it lies below."""
    cells = []
    for mean, low, high in zip(means, *bounds, strict=True):
        mark = "**" if low > 0 else "*" if high < 0 else ""
        cells.append(f"{mark}{mean:+.3f}{mark} ({low:+.3f}, {high:+.3f})")
    return f"| {name} | {count} | {' | '.join(cells)} |"


def header(names: Sequence[str]) -> str:
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def bold(text: str, wanted: bool) -> str:
    return f"**{text}**" if wanted else text

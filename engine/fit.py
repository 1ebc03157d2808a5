"""From pictures to a file of concepts or prototypes, with a picture of what was found beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .atomic import refuse_existing_file, whole_file
from .dataset import Sample
from .errors import OptionError
from .fitted.concepts import Concepts, write_concepts
from .fitted.crops import Track, untracked
from .fitted.find_concepts import fit_concepts
from .fitted.find_prototypes import fit_prototypes
from .fitted.prototypes import Prototypes, write_prototypes
from .labels import find_label
from .model import Model
from .render.parts import Row, rows_of_pictures
from .render.png import png_bytes

SHOWN = 12
"""Channels in the sheet of prototypes."""


def find_concepts(  # noqa: PLR0913  (what is fitted, how, and where it goes)
    model: Model,
    samples: Sequence[Sample],
    out: Path,
    *,
    target: str | None = None,
    rank: int = 10,
    seed: int = 0,
    replace: bool = False,
    track: Track = untracked,
) -> tuple[str, list[str]]:
    """Find concepts of a class in pictures of it and write them to `out`, and a sheet of their best crops beside it.

    `target` is a class index or name, by default the class decided for most often. Returns what was found in a
    sentence, and what was left out. Raises OptionError, PictureError, OutputError. Cost: see `fit_concepts`.
    """
    require_pixels(model)
    refuse_existing_fit(out, replace=replace)
    index = None if target is None else find_label(model.opened.labels, target)
    concepts, skipped = fit_concepts(model, samples, index, rank=rank, seed=seed, track=track)
    rows: list[Row] = [
        (f"concept {k + 1}, importance {importance:.2f}", list(concepts.crops[k]))
        for k, importance in enumerate(concepts.importance)
    ]
    write_concepts(concepts, model, out, replace=replace)
    write_sheet(f"concepts of {concepts.label}", rows, out, replace)
    return f"{described(concepts)}; written to {out} and {sheet_of(out).name}", skipped


def require_pixels(model: Model) -> None:
    """Raise OptionError for a model of arrays, from which no crops are taken."""
    if model.opened.preprocessing.color == "bands":
        raise OptionError(
            "concepts and prototypes are crops of pictures, and the model takes arrays; take another method"
        )


def described(concepts: Concepts) -> str:
    """Say in a sentence what a fit found and how well it holds."""
    facts, rank = concepts.facts, len(concepts.importance)
    said = (
        f"{rank} concepts of {concepts.label} ({concepts.target}) in {facts['crops']} crops of {facts['pictures']} "
        f"pictures, {facts['decided']} of which are decided so; they leave {facts['error']:.0%} of the crops' features"
    )
    if not facts["converged"]:
        said += ", and the fit had not converged"
    if facts["offset"]:
        said += (
            f"; {facts['negative']:.0%} of the features' energy is below 0, so they are taken from their least values"
        )
    return said


def find_prototypes(
    model: Model,
    samples: Sequence[Sample],
    out: Path,
    *,
    steps: int = 0,
    replace: bool = False,
    track: Track = untracked,
) -> tuple[str, list[str]]:
    """Find the prototypes of each channel in pictures and write them to `out`, and a sheet of some beside it.

    Returns what was found in a sentence, and what was left out. Raises OptionError, PictureError, OutputError. Cost:
    see `fit_prototypes`.
    """
    require_pixels(model)
    refuse_existing_fit(out, replace=replace)
    found, skipped = fit_prototypes(model, samples, steps=steps, track=track)
    purest = np.argsort(-found.purity.mean(axis=1), kind="stable")[:SHOWN]
    rows: list[Row] = [
        (f"channel {c}, purity {found.purity[c].mean():.2f}", list(found.examples(int(c), model.split.grid)))
        for c in purest
    ]
    write_prototypes(found, model, out, replace=replace)
    write_sheet(f"prototypes of the {len(rows)} purest channels", rows, out, replace)
    return f"{described_prototypes(found)}; written to {out} and {sheet_of(out).name}", skipped


def described_prototypes(found: Prototypes) -> str:
    """Say in a sentence what a fit found, and whether turning the channels holds on other pictures."""
    facts = found.facts
    said = f"prototypes of {len(found.turn)} channels in {facts['pictures']} pictures, purity {facts['purity']:.3f}"
    if not facts["steps"]:
        return said
    gained = "purer" if facts["held"] > facts["held_before"] else "NOT purer: take more pictures, or --steps 0"
    return (
        f"{said} after {facts['steps']} turns, {facts['purity_before']:.3f} before; on the pictures held out "
        f"{facts['held']:.3f}, {facts['held_before']:.3f} before ({gained}); logits kept within {facts['exact']:.1g}"
    )


def write_sheet(title: str, rows: Sequence[Row], out: Path, replace: bool) -> None:
    with whole_file(sheet_of(out), replace=replace) as work:
        work.write_bytes(png_bytes(rows_of_pictures(title, rows)))


def refuse_existing_fit(out: Path, *, replace: bool) -> None:
    """Raise OutputError early, before anything is fitted, where the file or its sheet could not be written."""
    for path in (out, sheet_of(out)):
        refuse_existing_file(path, replace=replace)


def sheet_of(out: Path) -> Path:
    """Return where the picture of a fitted file goes: NAME.png beside NAME.npz."""
    return out.with_suffix(".png") if out.suffix == ".npz" else out.with_name(f"{out.name}.png")

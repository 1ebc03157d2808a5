"""What is said on a terminal or into a pipe: lines, tables, progress."""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from ...engine import METHODS, METRICS
from ...engine.errors import printable

Rows = Sequence[Mapping[str, str]]
"""A table: rows of texts by column."""


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
    known: dict[str, Mapping[str, Any]] = {"method": METHODS, "metric": METRICS}
    kind = next(iter(rows[0]))
    return "\n\n".join(f"## {row[kind]}\n\n{known[kind][row[kind]].doc}\n\nOptions: {row['options']}" for row in rows)


def as_lines(rows: Rows) -> str:
    return json.dumps(rows, indent=2, ensure_ascii=False)


def say(text: str) -> None:
    click.echo(printable(text))


def say_lines(text: str) -> None:
    """Say a table or the like; `say` alone would escape what parts its lines."""
    for line in text.splitlines():
        say(line)


def note(text: str) -> None:
    click.echo(printable(text), err=True)


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


def tracked(items: Sequence[Any], title: str) -> Iterator[Any]:
    """Give items one by one under a progress bar, on a terminal; else the title is a line."""
    with click.progressbar(items, label=f"{title} ({len(items)})", file=sys.stderr) as shown:
        yield from shown


def escape_what_cannot_be_said() -> None:
    """Print names that the encoding of the terminal or pipe does not have as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

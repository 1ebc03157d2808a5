"""Kinds of parameters of a command line: what click gets as text becomes numbers, bytes, held inputs."""

import functools
from pathlib import Path
from typing import Any

import click

option = functools.partial(click.option, show_default=True)
flag = functools.partial(click.option, is_flag=True, show_default="off")
path_type = click.Path(path_type=Path)


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

"""Functions that go by a name, with options that are set by text: NAME, or NAME:OPTION=VALUE as often as wanted."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .errors import OptionError

T = TypeVar("T")
Text = str | bool | int | float
BOOLEANS = {"true": True, "false": False}


def named(kind: str, text: str, known: Mapping[str, T]) -> tuple[T, dict[str, str]]:
    """Return what `text` names of a catalogue of this kind, and the options given; OptionError says what there is."""
    name, *settings = text.split(":")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        raise OptionError(f"unknown {kind} {name!r}; {hint} (ddcam {kind}s lists them)")
    pairs = [setting.partition("=") for setting in settings]
    if any(not equals for _, equals, _ in pairs):
        raise OptionError(f"expected a {kind} as NAME or NAME:OPTION=VALUE, got {text!r}")
    return known[name], {option.replace("-", "_"): value for option, _, value in pairs}


def names_in(text: str, families: Mapping[str, str], kind: str) -> tuple[str, ...]:
    """Return the names in a list with commas, each once; `all` stands for every name, `all:FAMILY` for a family's.

    `families`: the family of every name. Other words are not looked up here, since options may follow names.
    """
    found: list[str] = []
    for word in map(str.strip, text.split(",")):
        if not word:
            raise OptionError(f"expected {kind}s with commas between them, got {text!r} (ddcam {kind}s lists them)")
        head, _, family = word.partition(":")
        if head != "all":
            found.append(word)
            continue
        if family and family not in families.values():
            known = ", ".join(dict.fromkeys(families.values()))
            raise OptionError(f"expected all or all:FAMILY with a family {known}; got {word}")
        found += [name for name, own in families.items() if family in ("", own)]
    return tuple(dict.fromkeys(found))


def values_of(owner: str, options: Mapping[str, Text], given: Mapping[str, str]) -> dict[str, Text]:
    """Return the given options in the types of their defaults; OptionError for those that `owner` does not have."""
    return {name: value_of(owner, options, name, text) for name, text in given.items()}


def value_of(owner: str, options: Mapping[str, Text], name: str, text: str) -> Text:
    if name not in options:
        raise OptionError(f"{owner} has no option {name!r}; it has {listed(options) or 'none'}")
    kind = type(options[name])
    try:
        return BOOLEANS[text] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise OptionError(f"option {name} of {owner} expects {kind.__name__}, got {text!r}") from None


def listed(options: Mapping[str, Text]) -> str:
    """Write options and their values: a=1, b=2."""
    return ", ".join(f"{name}={value}" for name, value in options.items())


def options_of(function: Callable[..., Any]) -> dict[str, Text]:
    """Return a function's keyword options and their defaults."""
    found = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in found if p.kind is inspect.Parameter.KEYWORD_ONLY}


def doc_of(function: Callable[..., Any]) -> str:
    return inspect.getdoc(function) or ""

"""The catalogue of well-known models: what `zoo.toml` says of each, checked entry by entry."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..engine.errors import OptionError
from ..engine.labels import choose_labels
from ..engine.preprocess.metadata import from_record

ZOO = Path(__file__).with_name("zoo.toml")
LARGEST = 1 << 35
"""Bytes of a model: 32 GiB."""
FORMS = {
    "about": re.compile(r"[ -~]{1,100}"),
    "url": re.compile(r"https://[a-z0-9.-]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+"),  # no part begins with a dot
    "sha256": re.compile(r"[0-9a-f]{64}"),
    "licence": re.compile(r"[A-Za-z0-9.+-]{2,50}"),
}
NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
"""A file's name on every system: no separator, no dot at an end."""
KEYS = {*FORMS, "size", "preprocessing", "labels"}


@dataclass(frozen=True)
class Entry:
    """A model of the catalogue; `size` is in bytes, `recipe` and `naming` name its preprocessing and its labels."""

    name: str
    about: str
    url: str
    sha256: str
    size: int
    licence: str
    recipe: str
    preprocessing: Mapping[str, Any]
    naming: str
    labels: tuple[str, ...]


def find_entry(name: str) -> Entry:
    """Return the model of that name. Raises OptionError where there is none."""
    entries = catalogue()
    if name not in entries:
        raise OptionError(f"expected a model of the catalogue, got {name!r}; see ddcam models list")
    return entries[name]


@cache
def catalogue() -> Mapping[str, Entry]:
    """Return the models that come listed with ddcam, by name."""
    return read_catalogue(ZOO)


def table_of() -> list[dict[str, str]]:
    """Return a row of texts for each model: what it is, its size, licence, preprocessing and labels."""
    return [
        {
            "model": entry.name,
            "what": entry.about,
            "MB": f"{entry.size / 1e6:.2f}",
            "licence": entry.licence,
            "preprocessing": entry.recipe,
            "labels": entry.naming,
        }
        for entry in catalogue().values()
    ]


def read_catalogue(path: Path) -> Mapping[str, Entry]:
    """Read a catalogue file. Raises OptionError, with the entry's name, for whatever in it is not as it must be."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise OptionError(f"expected a catalogue of models, got {path}, which cannot be read ({error})") from None
    tables = [data.get(key, {}) for key in ("models", "preprocessing", "labels")]
    if not all(isinstance(table, Mapping) for table in tables):
        raise OptionError(f"{path}: expected tables for models, preprocessing and labels; mend it")
    models, recipes, namings = tables
    try:
        return {name: _entry(name, facts, recipes, namings) for name, facts in models.items()}
    except OptionError as error:
        raise OptionError(f"{path}: {error}; mend it") from None


def _entry(name: str, facts: object, recipes: Mapping[str, Any], namings: Mapping[str, Any]) -> Entry:
    if not NAME.fullmatch(name):
        raise OptionError(f"expected a name of a-z, 0-9, dot, dash and underscore, got {name!r}")
    if not isinstance(facts, Mapping) or set(facts) != KEYS:
        raise OptionError(f"{name}: expected exactly {', '.join(sorted(KEYS))}")
    texts = {key: _text(name, key, facts[key], form) for key, form in FORMS.items()}
    recipe, naming = facts["preprocessing"], facts["labels"]
    return Entry(
        name=name,
        **texts,
        size=_size(name, facts["size"]),
        recipe=str(recipe),
        preprocessing=_recipe(name, recipe, recipes),
        naming=str(naming),
        labels=_labels(name, naming, namings),
    )


def _text(name: str, key: str, value: object, form: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise OptionError(f"{name}: expected {key} like {form.pattern}, got {value!r}")
    return value


def _size(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST:
        raise OptionError(f"{name}: expected a size from 1 to {LARGEST} bytes, got {value!r}")
    return value


def _recipe(name: str, key: object, recipes: Mapping[str, Any]) -> Mapping[str, Any]:
    found = recipes.get(key) if isinstance(key, str) else None
    if not isinstance(found, Mapping):
        raise OptionError(f"{name}: expected one of the preprocessings {', '.join(recipes)}, got {key!r}")
    from_record(found, f"the preprocessing {key}")
    return found


def _labels(name: str, key: object, namings: Mapping[str, Any]) -> tuple[str, ...]:
    if key == "imagenet":
        return choose_labels(1000).names
    found = namings.get(key) if isinstance(key, str) else None
    if not isinstance(found, list) or len(found) < 2 or not all(isinstance(label, str) for label in found):
        raise OptionError(f"{name}: expected imagenet or one of the labels {', '.join(namings)}, got {key!r}")
    return tuple(found)

"""Names for the classes of a model, and the class that a name means."""

import ast
import difflib
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from .errors import OptionError, printable
from .types import Labels

FILE_LIMIT = 5_000_000
"""Bytes of a label file, characters of what a model carries."""

LITERAL_LIMIT = 300_000
"""Characters of a Python literal: its syntax tree takes some 450 times the memory of the text."""

NAME_LIMIT = 200
CONFIG_KEYS = ("id2label", "label_names", "label2id", "categories")
METADATA_KEYS = ("labels", "classes", "names", "id2label", "class_names", "label_names")
MODEL_API_KEY = "model_info labels"
CONTENTS = "a list of names, a dict from index to name or a dict from name to index"


def choose_labels(
    classes: int,
    *,
    file: Path | None = None,
    metadata: Mapping[str, str] | None = None,
    config: Mapping[str, object] | None = None,
    single: str = "score",
) -> Labels:
    """Find the names of the classes: file > Hugging Face config > ONNX metadata > the number of classes.

    A file has one name a line, or JSON, or a Python literal: a list, index -> name or name -> index.
    1000 classes are taken for ImageNet, 1001 for ImageNet behind a "background"; others are numbered, and one
    score alone is called `single`.
    What the model itself offers is passed over, and the reason says so, where it does not fit.

    Raises OptionError if the file cannot be read or does not name exactly these classes.
    """
    if file is not None:
        return Labels(_fit(_read(file), classes, str(file)), f"from the file {file.name}")
    notes = []
    for place, value in _offers(config or {}, metadata or {}):
        try:
            return Labels(_own_names(value, classes, place), f"from {place}")
        except OptionError as problem:
            notes.append(str(problem))
    names, reason = _assumed(classes) if classes > 1 else ((single,), "no name found for the one score")
    return Labels(names, "; ".join([reason, *notes]))


def listed_labels(
    file: Path | None, metadata: Mapping[str, str] | None = None, config: Mapping[str, object] | None = None
) -> Labels:
    """Find names as `choose_labels` does, of classes that a detector lists by number and nobody counts."""
    if file is not None:
        names = tuple(map(_clean, _names(_parsed(_read(file), str(file)), str(file))))
        return Labels(names, f"from the file {file.name}")
    for place, value in _offers(config or {}, metadata or {}):
        try:
            parsed = _parsed(value, place) if isinstance(value, str) else value
            return Labels(tuple(map(_clean, _names(parsed, place))), f"from {place}")
        except OptionError:
            continue
    return Labels((), "no names found: numbered")


def find_label(labels: Labels, text: str) -> int:
    """Return the class that a number or a name means.

    A number below the number of classes is an index. A name counts as written, else in any case, else as
    the only name that contains it. Raises OptionError, with what is near, if none or several fit.
    """
    wanted = text.strip()[:NAME_LIMIT]
    if _is_index(wanted) and int(wanted) < len(labels.names):
        return int(wanted)
    for found in _matches(labels.names, wanted):
        if len(found) == 1:
            return found[0]
        if found:
            raise OptionError(
                f"expected the name or index of one class, got {wanted!r}, which fits {len(found)}: "
                f"{_listed(labels, found)}; give the index"
            )
    raise OptionError(f"expected the name or index of a class, got {wanted!r}; {_near(labels, wanted)}")


def _offers(config: Mapping[str, object], metadata: Mapping[str, str]) -> Iterator[tuple[str, object]]:
    yield from ((f"{key!r} of the config", config[key]) for key in CONFIG_KEYS if config.get(key))
    yield from ((f"{key!r} of the ONNX metadata", metadata[key]) for key in METADATA_KEYS if metadata.get(key))
    if listed := metadata.get(MODEL_API_KEY, "").split():  # spaces between the names, underscores within them
        yield f"{MODEL_API_KEY!r} of the ONNX metadata", [name.replace("_", " ") for name in listed]


def _own_names(value: object, classes: int, place: str) -> tuple[str, ...]:
    names = _fit(value, classes, place)
    if all(re.fullmatch(r"LABEL_\d+", name) for name in names):  # transformers' default, not a name
        raise OptionError(f"expected names, found only LABEL_0, LABEL_1, ... in {place}")
    return names


def _assumed(classes: int) -> tuple[tuple[str, ...], str]:
    if classes == 1000:
        return _imagenet(), "assumed: 1000 classes are ImageNet's"
    if classes == 1001:
        return ("background", *_imagenet()), "assumed: 1001 classes are a background and ImageNet's"
    return tuple(f"class {index}" for index in range(classes)), "no names found: numbered"


@cache
def _imagenet() -> tuple[str, ...]:
    return tuple(Path(__file__).with_name("imagenet_labels.txt").read_text("utf-8").split("\n")[:1000])


def _read(file: Path) -> str:
    try:
        if not file.is_file():
            raise OptionError(f"expected a label file, found none at {file}")
        with file.open("rb") as stream:
            data = stream.read(FILE_LIMIT + 1)
        if len(data) <= FILE_LIMIT:
            return data.decode("utf-8-sig")
    except OSError as problem:
        raise OptionError(f"expected a readable label file, got {problem.strerror} for {file}") from problem
    except UnicodeDecodeError as problem:
        raise OptionError(f"expected UTF-8 text, found other bytes in {file}; convert the file") from problem
    raise OptionError(f"expected a label file of at most {FILE_LIMIT // 10**6} MB, {file} is larger")


def _fit(value: object, classes: int, place: str) -> tuple[str, ...]:
    """Return exactly `classes` cleaned names, or say what is wrong with those in `place`."""
    names = _names(_parsed(value, place) if isinstance(value, str) else value, place)
    if len(names) != classes:
        raise OptionError(f"expected {classes} names, found {len(names)} in {place}; give one for each class")
    if all(re.match(r"n\d{8}\s+\S", name) for name in names):  # "n01440764 tench": WordNet ids come before
        names = [name.split(maxsplit=1)[1] for name in names]
    return tuple(_clean(name) or f"class {index}" for index, name in enumerate(names))


def _parsed(text: str, place: str) -> object:
    """Read JSON or a Python literal where the text begins like one; else lines, else what commas separate."""
    if len(text) > FILE_LIMIT:
        raise OptionError(f"expected names in at most {FILE_LIMIT} characters, found {len(text)} in {place}")
    if text.lstrip()[:1] not in ("[", "{", "("):
        lines = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
        return lines if len(lines) != 1 else lines[0].split(",")
    for reader in (json.loads, _literal):
        try:
            return reader(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    raise OptionError(f"expected {CONTENTS}, found neither JSON nor Python in {place}")


def _literal(text: str) -> object:
    """Read a Python literal, as Ultralytics writes its names: {0: 'person', 1: 'bicycle'}."""
    if len(text) > LITERAL_LIMIT:
        raise ValueError
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an unknown escape would only warn, on the user's terminal
        return ast.literal_eval(text.strip())


def _names(value: object, place: str) -> list[str]:
    found = _unwrapped(value)
    if isinstance(found, Mapping):
        return _in_order(found, place)
    if isinstance(found, Sequence) and not isinstance(found, str):
        return [_name(entry, place) for entry in found]
    raise OptionError(f"expected {CONTENTS}, found a {type(found).__name__} in {place}")


def _unwrapped(value: object) -> object:
    """Take the names out of a whole config.json."""
    if isinstance(value, Mapping):
        for key in (*CONFIG_KEYS, *METADATA_KEYS):
            if isinstance(value.get(key), Mapping | list):
                return value[key]
    return value


def _in_order(table: Mapping[object, object], place: str) -> list[str]:
    by_index = _by_index(table, place)
    missing = next((index for index in range(len(table)) if index not in by_index), None)
    if missing is not None:
        raise OptionError(f"expected names of classes 0 to {len(table) - 1}, found none of {missing} in {place}")
    return [_name(by_index[index], place) for index in range(len(table))]


def _by_index(table: Mapping[object, object], place: str) -> dict[int, object]:
    if all(_is_index(key) for key in table):
        return {int(str(key)): name for key, name in table.items()}
    if all(_is_index(index) for index in table.values()):
        return {int(str(index)): name for name, index in table.items()}
    raise OptionError(f"expected {CONTENTS}, found a dict without indices in {place}")


def _is_index(value: object) -> bool:
    if type(value) is int:  # not bool
        return 0 <= value < 10**9
    return isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) is not None


def _name(entry: object, place: str) -> str:
    if isinstance(entry, list | tuple) and entry:  # Keras: ["n01440764", "tench"]
        entry = entry[-1]
    if isinstance(entry, str | float) or _is_index(entry):
        return str(entry)
    raise OptionError(f"expected names, found a {type(entry).__name__} among them in {place}")


def _clean(name: str) -> str:
    return " ".join(printable(name[: 4 * NAME_LIMIT]).split())[:NAME_LIMIT]


def _matches(names: Sequence[str], wanted: str) -> Iterator[list[int]]:
    """Yield the classes whose name is the text, is it in another case, contains it: the strictest first."""
    folded, key = [name.casefold() for name in names], wanted.casefold()
    yield [index for index, name in enumerate(names) if name == wanted]
    yield [index for index, name in enumerate(folded) if name == key]
    yield [index for index, name in enumerate(folded) if key and key in name]


def _near(labels: Labels, wanted: str) -> str:
    folded = {name.casefold(): index for index, name in enumerate(labels.names)}
    near = difflib.get_close_matches(wanted.casefold(), folded, n=3)
    if not near:
        return f"classes are 0 to {len(labels.names) - 1}, such as {_listed(labels, range(len(labels.names)))}"
    return f"near are {_listed(labels, [folded[name] for name in near])}"


def _listed(labels: Labels, indices: Sequence[int]) -> str:
    shown = ", ".join(f"{labels[index]} ({index})" for index in indices[:5])
    return shown + (", ..." if len(indices) > 5 else "")

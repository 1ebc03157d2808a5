"""What the protocols have in common: a call comes in, pictures are asked for, an answer goes out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from ...engine.errors import printable
from .served import Served
from .work import Asked, Found

SHOWN = 300
"""Characters of an error."""


@dataclass(frozen=True)
class Call:
    """The body of a request and its headers; `places` says how many pictures it holds, before any is decoded."""

    served: Served
    body: bytes
    headers: Mapping[str, str]
    places: Callable[[int], None]


@dataclass(frozen=True)
class Reading:
    """What a call asks of each of its pictures, and what makes an answer of what is found."""

    asked: Sequence[Asked]
    answer: Callable[[Sequence[Found]], Response]


Reader = Callable[[Call], Reading]
"""It raises HTTPException (400), PictureError, OptionError."""


def bad(text: str) -> HTTPException:
    """Say what is wrong with a request, on one line."""
    return HTTPException(400, printable(text)[:SHOWN])


def parsed(body: bytes) -> dict[str, Any]:
    """Read the JSON object of a body."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise bad(f"expected JSON, got something else ({error})") from None
    if not isinstance(found, dict):
        raise bad(f"expected a JSON object, got a {type(found).__name__}")
    return found


def member(found: Mapping[str, Any], name: str, kind: type, nothing: Any) -> Any:
    """Return a member of a JSON object, which must be of a kind where it is there."""
    value = found.get(name)
    if value is None:
        return nothing
    if not isinstance(value, kind) or isinstance(value, bool):
        raise bad(f"expected {name!r} to be a {kind.__name__}, got a {type(value).__name__}")
    return value

"""What a run shows of every tensor of a trusted graph: shapes, types, and whole numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..types import Content
from .session import Session

LARGEST = 1 << 16
"""Whole numbers that are kept: shapes, axes and index tables are smaller."""


@dataclass(frozen=True)
class Trace:
    """Shapes and types by name; the values of integers (and truth values) of up to LARGEST elements."""

    shapes: Mapping[str, tuple[int, ...]]
    dtypes: Mapping[str, str]
    numbers: Mapping[str, NDArray[Any]]


def trace(exposed: Content, feeds: Mapping[str, NDArray[Any]]) -> Trace:
    """Run a graph, all of whose tensors are outputs, once. Cost: a session and one forward with nothing fused."""
    session = Session(exposed, threads=0)
    values = dict(zip(session.outputs, session.run(feeds, session.outputs), strict=True)) | dict(feeds)
    numbers = {n: v for n, v in values.items() if v.dtype.kind in "iub" and v.size <= LARGEST}
    return Trace(
        {name: value.shape for name, value in values.items()},
        {name: value.dtype.name for name, value in values.items()},
        numbers,
    )

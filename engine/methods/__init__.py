"""The catalogue of methods: one file each, listed here by hand."""

from collections.abc import Callable

from ..problem import Problem
from ..types import Attribution
from .dd_cam import dd_cam
from .nested import nested

METHODS: dict[str, Callable[[Problem], Attribution]] = {
    "dd-cam": dd_cam,
    "nested": nested,
}

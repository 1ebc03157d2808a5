"""The tables of gradient rules, listed here by hand; importing them fills the registry."""

from ..registry import VJP
from . import (
    convolution,
    einsum,
    elementwise,
    indexing,
    linear,
    normalisation,
    pooling,
    reduction,
    resize,
    shape,
)

TABLES = (
    convolution,
    einsum,
    elementwise,
    indexing,
    linear,
    normalisation,
    pooling,
    reduction,
    resize,
    shape,
)

__all__ = ["TABLES", "VJP"]

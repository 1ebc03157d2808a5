"""Maps of several stages of a network, brought to the size of the finest."""

from collections.abc import Sequence

from ..graph.build import Var
from .registry import Layer


def finest(maps: Sequence[Var], layers: Sequence[Layer]) -> list[Var]:
    """Enlarge the maps `[N, 1, h, w]` of layers to the size of the largest: bilinear, between the cells' centres."""
    height, width = (max(layer.features.sizes[axis] or 0 for layer in layers) for axis in (2, 3))
    return [
        m if layer.features.sizes[2:] == (height, width) else enlarged(m, height, width)
        for m, layer in zip(maps, layers, strict=True)
    ]


def enlarged(x: Var, height: int, width: int) -> Var:
    return x.op.Resize(x, None, None, x.op.ints([height, width]), mode="linear", axes=[2, 3])

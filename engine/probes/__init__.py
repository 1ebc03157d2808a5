"""What probes go through: what a picture fixes is computed once, and a probe only selects and runs the rest."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from typing import Any

from numpy.typing import NDArray

from ..check import difference
from ..errors import ModelError, RunError
from ..head import SAME, bind_head, mixes_batch, telling_masks
from ..types import Masks
from .apart import apart_probe, apart_units
from .attention import attention_probe
from .columns import DEAR, few_units, make_columns
from .folded import folded_probe
from .probe import Columns, Cut, Fixed, Probe, Size, additivity_error
from .whole import patch_probe, whole_head

__all__ = ["Columns", "Cut", "Fixed", "Probe", "Size", "additivity_error", "make_probe"]


def make_probe(cut: Cut) -> Probe:
    """Return the cheapest way to answer probes that the graph allows and that masks on a photograph confirm.

    In this order: the last attention of a transformer as a ratio of sums; the product behind flattened features
    as one vector a unit; units selected behind what acts on each of them alone; the whole head. Patches are
    selected in front of the whole model.
    """
    if cut.split.units == "patch":
        return patch_probe(cut)
    masks = telling_masks(cut.split.count)
    expected = bind_head(cut.alone, cut.features, 1).score(masks)
    found = next((probe for probe in shorter(cut) if proved(cut, probe, masks, expected)), None)
    if found is None or not found.batchable:
        whole = whole_head(cut)
        found = whole if found is None or whole.batchable else found
    columns = make_columns(cut, found)
    if columns is None:
        return found
    few = few_units(cut.split.count, columns.few)
    expected = bind_head(cut.alone, cut.features, 1).score(few)
    return extended if proved(cut, extended := replace(found, columns=columns, together=DEAR), few, expected) else found


def shorter(cut: Cut) -> Iterator[Probe]:
    """Yield the shorter ways that the graph allows, the cheapest probe first."""
    apart = cache(partial(apart_units, cut))
    ways: list[Callable[[], Iterator[Probe]]] = [
        lambda: attention_probe(cut),
        lambda: folded_probe(cut, apart()),
        lambda: apart_probe(cut, apart()),
    ]
    for way in ways[2:] if mixes_batch(cut.opened, cut.split.tensor) else ways:
        try:
            yield from way()
        except (ModelError, RunError):  # this graph cannot be written that way: no rule for a node, a fixed batch
            continue


def proved(cut: Cut, probe: Probe, masks: Masks, expected: NDArray[Any]) -> bool:
    """Compare a probe with logits of the whole head, in a batch and alone."""
    sizes = (1, len(masks)) if probe.batchable else (1,)
    with suppress(RunError):
        return all(difference(probe.bind(cut.features, size).score(masks), expected) <= SAME for size in sizes)
    return False

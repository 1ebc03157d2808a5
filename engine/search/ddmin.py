"""Delta debugging by halves: ddmin (Zeller & Hildebrandt, TSE 28(2), 2002) over sets of units."""

from collections.abc import Iterator
from itertools import chain

import numpy as np

from .gate import Gate, Mask, Units
from .masks import mask_of, without_units


def ddmin(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units: it is kept, and without any one unit it is not.

    Asks the chunks of the subset, then their complements, as one round per granularity; a chunk that
    suffices becomes the subset and the granularity 2 again, a complement that suffices stays as it is
    cut, and a round without success doubles the granularity.
    Expects that the full set is kept and the empty set is not; the caller has asked.
    Cost: at best 2 log2 n probes, at worst n^2 + 3n for n units (batches add those asked in vain).
    """
    return tuple(_ddmin(gate, np.arange(gate.units)).tolist())


def ddmin_star(gate: Gate) -> tuple[int, ...]:
    """Return what ddmin gives when it is run on its own answer until that stays as it is (DD*).

    A 1-minimal subset may still hold a kept one that is smaller by several units at once, and the coarse cuts of
    a fresh run can find it where units hinder each other. Cost: that of `ddmin`, and at least 2 |S| more.
    """
    kept, before = _ddmin(gate, np.arange(gate.units)), gate.units + 1
    while kept.size < before:
        before, kept = kept.size, _ddmin(gate, kept)
    return tuple(kept.tolist())


def _ddmin(gate: Gate, kept: Units) -> Units:
    parts = 2
    while kept.size > 1:
        chunks = split(kept, min(parts, kept.size))
        # Of two chunks, each is the complement of the other: asked already.
        complements = _complements(gate, chunks, range(len(chunks))) if len(chunks) > 2 else ()
        won = gate.first_kept(chain((mask_of(gate.units, chunk) for chunk in chunks), complements))
        if won is not None and won < len(chunks):
            kept, parts = chunks[won], 2
            continue
        if won is not None:
            chunks = _drop_chunks(gate, chunks, won - len(chunks))
            kept = np.concatenate(chunks)
        if len(chunks) == kept.size:
            break
        parts = 2 * len(chunks)
    return kept


def split(units: Units, parts: int) -> list[Units]:
    """Cut `units` into `parts` runs as Zeller does: run i takes the next (remaining // runs left) units."""
    chunks: list[Units] = []
    start = 0
    for left in range(parts, 0, -1):
        stop = start + (len(units) - start) // left
        chunks.append(units[start:stop])
        start = stop
    return chunks


def _drop_chunks(gate: Gate, chunks: list[Units], at: int) -> list[Units]:
    """Drop chunk `at`, whose complement is kept, and go on round the circle until no complement is.

    The chunks that remain were asked on their own in this round and failed: they are not asked again.
    """
    rest = chunks[:at] + chunks[at + 1 :]
    while len(rest) > 2:
        circle = [*range(at, len(rest)), *range(at)]
        won = gate.first_kept(_complements(gate, rest, circle))
        if won is None:
            break
        at = circle[won]
        rest = rest[:at] + rest[at + 1 :]
    return rest


def _complements(gate: Gate, chunks: list[Units], order: range | list[int]) -> Iterator[Mask]:
    whole = mask_of(gate.units, np.concatenate(chunks))
    for index in order:
        yield without_units(whole, chunks[index])

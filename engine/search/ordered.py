"""Grow along the order until a prefix is kept, then shrink it from its least useful end until nothing can go."""

import numpy as np

from .gate import Gate, Mask, Units
from .masks import mask_of, without_each, without_units

LONGEST = 64
"""Most single removals asked in one go; at first twice as many as cost little more than one."""


def ordered(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units, found near the start of `gate.order`.

    Asks the first 1, 2, 4, ... units of the order, cuts the gap before the first kept prefix in parts, and
    shrinks what is left. Expects that the full set is kept and the empty set is not; the caller has asked.
    What is asked does not depend on the gate's batch. Cost: where the order is good, |S| probes, about
    log2 |S| more to find the prefix, and a few batches; where it is bad, at worst O(n^2) probes as for all.
    """
    return shrink(gate, gate.order[: shortest_prefix(gate)])


def shortest_prefix(gate: Gate) -> int:
    """Return the length of a prefix of the order that is kept while the one before it is not."""
    n = gate.units
    lengths = [*(1 << k for k in range((n - 1).bit_length())), n]
    failed = 0
    for start in range(0, len(lengths), gate.together):
        part = lengths[start : start + gate.together]
        failed, kept = _bracket(gate, failed, part, n)
        if kept < n:
            break
    return _narrow(gate, failed, kept)


def _narrow(gate: Gate, failed: int, kept: int) -> int:
    """Cut the gap in so many parts at once: in quarters, three prefixes in one go take half the batches of halving."""
    parts = max(2, gate.together)
    while kept - failed > 1:
        cuts = {failed + (kept - failed) * part // parts for part in range(1, parts)}
        failed, kept = _bracket(gate, failed, sorted(cuts - {failed}), kept)
    return kept


def _bracket(gate: Gate, failed: int, lengths: list[int], kept: int) -> tuple[int, int]:
    """Return the shortest kept prefix out of `lengths`, else `kept`, and the next shorter one after `failed`."""
    answers = [*gate.answers(gate.prefixes(lengths)).tolist(), True]
    won = answers.index(True)
    return [failed, *lengths][won], [*lengths, kept][won]


def shrink(gate: Gate, units: Units) -> tuple[int, ...]:
    """Return a 1-minimal subset of `units`, a kept subset with its most useful units first.

    Goes round from the least useful unit. Asks single removals, some and twice as many, in one go while all fail;
    of those that could go alone, as many go as are found that can go together. Where a whole block goes, runs of
    the units that follow go too, each twice as long, until a unit has to stay. Ends when every single removal from
    the same subset has failed, which is 1-minimality. Cost: |S| probes where nothing can go, else more.
    """
    whole, queue = mask_of(gate.units, units), units[::-1].tolist()
    passed, ahead = 0, 2 * gate.together
    while passed < len(queue) and len(queue) > 1:
        block = queue[: min(ahead, len(queue) - passed)]
        kept = gate.answers(without_each(whole, block)).tolist()
        queue = queue[len(block) :] + block
        if True not in kept:
            passed, ahead = passed + len(block), min(2 * ahead, LONGEST)
            continue
        gone = _together(gate, whole, [unit for unit, yes in zip(block, kept, strict=True) if yes], 1)
        _remove(whole, queue, gone)
        if len(gone) == len(block):
            _remove_runs(gate, whole, queue, 2 * len(block))
        passed, ahead = 0, 2
    return tuple(sorted(queue))


def _remove_runs(gate: Gate, whole: Mask, queue: list[int], length: int) -> None:
    """Remove runs from the front of the queue, each twice as long, until a unit has to stay; it goes to the back."""
    while queue:
        run = queue[:length]
        gone = _together(gate, whole, run, 0)
        _remove(whole, queue, gone)
        if len(gone) < len(run):
            queue.append(queue.pop(0))
            return
        length *= 2


def _together(gate: Gate, whole: Mask, units: list[int], sure: int) -> list[int]:
    """Return the first of `units` that can go together: all, or as many as cutting the gap finds, at least `sure`."""
    if sure == len(units) or gate.keeps(without_units(whole, units)):
        return units
    failed, parts = len(units), max(2, gate.together // 2)
    while failed - sure > 1:
        cuts = sorted({sure + (failed - sure) * part // parts for part in range(1, parts)} - {sure})
        kept = [*gate.answers(np.array([without_units(whole, units[:cut]) for cut in cuts])).tolist(), False]
        lost = kept.index(False)
        sure, failed = [sure, *cuts][lost], [*cuts, failed][lost]
    return units[:sure]


def _remove(whole: Mask, queue: list[int], gone: list[int]) -> None:
    whole[gone] = False
    queue[:] = [unit for unit in queue if whole[unit]]

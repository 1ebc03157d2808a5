"""Grow along the order until a prefix is kept, then take single units away: the search that fits into a graph."""

from .gate import Gate
from .masks import mask_of, without_each


def sweep(gate: Gate) -> tuple[int, ...]:
    """Return a 1-minimal subset of the gate's units, found near the start of `gate.order`.

    Asks the first 1, 2, 4, ... units of the order and halves the gap before the first kept prefix; then removes single
    units from its least useful end on, round and round, until every unit that is left has failed against the same
    subset. `ordered` does much the same with fewer and larger questions; this one is what an exported model does
    (`ddcam export`), answer for answer. Expects that the full set is kept and the empty set is not; the caller has
    asked. What is asked ahead does not change the answer. Cost: about 2 log2 |S| probes for the prefix, then at
    least |S|, at worst O(n^2).
    """
    queue = gate.order[: shortest_prefix(gate)][::-1].tolist()
    whole, passed = mask_of(gate.units, queue), 0
    while passed < len(queue) and len(queue) > 1:
        block = queue[: min(gate.together, len(queue) - passed)]
        kept = gate.answers(without_each(whole, block)).tolist()
        stayed = kept.index(True) if True in kept else len(block)
        gone = block[stayed : stayed + 1]
        whole[gone] = False
        queue = queue[stayed + len(gone) :] + block[:stayed]
        passed = 0 if gone else passed + stayed
    return tuple(sorted(queue))


def shortest_prefix(gate: Gate) -> int:
    """Return the length of a prefix of the order that is kept while the one before it is not."""
    failed, kept = 0, gate.units
    while kept - failed > 1:
        length = min(max(1, 2 * failed), (failed + kept) // 2)
        if gate.answers(gate.prefixes([length]))[0]:
            kept = length
        else:
            failed = length
    return kept

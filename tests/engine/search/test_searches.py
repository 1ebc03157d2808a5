"""Every search is 1-minimal on any predicate, monotone or not, whatever the batch; some equal a plain definition."""

from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ddcam.engine.search import SEARCHES, Budget, Gate, Outcome, search
from ddcam.engine.search.gate import Ask, Mask

Table = NDArray[np.bool_]
"""A predicate over n units by brute force: entry i answers for the subset whose bits are those of i."""
Keeps = Callable[[list[int]], bool]


# ----- random predicates: full kept, empty not kept


def hashed(rng: np.random.Generator, units: int) -> Table:
    """No structure at all: each subset on its own."""
    return np.asarray(rng.random(2**units) < rng.choice([0.05, 0.3, 0.7]))


def cores(rng: np.random.Generator, units: int) -> Table:
    """Monotone: one of a few hidden cores must be complete."""
    subsets = np.arange(2**units)
    hidden = rng.integers(1, 2**units, size=rng.integers(1, 4))
    return np.asarray([subsets & core == core for core in hidden]).any(axis=0)


def linear(rng: np.random.Generator, units: int) -> Table:
    """What an additive head with two classes says: not monotone, as weights may be negative."""
    weights = rng.normal(size=units)
    weights *= np.sign(weights.sum())
    return np.asarray(bits(units) @ weights > rng.uniform(0, 0.95) * weights.sum())


def argmax(rng: np.random.Generator, units: int) -> Table:
    """What an additive head with many classes says."""
    logits = bits(units) @ rng.normal(size=(units, 5))
    top = logits[-1].argmax()
    return np.asarray(logits.argmax(axis=1) == top)


def bits(units: int) -> NDArray[np.float64]:
    return ((np.arange(2**units)[:, None] >> np.arange(units)) & 1).astype(np.float64)


def random_table(family: Callable[[np.random.Generator, int], Table], seed: int, units: int) -> Table:
    table = family(np.random.default_rng(seed), units).copy()
    table[0], table[-1] = False, True
    return table


def ask_table(table: Table, units: int) -> Ask:
    powers = 2 ** np.arange(units)
    return lambda masks: np.asarray(table[masks @ powers])


def keeps_table(table: Table) -> Keeps:
    return lambda subset: bool(table[sum(1 << unit for unit in subset)])


def is_one_minimal(table: Table, subset: tuple[int, ...]) -> bool:
    keeps = keeps_table(table)
    return keeps(list(subset)) and not any(keeps([u for u in subset if u != gone]) for gone in subset)


FAMILIES = [hashed, cores, linear, argmax]
families = pytest.mark.parametrize("family", FAMILIES)
searches = pytest.mark.parametrize("name", SEARCHES)
defined = pytest.mark.parametrize("name", ["ddmin", "units", "sweep"])
ORDERED = ["ordered", "quickxplain", "probdd", "sweep"]


# ----- the definitions, one probe at a time, without batches


def reference_ddmin(keeps: Keeps, units: int) -> list[int]:
    current, granularity = list(range(units)), 2
    while len(current) > 1:
        chunks = zeller_split(current, min(granularity, len(current)))
        alone = next((chunk for chunk in chunks if keeps(chunk)), None)
        if alone is not None:
            current, granularity = alone, 2
            continue
        place = failures = 0
        while len(chunks) > 2 and failures < len(chunks):
            if keeps([unit for chunk in chunks if chunk is not chunks[place] for unit in chunk]):
                del chunks[place]
                failures = 0
            else:
                place += 1
                failures += 1
            place %= len(chunks)
        current = list(chain.from_iterable(chunks))
        if len(chunks) == len(current):
            break
        granularity = 2 * len(chunks)
    return current


def zeller_split(items: list[int], parts: int) -> list[list[int]]:
    chunks, start = [], 0
    for i in range(parts):
        size = (len(items) - start) // (parts - i)
        chunks.append(items[start : start + size])
        start += size
    return chunks


def reference_units(keeps: Keeps, units: int) -> list[int]:
    current, place, failures = list(range(units)), 0, 0
    while len(current) > 1 and failures < len(current):
        if keeps(current[:place] + current[place + 1 :]):
            del current[place]
            failures = 0
        else:
            place += 1
            failures += 1
        place %= len(current)
    return current


def reference_sweep(keeps: Keeps, units: int) -> list[int]:
    failed, kept = 0, units
    while kept - failed > 1:
        length = min(2 * failed or 1, (failed + kept) // 2)
        failed, kept = (failed, length) if keeps(list(range(length))) else (length, kept)
    current, failures = list(range(kept)), 0
    place = kept - 1
    while len(current) > 1 and failures < len(current):
        if keeps(current[:place] + current[place + 1 :]):
            del current[place]
            failures = 0
        else:
            failures += 1
        place = (place - 1) % len(current)
    return current


REFERENCES = {"ddmin": reference_ddmin, "units": reference_units, "sweep": reference_sweep}


# ----- the checks


@searches
@families
def test_the_answer_is_one_minimal(name: str, family: Callable[[np.random.Generator, int], Table]) -> None:
    for seed in range(1000):
        units = 1 + seed % 9
        table = random_table(family, seed, units)
        answer = SEARCHES[name](Gate(ask_table(table, units), units, 16))

        assert is_one_minimal(table, answer), (seed, answer)
        assert list(answer) == sorted(answer)


@searches
def test_the_answer_is_one_minimal_on_every_predicate_of_four_units(name: str) -> None:
    inner = ((np.arange(2**14)[:, None] >> np.arange(14)) & 1).astype(np.bool_)
    for table in np.pad(inner, ((0, 0), (1, 1)), constant_values=((False, False), (False, True))):
        answer = SEARCHES[name](Gate(ask_table(table, 4), 4, 64))

        assert is_one_minimal(table, answer), (table, answer)


@searches
@families
def test_the_answer_is_one_minimal_whatever_the_order(
    name: str, family: Callable[[np.random.Generator, int], Table]
) -> None:
    for seed in range(500):
        units = 1 + seed % 9
        table, order = random_table(family, seed, units), np.random.default_rng(seed).permutation(units)
        answer = SEARCHES[name](Gate(ask_table(table, units), units, 16, order=order))

        assert is_one_minimal(table, answer), (seed, answer)
        assert list(answer) == sorted(answer)


@searches
@families
def test_the_answer_does_not_depend_on_the_batch(
    name: str, family: Callable[[np.random.Generator, int], Table]
) -> None:
    for seed in range(200):
        table, order = random_table(family, seed, 10), np.random.default_rng(seed).permutation(10)
        answers = {SEARCHES[name](Gate(ask_table(table, 10), 10, batch, order=order)) for batch in (1, 2, 7, 64)}

        assert len(answers) == 1, (seed, answers)


@searches
def test_many_units_give_the_same_one_minimal_answer_in_every_batch(name: str) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        effects = rng.normal(size=(300, 20)) * np.maximum(rng.normal(size=(300, 1)), 0)
        top, order = effects.sum(axis=0).argmax(), rng.permutation(300)

        def ask(masks: Mask, effects: NDArray[np.float64] = effects, top: np.intp = top) -> Mask:
            return np.asarray([row.any() and effects[row].sum(axis=0).argmax() == top for row in masks])

        answers = {SEARCHES[name](Gate(ask, 300, batch, order=order)) for batch in (1, 7, 64)}
        kept = np.isin(np.arange(300), answers.pop())

        assert not answers
        assert ask(kept[None])[0]
        assert not any(ask((kept & (np.arange(300) != unit))[None])[0] for unit in np.flatnonzero(kept))


@pytest.mark.parametrize("name", ORDERED)
def test_the_first_of_equal_units_in_the_order_is_chosen(name: str) -> None:
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(40)
        gate = Gate(lambda masks: np.asarray(masks.any(axis=1)), 40, 8, order=order)

        assert SEARCHES[name](gate) == (order[0],)


@pytest.mark.parametrize("name", ORDERED)
def test_a_core_at_the_start_of_the_order_is_found_in_few_probes(name: str) -> None:
    order = np.random.default_rng(0).permutation(1280)
    core = sorted(order[:3].tolist())
    gate = Gate(lambda masks: np.asarray(masks[:, core].all(axis=1)), 1280, 64, order=order)

    assert search(name, gate)[0] == tuple(core)
    assert gate.probes <= 25


@pytest.mark.parametrize("name", ["ddmin", "units", "dd-star"])
def test_the_searches_in_index_order_do_not_see_the_order(name: str) -> None:
    for seed in range(50):
        table, order = random_table(FAMILIES[seed % 4], seed, 9), np.random.default_rng(seed).permutation(9)
        hinted = SEARCHES[name](Gate(ask_table(table, 9), 9, 16, order=order))

        assert hinted == SEARCHES[name](Gate(ask_table(table, 9), 9, 16))


@searches
@families
def test_a_budget_gives_the_smallest_kept_subset_that_was_asked_about(
    name: str, family: Callable[[np.random.Generator, int], Table]
) -> None:
    for seed in range(40):
        table, asked = random_table(family, seed, 9), list[int]()

        def ask(masks: Mask, table: Table = table, asked: list[int] = asked) -> Mask:
            asked.extend((masks @ 2 ** np.arange(9)).tolist())
            return ask_table(table, 9)(masks)

        allowed = 1 + seed // 2
        gate = Gate(ask, 9, 4, budget=Budget(probes=allowed))
        answer, outcome = search(name, gate)
        index = sum(1 << unit for unit in answer)

        assert outcome in (Outcome.ONE_MINIMAL, Outcome.OUT_OF_BUDGET)
        assert gate.probes == len(asked) <= max(2, allowed)
        assert gate.probes == max(2, allowed) or outcome is Outcome.ONE_MINIMAL
        assert table[index]
        assert index in asked
        if outcome is Outcome.OUT_OF_BUDGET:
            assert len(answer) == min(subset.bit_count() for subset in asked if table[subset])


@searches
def test_no_subset_is_asked_about_twice(name: str) -> None:
    for seed in range(200):
        table, asked = random_table(FAMILIES[seed % 4], seed, 10), list[int]()

        def ask(masks: Mask, table: Table = table, asked: list[int] = asked) -> Mask:
            asked.extend((masks @ 2 ** np.arange(10)).tolist())
            return ask_table(table, 10)(masks)

        search(name, Gate(ask, 10, 7))

        assert len(asked) == len(set(asked))


@defined
@given(st.sampled_from(FAMILIES), st.integers(0, 10**6), st.integers(1, 10), st.sampled_from([1, 2, 7, 64]))
def test_the_answer_is_that_of_the_sequential_definition(
    name: str, family: Callable[[np.random.Generator, int], Table], seed: int, units: int, batch: int
) -> None:
    table = random_table(family, seed, units)
    expected = REFERENCES[name](keeps_table(table), units)

    assert list(SEARCHES[name](Gate(ask_table(table, units), units, batch))) == expected


@defined
@given(
    st.sets(st.integers(0, 199), min_size=1, max_size=30),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 7, 64]),
)
def test_many_units_with_noise_equal_the_sequential_definition(
    name: str, core: set[int], seed: int, batch: int
) -> None:
    noise = np.random.default_rng(seed).normal(size=200)

    def keeps(subset: list[int]) -> bool:  # a hidden core that an unlucky sum can break
        return core <= set(subset) and (noise[subset].sum() < 5 or len(subset) == 200)

    def ask(masks: Mask) -> Mask:
        return np.array([keeps(np.flatnonzero(mask).tolist()) for mask in masks])

    assert list(SEARCHES[name](Gate(ask, 200, batch))) == REFERENCES[name](keeps, 200)


@defined
@families
def test_one_at_a_time_asks_exactly_what_the_definition_asks(
    name: str, family: Callable[[np.random.Generator, int], Table]
) -> None:
    for seed in range(50):
        table = random_table(family, seed, 12)
        asked: list[int] = []
        expected: list[int] = []

        def ask(masks: Mask, table: Table = table, asked: list[int] = asked) -> Mask:
            asked.extend(masks @ 2 ** np.arange(12))
            return ask_table(table, 12)(masks)

        def keeps(subset: list[int], table: Table = table, expected: list[int] = expected) -> bool:
            expected.append(sum(1 << unit for unit in subset))
            return keeps_table(table)(subset)

        SEARCHES[name](Gate(ask, 12, 1, together=1))
        REFERENCES[name](keeps, 12)

        assert asked == list(dict.fromkeys(expected))


@searches
@families
def test_every_single_removal_of_the_answer_was_asked(
    name: str, family: Callable[[np.random.Generator, int], Table]
) -> None:
    for seed in range(100):
        table = random_table(family, seed, 8)
        asked: set[int] = {0}  # the empty set was asked by the caller

        def ask(masks: Mask, table: Table = table, asked: set[int] = asked) -> Mask:
            asked.update((masks @ 2 ** np.arange(8)).tolist())
            return ask_table(table, 8)(masks)

        answer = sum(1 << unit for unit in SEARCHES[name](Gate(ask, 8, 7)))

        assert all(answer & ~(1 << unit) in asked for unit in range(8) if answer >> unit & 1)


def test_a_broken_ddmin_is_caught() -> None:
    violations = 0
    for seed in range(1000):
        table = random_table(FAMILIES[seed % len(FAMILIES)], seed, 8)
        violations += not is_one_minimal(table, tuple(ddmin_without_the_way_back(keeps_table(table), 8)))

    assert violations > 10


def test_one_pass_of_single_removals_is_caught() -> None:
    weights = [0.5, 1.0, -1.0]  # dropping the last unit makes the first one superfluous
    table = bits(3) @ weights > 0
    one_pass = (0, 1)

    assert not is_one_minimal(table, one_pass)
    assert SEARCHES["units"](Gate(ask_table(table, 3), 3, 4)) == (1,)


def ddmin_without_the_way_back(keeps: Keeps, units: int) -> list[int]:
    """ddmin that does not ask again for the complements that failed before another one succeeded."""
    current, granularity = list(range(units)), 2
    while len(current) > 1:
        chunks = zeller_split(current, min(granularity, len(current)))
        alone = next((chunk for chunk in chunks if keeps(chunk)), None)
        if alone is not None:
            current, granularity = alone, 2
            continue
        current = list(dropped_in_one_pass(keeps, chunks))
        if granularity >= len(current):
            break
        granularity *= 2
    return current


def dropped_in_one_pass(keeps: Keeps, chunks: list[list[int]]) -> Iterator[int]:
    rest = list(chunks)
    for chunk in chunks if len(chunks) > 2 else []:
        others = [other for other in rest if other is not chunk]
        if keeps(list(chain.from_iterable(others))):
            rest = others
    return chain.from_iterable(rest)

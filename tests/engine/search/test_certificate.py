"""A certificate says what brute force says, from canonical runs of one mask at a time."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ddcam.engine.search.certificate import certify
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.predicate import Predicate, predicate

UNITS = 5


class Head:
    """A head in which units interact; remembers the masks it was run on."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.first, self.second = rng.normal(size=(UNITS, 6)), rng.normal(size=(6, 3))
        self.runs: list[tuple[int, ...]] = []

    def __call__(self, mask: Mask) -> NDArray[np.float32]:
        assert mask.shape == (UNITS,)
        assert mask.dtype == np.bool_
        self.runs.append(tuple(np.flatnonzero(mask).tolist()))
        return np.asarray(np.maximum(mask @ self.first + 0.1, 0) @ self.second, dtype=np.float32)

    def each(self, masks: Mask) -> NDArray[np.float32]:
        return np.stack([self(mask) for mask in masks])

    def of(self, subset: tuple[int, ...]) -> NDArray[np.float32]:
        return self(np.isin(np.arange(UNITS), subset))


def question(head: Head, text: str) -> Predicate:
    full = head.of(tuple(range(UNITS)))
    return predicate(text, int(full.argmax()), full, "softmax")


@pytest.mark.parametrize("text", ["top1", "confidence:0.8"])
@pytest.mark.parametrize("seed", range(8))
def test_every_subset_is_judged_as_brute_force_judges_it(seed: int, text: str) -> None:
    head = Head(seed)
    asked = question(head, text)
    subsets = [subset for size in range(UNITS + 1) for subset in combinations(range(UNITS), size)]
    kept = {subset: bool(asked.keeps(head.of(subset)[None])[0]) for subset in subsets}
    for subset in subsets:
        certificate = certify(subset, UNITS, head.each, asked)
        smaller = [tuple(u for u in subset if u != gone) for gone in subset]

        assert certificate.sufficient == kept[subset]
        assert certificate.minimal == (not any(kept[less] for less in smaller))
        assert certificate.holds == (certificate.sufficient and certificate.minimal)
        assert certificate.empty_keeps == kept[()]
        assert certificate.margin == asked.margins(head.of(subset)[None])[0]
        assert certificate.margin_empty == asked.margins(head.of(())[None])[0]
        assert certificate.margin_full == asked.margins(head.of(tuple(range(UNITS)))[None])[0]
        assert certificate.logit == head.of(subset)[asked.target]
        assert certificate.decided == head.of(subset).argmax()
        assert certificate.decided_without == tuple(head.of(less).argmax() for less in smaller)
        assert certificate.logit_without == tuple(float(head.of(less)[asked.target]) for less in smaller)
        assert certificate.margin_without == tuple(float(asked.margins(head.of(less)[None])[0]) for less in smaller)


def test_runs_are_counted_and_nothing_is_left_out() -> None:
    head = Head(0)
    asked = question(head, "top1")
    head.runs.clear()
    certificate = certify((1, 3, 4), UNITS, head.each, asked)

    assert certificate.runs == len(head.runs) == 6
    assert set(head.runs) == {(1, 3, 4), (3, 4), (1, 4), (1, 3), (), (0, 1, 2, 3, 4)}


def test_the_empty_subset_is_minimal_as_there_is_nothing_to_drop() -> None:
    head = Head(0)
    certificate = certify((), UNITS, head.each, question(head, "top1"))

    assert certificate.minimal
    assert certificate.sufficient == certificate.empty_keeps
    assert certificate.margin_without == certificate.logit_without == ()


def test_the_full_set_holds_its_own_confidence_exactly() -> None:
    head = Head(1)
    certificate = certify(tuple(range(UNITS)), UNITS, head.each, question(head, "confidence:1"))

    assert certificate.sufficient
    assert certificate.margin == 0

"""What the opposite question finds changes the decision when removed, and its certificate says so."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ddcam.engine.search import SEARCHES, Gate, Outcome, search
from ddcam.engine.search.contrast import CONTRAST_OUTCOMES, certify_contrast, opposite
from ddcam.engine.search.gate import Ask, Mask
from ddcam.engine.search.predicate import Predicate, predicate

UNITS = 6


def ask_head(head: "Head", asked: Predicate) -> Ask:
    return lambda masks: asked.keeps(np.array([head(mask) for mask in masks]))


class Head:
    """A head in which units interact; counts its runs."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.first, self.second = rng.normal(size=(UNITS, 6)), rng.normal(size=(6, 3))
        self.masks: list[tuple[bool, ...]] = []

    def __call__(self, mask: Mask) -> NDArray[np.float64]:
        self.masks.append(tuple(mask.tolist()))
        return np.asarray(np.maximum(mask @ self.first + 0.1, 0) @ self.second)

    def each(self, masks: Mask) -> NDArray[np.float64]:
        return np.stack([self(mask) for mask in masks])

    def question(self, text: str) -> Predicate:
        full = self(np.ones(UNITS, np.bool_))
        return predicate(text, int(full.argmax()), full, "softmax")


def without(removed: tuple[int, ...]) -> Mask:
    return ~np.isin(np.arange(UNITS), removed)


@pytest.mark.parametrize("text", ["top1", "confidence:0.8"])
@pytest.mark.parametrize("name", sorted(SEARCHES))
def test_every_search_finds_a_minimal_removal(name: str, text: str) -> None:
    found = 0
    for seed in range(12):
        head = Head(seed)
        asked = head.question(text)
        kept = [bool(asked.keeps(head(without(gone))[None])[0]) for gone in ((), tuple(range(UNITS)))]
        gate = Gate(opposite(ask_head(head, asked)), UNITS, 8)
        removed, outcome = search(name, gate)
        if kept == [True, False]:
            found += 1
            assert outcome is Outcome.ONE_MINIMAL
            assert not asked.keeps(head(without(removed))[None])[0]
            for unit in removed:
                assert asked.keeps(head(without(tuple(u for u in removed if u != unit)))[None])[0]
            assert certify_contrast(removed, UNITS, head.each, asked).holds
        else:
            assert outcome is (Outcome.FULL_FAILS if kept[1] else Outcome.EMPTY_SUFFICES)
    assert found > 2


@pytest.mark.parametrize("text", ["top1", "confidence:0.8"])
@pytest.mark.parametrize("seed", range(4))
def test_every_removal_is_judged_as_brute_force_judges_it(seed: int, text: str) -> None:
    head = Head(seed)
    asked = head.question(text)
    every = [gone for size in range(UNITS + 1) for gone in combinations(range(UNITS), size)]
    kept = {gone: bool(asked.keeps(head(without(gone))[None])[0]) for gone in every}
    for removed in every:
        head.masks.clear()
        certificate = certify_contrast(removed, UNITS, head.each, asked)
        smaller = [tuple(u for u in removed if u != left) for left in removed]
        asked_about = {tuple(without(gone).tolist()) for gone in (removed, (), tuple(range(UNITS)), *smaller)}

        assert certificate.runs == len(head.masks) == len(removed) + 3
        assert set(head.masks) == asked_about
        assert certificate.sufficient == (not kept[removed])
        assert certificate.minimal == all(kept[less] for less in smaller)
        assert certificate.empty_keeps == (not kept[()])
        assert certificate.margin == -asked.margins(head(without(removed))[None])[0]
        assert certificate.margin_full == -asked.margins(head(np.zeros(UNITS, np.bool_))[None])[0]
        assert certificate.margin_empty == -asked.margins(head(np.ones(UNITS, np.bool_))[None])[0]
        assert certificate.margin_without == tuple(-asked.margins(head(without(g))[None])[0] for g in smaller)
        assert certificate.logit == head(without(removed))[asked.target]
        assert certificate.logit_without == tuple(head(without(gone))[asked.target] for gone in smaller)


def test_every_outcome_has_words_for_the_opposite_question() -> None:
    assert set(CONTRAST_OUTCOMES) == set(Outcome)

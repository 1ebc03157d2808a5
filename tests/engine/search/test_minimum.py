"""The minimum is what trying all subsets gives, and no bound ever excludes a kept subset."""

from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from ddcam.engine.errors import ModelError, OptionError
from ddcam.engine.search import minimum as module
from ddcam.engine.search.additive import Table
from ddcam.engine.search.cuts import cuts_at, spare_rivals
from ddcam.engine.search.gate import Mask
from ddcam.engine.search.kinds import KINDS
from ddcam.engine.search.minimum import minimum
from ddcam.engine.search.predicate import Predicate, predicate

UNITS, CLASSES = 9, 5
SOFTMAX = ["top1", "label:{top}", "confidence:0.5", "confidence:0.97", "topk:2", "topk:3", "tolerance:0.4"]
SIGMOID = ["threshold", "threshold:0.8", "multilabel", "multilabel:0.3", "confidence:0.9", "tolerance:1"]
QUESTIONS = [(text, "softmax") for text in SOFTMAX] + [(text, "sigmoid") for text in SIGMOID]


class Head:
    """A small additive head, its predicate, and every subset that is kept."""

    def __init__(self, seed: int, text: str, activation: str) -> None:
        rng = np.random.default_rng(seed)
        effects = rng.normal(size=(UNITS, CLASSES)) + 0.6 * np.eye(CLASSES)[0]
        effects[rng.integers(UNITS)] = 0
        self.table = Table(np.ones(UNITS), effects, rng.normal(size=CLASSES) - 2 * np.eye(CLASSES)[0])
        full = self.of(np.ones(UNITS, np.bool_))
        top = int(full.argmax())
        self.asked = predicate(text.format(top=top), top, full, activation)

    def of(self, mask: Mask) -> NDArray[np.float64]:
        return self.table.logits(mask[None])[0]

    def confirm(self, mask: Mask) -> bool:
        return bool(self.asked.keeps(self.of(mask)[None])[0])

    def kept(self) -> set[tuple[int, ...]]:
        subsets = [s for size in range(UNITS + 1) for s in combinations(range(UNITS), size)]
        return {s for s in subsets if self.confirm(mask_of(s))}


def mask_of(subset: tuple[int, ...], units: int = UNITS) -> Mask:
    return np.isin(np.arange(units), subset)


@pytest.fixture(params=["all steps", "no trials", "solver alone"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the proof to each of its steps in turn, which on small heads the first one would do alone."""
    if request.param != "all steps":
        monkeypatch.setattr(module, "BRANCHES", 0)
    if request.param == "solver alone":
        monkeypatch.setattr(module, "ROUNDS", 40)
        monkeypatch.setattr(module._Minimum, "_round", lambda self, scores: None)


@pytest.mark.usefixtures("steps")
@pytest.mark.parametrize(("text", "activation"), QUESTIONS)
def test_the_answer_is_as_small_as_any_kept_subset(text: str, activation: str) -> None:
    sizes = []
    for seed in range(6):
        head = Head(seed, text, activation)
        kept = head.kept()
        if () in kept:
            continue
        minimal = [s for s in kept if not any(tuple(u for u in s if u != gone) in kept for gone in s)]
        worst = max(sorted(minimal), key=len)
        proof = minimum(head.table, head.asked, head.confirm, known=worst, seconds=60)
        sizes.append(len(proof.subset))

        assert proof.subset in kept
        assert len(proof.subset) == min(map(len, kept))
        assert proof.proven
        assert proof.bound == len(proof.subset)
        assert not any(tuple(u for u in proof.subset if u != gone) in kept for gone in proof.subset)

    assert len(set(sizes)) > 1, "only heads with one size were tried"


@pytest.mark.parametrize(("text", "activation"), QUESTIONS)
def test_every_kept_subset_meets_every_cut(text: str, activation: str) -> None:
    for seed in range(6):
        head = Head(seed, text, activation)
        kept = np.array([head.of(mask_of(s)) for s in head.kept()])
        for at, beyond in np.random.default_rng(seed).normal(size=(5, 2, CLASSES)) * 3:
            cuts = cuts_at(head.asked, at, beyond)
            values = kept @ cuts.normals.T + cuts.offsets

            assert ((values < -1e-9).sum(axis=1) <= spare_rivals(head.asked)).all()


def test_every_kind_of_predicate_is_tried_here() -> None:
    assert {text.partition(":")[0] for text, _ in QUESTIONS} == set(KINDS)


def test_a_kind_without_cuts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "other", KINDS["top1"])
    head = Head(0, "other", "softmax")
    with pytest.raises(OptionError, match="got 'other': ask for another search"):
        minimum(head.table, head.asked, head.confirm)


def table_of(rows: list[list[float]]) -> tuple[Table, Predicate]:
    effects = np.array(rows)
    table = Table(np.ones(len(rows)), effects, np.zeros(effects.shape[1]))
    return table, predicate("top1", 0, effects.sum(axis=0), "softmax")


def test_a_tie_with_a_rival_is_no_answer() -> None:
    table, asked = table_of([[1.0, 1.0], [1.0, 1.0], [0.2, 0.1], [0.2, 0.1], [-0.1, 0.05]])
    proof = minimum(table, asked, lambda mask: bool(asked.keeps(table.logits(mask[None]))[0]))

    assert proof.subset in {(2,), (3,)}
    assert proof.proven


@pytest.mark.parametrize("branches", [4000, 0])
def test_inside_the_rounding_band_the_canonical_run_decides(branches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BRANCHES", branches)
    rows = [[1.0, 1.00001], [1.0, 1.00001], [0.6, 0.5], [-0.1, 0.0], [0.5, 0.2], [-0.2, -0.3], [0.0, 0.05]]
    table, _ = table_of(rows)
    table = Table(table.strengths, table.effects, np.array([-0.3, 0.0]))
    asked = predicate("top1", 0, table.logits(np.ones((1, 7), np.bool_))[0], "softmax")
    close = [
        s for n in range(8) for s in combinations(range(7), n) if asked.close(table.logits(mask_of(s, 7)[None]))[0]
    ]
    asked_about: list[tuple[int, ...]] = []

    def refuse(mask: Mask) -> bool:
        asked_about.append(tuple(np.flatnonzero(mask).tolist()))
        return False

    def plain(subset: tuple[int, ...]) -> bool:
        return bool(asked.margins(table.logits(mask_of(subset, 7)[None]))[0] > 0) and subset not in close

    proof = minimum(table, asked, refuse)
    smallest = min(n for n in range(8) for s in combinations(range(7), n) if plain(s))

    assert plain(proof.subset)
    assert len(proof.subset) == smallest
    assert set(asked_about) <= set(close)


def test_a_subset_that_only_the_canonical_run_keeps_is_found() -> None:
    table, asked = table_of([[0.0, 0.00001], [0.2, 0.5], [0.9, 0.3], [-0.1, -0.1]])
    table = Table(table.strengths, table.effects, np.array([-1.0, 0.0]))
    table.effects[0, 0] = 1.0
    asked = predicate("top1", 0, np.array([1.0, 0.7]), "softmax")

    def granted(mask: Mask) -> bool:
        return bool(mask[0])

    assert asked.close(table.logits(mask_of((0,), 4)[None]))[0]
    assert not asked.keeps(table.logits(mask_of((0,), 4)[None]))[0]
    proof = minimum(table, asked, granted, known=(0, 2))

    assert proof.subset == (0,)
    assert proof.proven


@pytest.mark.parametrize("refused", [0, 3])
def test_refused_answers_of_the_solver_are_not_asked_for_again(refused: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BRANCHES", 0)
    effects = np.array([[1.0, 0.0]] * 4 + [[0.6, 0.0]] * 4)
    table = Table(np.ones(8), effects, np.array([0.0, 2.0]))
    asked = predicate("top1", 0, table.logits(np.ones((1, 8), np.bool_))[0], "softmax")
    pairs = [s for s in combinations(range(4), 2)]

    def confirm(mask: Mask) -> bool:
        return tuple(np.flatnonzero(mask).tolist()) in pairs[refused:][:1] if refused else False

    proof = minimum(table, asked, confirm, known=(4, 5, 6, 7), seconds=60)

    assert len(proof.subset) == (2 if refused else 3)
    assert proof.proven


@pytest.mark.parametrize("text", ["top1", "confidence:0.9"])
def test_without_time_the_known_subset_comes_back_with_a_true_bound(text: str) -> None:
    for seed in range(6):
        head = Head(seed, text, "softmax")
        kept = head.kept()
        if () in kept:
            continue
        known = max((s for s in kept if not any(set(t) < set(s) for t in kept)), key=len)
        proof = minimum(head.table, head.asked, head.confirm, known=known, seconds=0)

        assert proof.subset == known
        assert 1 <= proof.bound <= min(map(len, kept))
        assert proof.gap == len(known) - proof.bound


def test_the_answer_is_never_larger_than_the_known_one_and_the_same_each_time() -> None:
    head = Head(3, "confidence:0.9", "softmax")
    known = min(head.kept(), key=len)
    proofs = [minimum(head.table, head.asked, head.confirm, known=k) for k in (known, known, None)]

    assert {len(p.subset) for p in proofs} == {len(known)}
    assert proofs[0].subset == proofs[1].subset == known


def test_a_known_subset_that_is_not_kept_is_refused() -> None:
    table, asked = table_of([[1.0, 0.0], [0.0, 0.5]])
    with pytest.raises(OptionError, match=r"expected a known subset that keeps top1, but \(1,\) does not"):
        minimum(table, asked, lambda mask: bool(mask[0]), known=(1,))


def test_contributions_that_are_not_finite_are_refused() -> None:
    table, asked = table_of([[1.0, 0.0], [0.0, 0.5]])
    broken = Table(table.strengths, np.array([[1.0, np.inf], [0.0, 0.5]]), table.bias)
    with pytest.raises(ModelError, match="must be finite"):
        minimum(broken, asked, lambda mask: True)

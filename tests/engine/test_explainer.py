"""An explainer in memory says what `explain` says, to many threads, about arrays and pictures, good and bad."""

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ddcam
from ddcam import Explainer, Explanation, Model
from ddcam.engine import explainer as module
from ddcam.engine.errors import GradientError, OptionError, PictureError
from ddcam.engine.features import open_features
from ddcam.models import DEMOS, demo_path, demo_pictures

PICTURES = [ddcam.open_image(path) for path in demo_pictures()]
METHODS = ("dd-cam", "grad-cam", "saliency", "nested", "occlusion")


@pytest.fixture(scope="module", params=DEMOS)
def model(request: pytest.FixtureRequest) -> Model:
    return ddcam.load(demo_path(request.param))


def told(found: object) -> Explanation:
    """Leave out what takes time."""
    assert isinstance(found, Explanation)
    return replace(found, attribution=replace(found.attribution, cost=None), text=())


def require_same(found: object, expected: Explanation, *, exactly: bool = True) -> None:
    got, want = told(found), told(expected)
    assert (got.target.index, got.attribution.subset, got.warnings) == (
        want.target.index,
        want.attribution.subset,
        want.warnings,
    )
    assert got.picture.sha256 == want.picture.sha256
    np.testing.assert_allclose(got.saliency, want.saliency, rtol=0, atol=0 if exactly else 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_it_says_what_explain_says(model: Model, method: str) -> None:
    found = Explainer(model, method=method).explain_each(PICTURES)
    for one, picture in zip(found, PICTURES, strict=True):
        require_same(one, ddcam.explain(model, picture, method=method))


def test_question_and_target_reach_the_method(model: Model) -> None:
    asked = {"preserve": "confidence:0.9", "search": "units"}
    found = Explainer(model, **asked)(PICTURES[0])
    require_same(found, ddcam.explain(model, PICTURES[0], **asked))
    assert Explainer(model, method="grad-cam", target="3", preserve="topk:9")(PICTURES[0]).target.index == 3


@pytest.mark.parametrize("method", ["dd-cam", "grad-cam", "saliency"])
def test_pictures_that_share_runs_get_the_same_answers(
    model: Model, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = Explainer(model, method=method, batched_on=("cpu", "cuda"))
    runs = count_runs(model, monkeypatch)

    found = explainer.explain_each(PICTURES)

    assert runs["backbone"] <= 1, "pictures went through the backbone one by one"
    for one, picture in zip(found, PICTURES, strict=True):
        require_same(one, ddcam.explain(model, picture, method=method), exactly=False)


def count_runs(model: Model, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    runs, run = {"backbone": 0}, type(model.backbone).run

    def counted(session: object, *args: object) -> object:
        runs["backbone"] += session is model.backbone
        return run(session, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(type(model.backbone), "run", counted)
    return runs


def test_a_batch_that_cannot_be_shared_goes_one_by_one(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddcam.engine.features.difference", lambda *_: 1.0)
    runs = count_runs(model, monkeypatch)
    features = open_features(model, ("cpu",))
    before = runs["backbone"]
    assert len(features(model.opened.samples)) == len(model.opened.samples)
    assert runs["backbone"] == before + len(model.opened.samples)


def test_arrays_are_pictures(model: Model) -> None:
    require_same(Explainer(model)(PICTURES[0].pixels), ddcam.explain(model, ddcam.from_array(PICTURES[0].pixels)))


def test_an_error_stays_in_its_place(model: Model) -> None:
    bad = np.zeros((8, 8, 3), np.float64)
    found = Explainer(model).explain_each([PICTURES[0], bad, PICTURES[1]])
    assert [type(one) for one in found] == [Explanation, PictureError, Explanation]
    with pytest.raises(PictureError, match="expected 8 bit pixels"):
        Explainer(model)(bad)


def test_a_decision_without_an_answer_stays_in_its_place(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer, pose = Explainer(model), module.Problem

    def second_fails(*args: object, **words: object) -> object:
        problem = pose(*args, **words)  # type: ignore[arg-type]
        if problem.picture is inputs[1] or np.array_equal(problem.picture, inputs[1]):
            raise GradientError("no")
        return problem

    inputs = [explainer.prepare(picture).inputs for picture in PICTURES[:3]]
    monkeypatch.setattr(explainer, "_pose", lambda x, f: second_fails(model, x, features=f))
    found = explainer.decide(inputs)
    assert [isinstance(one, GradientError) for one in found] == [False, True, False]
    assert np.array_equal(found[2].problem.picture, inputs[2])  # type: ignore[union-attr]


def test_nothing_asked_is_nothing_answered(model: Model) -> None:
    assert Explainer(model).explain_each([]) == []


def test_what_fits_no_picture_is_refused_at_once(model: Model) -> None:
    with pytest.raises(OptionError, match="method"):
        Explainer(model, method="no-cam")
    with pytest.raises(OptionError):
        Explainer(model, preserve="label:nobody")


def test_threads_share_one_explainer(model: Model) -> None:
    explainer = Explainer(model)
    expected = [explainer(picture) for picture in PICTURES]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(explainer, PICTURES * 6))
    for i, one in enumerate(found):
        require_same(one, expected[i % len(PICTURES)])


def test_predictions_are_the_models(model: Model) -> None:
    explainer = Explainer(model)
    inputs = np.concatenate([explainer.prepare(picture).inputs for picture in PICTURES])
    logits = explainer.predict(inputs)
    assert [int(row.argmax()) for row in logits] == [ddcam.explain(model, one).top[0].index for one in PICTURES]


@pytest.mark.parametrize("method", ["dd-cam", "grad-cam"])
def test_memory_does_not_grow(method: str) -> None:
    explainer = Explainer(ddcam.load(demo_path(next(iter(DEMOS)))), method=method)
    growth = growth_over(explainer, 200)
    assert growth < 200 * 2**10, f"{growth} bytes more after 200 calls: a kept map alone has 3 KB"


@pytest.mark.slow
def test_memory_does_not_grow_over_ten_thousand_calls() -> None:
    explainer = Explainer(ddcam.load(demo_path(next(iter(DEMOS)))))
    explainer(PICTURES[0])
    before = resident()
    for i in range(10_000):
        explainer(PICTURES[i % len(PICTURES)])
    assert resident() - before < 8 * 2**20


def growth_over(explainer: Explainer, calls: int) -> int:
    tracemalloc.start()
    for i in range(30):
        explainer(PICTURES[i % len(PICTURES)])
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for i in range(calls):
        explainer(PICTURES[i % len(PICTURES)])
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return after - before


def resident() -> int:
    """Bytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096

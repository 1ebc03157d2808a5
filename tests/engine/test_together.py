"""Pictures searched side by side are explained as each by itself, and their masks share runs of the head."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from ddcam import load, open_image
from ddcam.engine import pictures as pictures_module
from ddcam.engine import together as together_module
from ddcam.engine.errors import OptionError, RunError
from ddcam.engine.find import Finder, Found, find
from ddcam.engine.graph.cut import MASK
from ddcam.engine.graph.pictures import WHICH
from ddcam.engine.head import random_masks
from ddcam.engine.model import Model
from ddcam.engine.pictures import Pictures
from ddcam.engine.preprocess import prepare
from ddcam.engine.problem import Problem
from ddcam.engine.runtime.batching import BUDGETS
from ddcam.engine.runtime.binding import Bound
from ddcam.engine.runtime.device import missing_for_cuda
from ddcam.engine.search import SEARCHES
from ddcam.engine.together import find_each
from ddcam.engine.types import Question
from ddcam.models import DEMOS, demo_path, demo_pictures

QUESTIONS = (
    *(Question(search=name) for name in SEARCHES),
    Question(probes=7),
    Question(search="units", probes=20),
    Question(seconds=1000),
    Question(seek="necessary"),
    Question(count=3),
)
UNITS = Question(search="units")
SHARED = "convolutional"
"""A family whose probes are shared, in two graphs: one for masks of few units, one for others."""
Pose = Callable[..., list[Problem]]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.fixture
def pose(zoo) -> Pose:
    """Pose the same question on several random pictures: `pose(model, count, options of the problems)`."""

    def posed(model: Model, count: int = 5, **options: Any) -> list[Problem]:
        asked, dtype = {"preserve": "confidence:0.95"} | options, model.opened.picture.dtype
        return [Problem(model, zoo.pictures(1, dtype=dtype, seed=seed), **asked) for seed in range(count)]

    return posed


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many masks each run of a head holds."""
    noted: list[int] = []
    bound = Bound.run

    def noting(self: Bound, value: np.ndarray, also: Any = ()) -> Any:
        noted.append(len(value))
        return bound(self, value, also)

    monkeypatch.setattr(Bound, "run", noting)
    return noted


def find_together(problems: Sequence[Problem]) -> list[Found]:
    """Find for each, and raise the first error."""
    found = find_each(problems)
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one for one in found if isinstance(one, Found)]


def same_as_one_by_one(model: Model, pose: Pose, count: int = 5, **options: Any) -> None:
    beside, alone = pose(model, count, **options), pose(model, count, **options)

    assert find_together(beside) == [find(problem) for problem in alone]
    assert [p.canonical_runs for p in beside] == [p.canonical_runs for p in alone]


# ----- the answers are those of each picture by itself -----


@pytest.mark.parametrize("preserve", ["top1", "confidence:0.9"])
def test_every_family_and_every_search(zoo, load_here, pose, family, preserve):
    model = load_here(zoo.build(family)[0])

    for question in QUESTIONS:
        same_as_one_by_one(model, pose, preserve=preserve, question=question)


@pytest.mark.parametrize("units", ["cell", "patch"])
@pytest.mark.parametrize("name", ["plain", "hidden", "vit_mean"])
def test_cells_and_patches(zoo, load_here, pose, name, units):
    model = load_here(zoo.build(name)[0], units=units)

    same_as_one_by_one(model, pose, preserve="confidence:0.9")
    assert units == "cell" or model.together is not None


@pytest.mark.parametrize("options", [{"batch": 1}, {"dtype": "float16"}])
def test_fixed_batches_and_other_types(zoo, load_here, pose, options):
    model = load_here(zoo.build(SHARED, **options)[0])

    same_as_one_by_one(model, pose, preserve="confidence:0.9")
    assert model.together is not None


@pytest.mark.parametrize("batch", [2, 3, 64, 100])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_any_batch_and_any_number_of_pictures(zoo, load_here, pose, batch, count, runs):
    model = load_here(zoo.build(SHARED)[0], batch=batch)
    assert model.together is not None
    runs.clear()

    same_as_one_by_one(model, pose, count, question=Question(search="ddmin"))
    assert max(runs) <= batch


@pytest.mark.parametrize("limit", ["threads", "memory"])
def test_more_pictures_than_are_searched_at_once(zoo, load_here, pose, monkeypatch, limit):
    model = load_here(zoo.build(SHARED)[0])
    assert model.together is not None
    problems, score, seen = pose(model, 5), Pictures.score, []
    if limit == "threads":
        monkeypatch.setattr(together_module, "LARGEST", 2)
    else:
        monkeypatch.setitem(BUDGETS, "cpu", 5 * problems[0].raw.nbytes)
    monkeypatch.setattr(Pictures, "score", lambda own, asked: seen.append(max(asked)) or score(own, asked))

    same_as_one_by_one(model, pose, 5, question=UNITS)
    assert max(seen) == 1, "two at a time"


def test_nothing_to_search_is_no_error():
    assert find_together([]) == []


@pytest.mark.parametrize("name", ["squeeze_excite", "convolutional", "vit_mean", "convnext"])
def test_logits_are_those_of_the_pictures_own_head(zoo, load_here, pose, name):
    model = load_here(zoo.build(name)[0], batch=4)
    problems = pose(model, 4)
    bound = model.together.bind([p.prepared for p in problems], [p.raw for p in problems])
    masks = random_masks(model.split.count, 30)
    asked = {3: masks[:7], 0: masks[7:8], 1: masks[8:] * masks[7]}

    found = bound.score(asked)

    assert found.keys() == asked.keys()
    for i, own in asked.items():
        np.testing.assert_allclose(found[i], problems[i].score(own), rtol=1e-4, atol=1e-5)


# ----- what is shared, and what is not -----


@pytest.mark.parametrize("name", ["squeeze_excite", "convolutional", "vit_mean", "convnext"])
def test_masks_of_several_pictures_share_runs(zoo, load_here, pose, runs, name):
    model = load_here(zoo.build(name)[0])
    assert model.together is not None
    problems, alone = pose(model, 6, question=UNITS), pose(model, 6, question=UNITS)
    for problem in [*problems, *alone]:
        assert problem.order is not None
    runs.clear()
    found = find_together(problems)
    shared, masks = len([n for n in runs if n]), sum(runs)
    runs.clear()
    for problem in alone:
        find(problem)

    assert masks == sum(runs), "not one mask more"
    assert shared < len(runs) / 2
    assert sum(one.batches for one in found) > 1


@pytest.mark.parametrize("name", ["plain", "hidden", "vit", "mixer"])
def test_matrices_of_a_picture_are_not_copied_for_each_mask(zoo, load_here, pose, monkeypatch, name):
    model = load_here(zoo.build(name)[0])
    monkeypatch.setattr(Pictures, "score", None)

    same_as_one_by_one(model, pose)


def test_masks_of_few_units_go_through_their_own_graph(zoo, load_here, pose):
    model = load_here(zoo.build(SHARED)[0])
    problems = pose(model, 2)
    bound = model.together.bind([p.prepared for p in problems], [p.raw for p in problems])
    seen: list[str] = []
    for head in (bound.dense, bound.sparse):
        head.run = lambda value, also, head=head: seen.append(head.missing) or Bound.run(head, value, also)
    one, many = np.eye(2, model.split.count, dtype=np.float32), np.ones((2, model.split.count), np.float32)

    bound.score({0: one, 1: many})

    assert sorted(seen) == sorted([MASK, "ddcam_index"])


def test_copies_of_the_features_count_as_memory(zoo, load_here, monkeypatch):
    model = load_here(zoo.build("convnext")[0])
    each = model.probe.size.bytes
    monkeypatch.setitem(pictures_module.ACTIVATIONS, "cpu", each * 40)

    assert model.batch == 64
    assert 1 < model.together.batch < 40


def test_nothing_is_shared_where_a_run_has_room_for_one_mask(zoo, load_here, pose, monkeypatch):
    model = load_here(zoo.build("convnext")[0])
    monkeypatch.setitem(pictures_module.ACTIVATIONS, "cpu", 1)

    assert model.together is None
    same_as_one_by_one(model, pose, 2)


@pytest.mark.parametrize("broken", ["dense", "few"])
def test_graph_that_mixes_up_pictures_is_not_used(zoo, load_here, pose, monkeypatch, broken):
    name = {"dense": "pick_features", "few": "shift_indices"}[broken]
    own = getattr(pictures_module, name)
    model = load_here(zoo.build(SHARED)[0])
    monkeypatch.setattr(pictures_module, name, lambda *given: forget_owners(own(*given)))

    same_as_one_by_one(model, pose, preserve="confidence:0.9")
    assert model.together is None if broken == "dense" else model.together.few is None


def test_graph_in_which_a_batch_matters_is_not_used(zoo, load_here, pose, monkeypatch):
    own = pictures_module.pick_features
    model = load_here(zoo.build(SHARED)[0])
    monkeypatch.setattr(pictures_module, "pick_features", lambda *given: last_of_batch(own(*given)))

    assert model.together is None
    same_as_one_by_one(model, pose, preserve="confidence:0.9")


def forget_owners(graph: bytes) -> bytes:
    """Give every mask to the first picture."""
    return with_owners(graph, [onnx.helper.make_node("Sub", [WHICH, WHICH], ["changed"])])


def last_of_batch(graph: bytes) -> bytes:
    """Give every mask to the last picture of the batch; alone it has its own."""
    last = onnx.helper.make_node("ReduceMax", [WHICH], ["last"], keepdims=1)
    return with_owners(graph, [last, onnx.helper.make_node("Max", ["last", WHICH], ["changed"])])


def with_owners(graph: bytes, nodes: list[onnx.NodeProto]) -> bytes:
    """Let nodes that make "changed" of WHICH come between."""
    model = onnx.load_model_from_string(graph)
    for node in model.graph.node:
        node.input[:] = ["changed" if name == WHICH else name for name in node.input]
    for place, node in enumerate(nodes):
        model.graph.node.insert(place, node)
    return model.SerializeToString()


# ----- what goes wrong -----


def test_error_of_one_search_reaches_its_caller_and_the_others_go_on(zoo, load_here, pose):
    model = load_here(zoo.build(SHARED)[0])
    problems = pose(model, 4, question=UNITS)
    problems[1].judge = failing_after(problems[1].judge, 1)
    problems[2].question = Question(search="bisect")

    found = find_each(problems)

    assert str(found[1]) == "asked too often"
    assert isinstance(found[2], OptionError)
    assert [found[0], found[3]] == [find(problem) for problem in pose(model, 4, question=UNITS)[::3]]


@pytest.mark.parametrize("name", [SHARED, "plain"])
def test_first_error_is_raised(zoo, load_here, pose, name):
    problems = pose(load_here(zoo.build(name)[0]), 4)
    for problem, search in ((problems[3], "third"), (problems[1], "first")):
        problem.question = Question(search=search)

    with pytest.raises(OptionError, match="'first'"):
        find_together(problems)


def failing_after(judge: Callable[..., Any], times: int) -> Callable[..., Any]:
    left = iter([True] * times)

    def judged(masks: np.ndarray, logits: np.ndarray) -> Any:
        if next(left, False):
            return judge(masks, logits)
        raise ValueError("asked too often")

    return judged


def test_run_that_fails_ends_the_searches_that_wait_for_it(zoo, load_here, pose, monkeypatch):
    problems = pose(load_here(zoo.build(SHARED)[0]), 4, question=UNITS)
    assert problems[0].model.together is not None
    problems[0].question = Question(search="bisect")
    monkeypatch.setattr(Pictures, "score", raising(RunError("out of memory")))

    found = find_each(problems)

    assert [type(one) for one in found] == [OptionError, RunError, RunError, RunError]
    assert str(found[3]) == "out of memory"


def test_interruption_ends_every_thread(zoo, load_here, pose, monkeypatch):
    problems = pose(load_here(zoo.build(SHARED)[0]), 4, question=UNITS)
    assert problems[0].model.together is not None
    monkeypatch.setattr(Pictures, "score", raising(KeyboardInterrupt()))
    monkeypatch.setattr(Finder, "find", ending_slowly(Finder.find))

    with pytest.raises(KeyboardInterrupt):
        find_together(problems)


def ending_slowly(find: Callable[..., Any]) -> Callable[..., Any]:
    def found(self: Finder) -> Any:
        try:
            return find(self)
        finally:
            time.sleep(0.1)

    return found


def raising(error: BaseException) -> Callable[..., Any]:
    def score(*given: Any) -> Any:
        raise error

    return score


def test_several_models_are_refused(zoo, load_here, pose):
    first, second = (load_here(zoo.build(name)[0]) for name in ("hidden", SHARED))

    with pytest.raises(OptionError, match="problems of one model, got 2 models"):
        find_together([*pose(first, 1), *pose(second, 1)])


# ----- on a CUDA device -----


@pytest.fixture
def cuda() -> None:
    missing = missing_for_cuda()
    if missing:
        pytest.skip(f"no CUDA here: {missing}")


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
@pytest.mark.parametrize("units", [None, "cell", "patch"])
@pytest.mark.parametrize("name", DEMOS)
@pytest.mark.parametrize("preserve", ["top1", "confidence:0.9"])
def test_subsets_on_cuda_are_those_of_the_cpu(name, units, preserve):
    found = [subsets(load(demo_path(name), units=units, device=device), preserve) for device in ("cpu", "cuda")]

    assert found[0] == found[1]


def subsets(model: Model, preserve: str) -> list[tuple[int, ...]]:
    opened = model.opened
    inputs = [prepare(open_image(path), opened.preprocessing, opened.picture)[0] for path in demo_pictures()]
    problems = [Problem(model, one, preserve=preserve) for one in inputs]
    return [found.subset for found in find_together(problems)]


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_runs_on_cuda_hold_more_than_on_the_cpu(zoo, load_here, pose, runs):
    model = load_here(zoo.build("vit_mean")[0], device="cuda")
    problems = pose(model, 60, question=UNITS)

    found = find_together(problems)

    assert model.batch > 64
    assert max(runs) > 64
    assert [one.subset for one in found] == [find(problem).subset for problem in problems]


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda")
def test_large_batches_on_cuda_change_nothing(zoo, load_here, pose, family):
    model = load_here(zoo.build(family)[0], device="cuda")
    [problem] = pose(model, 1)
    masks = random_masks(problem.units, 1000)

    together = problem.score(masks)

    np.testing.assert_allclose(together[::50], [problem.score_alone(mask > 0) for mask in masks[::50]], atol=1e-4)

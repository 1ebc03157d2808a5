"""Several pictures searched side by side: when all searches wait for answers, their masks go through the head at once.

Every search is the plain function that it is on its own, in a thread of its own. Only one of them thinks at a time, in
the order of the pictures, so that nothing depends on how threads are scheduled.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread

import numpy as np
from numpy.typing import NDArray

from .errors import OptionError, RunError
from .find import Found, find, find_through
from .pictures import Pictures
from .problem import Problem
from .runtime.batching import fit_batch
from .runtime.blas import one_blas_thread
from .types import Floats, Masks

Mask = NDArray[np.bool_]
LARGEST = 256
"""Searches under way at once, each with a thread of its own."""


def find_each(problems: Sequence[Problem]) -> list[Found | Exception]:
    """Find for problems of one model what `find` finds for each, or the error that it raises; the others go on.

    Masks of all pictures share runs of the head where probes select in features; where they multiply by a matrix of
    their picture (a folded attention or product), go through one at a time, or are sums over the contribution
    matrix, each picture is searched by itself. Probes that only order units are its own too, and close calls go to
    the canonical run of their own picture. A limit in seconds counts the time that the others take. Raises
    OptionError for problems of several models. Cost: the probes, and the features of all pictures on the device
    once more.
    """
    models = {id(problem.model) for problem in problems}
    if len(models) > 1:
        raise OptionError(f"expected problems of one model, got {len(models)} models; search those of each together")
    with one_blas_thread():
        return [found for part in sides(problems) for found in find_part(part)]


def sides(problems: Sequence[Problem]) -> Iterator[Sequence[Problem]]:
    """Cut the problems into those that are searched side by side: as many as fit, by their features."""
    if not problems:
        return
    bytes_each = sum(value.nbytes for value in problems[0].prepared.values()) + problems[0].raw.nbytes
    size = fit_batch(bytes_each, problems[0].model.device, most=LARGEST)
    for start in range(0, len(problems), size):
        yield problems[start : start + size]


def find_part(problems: Sequence[Problem]) -> list[Found | Exception]:
    """Search side by side where the model's probes can be shared, else one after the other."""
    model = problems[0].model
    shared = len(problems) > 1 and model.head_class[0] == "interacting"
    together = model.together if shared else None
    if together is None:
        return [attempt(partial(find, problem)) for problem in problems]
    pictures = together.bind([problem.prepared for problem in problems], [problem.raw for problem in problems])
    searches = [Search(problem) for problem in problems]
    try:
        answer_all(searches, pictures)
    finally:
        for search in searches:
            search.stop()
    return [search.result for search in searches]


def attempt(search: Callable[[], Found]) -> Found | Exception:
    try:
        return search()
    except Exception as error:
        return error


def answer_all(searches: Sequence["Search"], pictures: Pictures) -> None:
    """Let every search go on until it asks, answer all that ask in one go, and so on until all have ended."""
    asked = {i: masks for i, search in enumerate(searches) if (masks := search.go_on(None)) is not None}
    while asked:
        answers: Mapping[int, Floats | Exception]
        try:
            answers = pictures.score(asked)
        except RunError as error:
            answers = dict.fromkeys(asked, error)
        asked = {i: masks for i, answer in answers.items() if (masks := searches[i].go_on(answer)) is not None}


class Stopped(BaseException):
    """What a search that is given up is answered, so that its thread ends; like GeneratorExit no error of its own."""


class Search:
    """A search in a thread of its own, which only runs between an answer and the next question.

    `result` is what it found or the error that it raised, once `go_on` has returned None.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.result: Found | Exception = RunError("the search was stopped before its end")
        self._questions: SimpleQueue[Masks | None] = SimpleQueue()
        self._answers: SimpleQueue[Floats | BaseException] = SimpleQueue()
        self._thread = Thread(target=self._run, name="ddcam search", daemon=True)

    def go_on(self, answer: Floats | BaseException | None) -> Masks | None:
        """Hand in logits (or an error to raise in the search; None to start); return the masks that it asks about next.

        None when it has ended.
        """
        if answer is None:
            self._thread.start()
        else:
            self._answers.put(answer)
        return self._questions.get()

    def stop(self) -> None:
        """End the thread, wherever it is."""
        self._answers.put(Stopped())
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self.result = attempt(self._find)
        except Stopped:
            pass
        finally:
            self._questions.put(None)

    def _find(self) -> Found:
        return find_through(self.problem, self._keeps)

    def _keeps(self, masks: Mask) -> Mask:
        self._questions.put(masks.astype(np.float32))
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return self.problem.judge(masks, answer)

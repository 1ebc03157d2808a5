"""Check answers: every search's subset on the unfolded head, and the same subset whatever the batch and the threads.

Usage, with DDCAM_DATA set: python benchmarks/certified.py [--pictures N] [NAME ...] > benchmarks/results/certified.md
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from itertools import product
from typing import Any

from measure import PRESERVE
from search import wanted
from subjects import Subject, machine, real_models

from ddcam.engine import Model
from ddcam.engine.answer import Attribution
from ddcam.engine.errors import PictureError
from ddcam.engine.methods.dd_cam import dd_cam
from ddcam.engine.problem import Problem
from ddcam.engine.search import SEARCHES
from ddcam.engine.types import Question

BATCHES, THREADS = (64, 7, 1), (2, 1)
HEADER = """# Every answer checked

{machine}; made by `python benchmarks/certified.py`. Every classifier of the data folder, {pictures} pictures each,
{preserve}, the searches {searches}. "Sufficient" and "1-minimal" are what the certificate says: the unfolded head
asked about the subset, and about the subset without each of its units, one mask at a time. "Differ" counts explanations
whose subset is not the same for every batch out of {batches} masks and every number of threads out of {threads}.

| model | explanations | sufficient | 1-minimal | of them no unit needed | nothing to preserve | differ |
|---|---|---|---|---|---|---|"""
COLUMNS = ("explanations", "sufficient", "minimal", "empty", "refused", "differ")
Key = tuple[int, str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Check the answers of every search; prints Markdown.")
    parser.add_argument("names", nargs="*", help="only models whose names contain one of these")
    parser.add_argument("--pictures", type=int, default=5, help="pictures a model")
    asked = parser.parse_args()
    print(header(asked.pictures), flush=True)
    total: Counter[str] = Counter()
    for subject in real_models(asked.pictures):
        if wanted(subject.name, asked.names):
            counted = certified(subject)
            total.update(counted)
            print(line(subject.name, counted), flush=True)
    print(line("all", total))


def header(pictures: int) -> str:
    lists = {"searches": SEARCHES, "preserve": PRESERVE, "batches": BATCHES, "threads": THREADS}
    texts = {name: ", ".join(map(str, items)) for name, items in lists.items()}
    return HEADER.format(machine=machine("cpu"), pictures=pictures, **texts)


def line(name: str, counted: Counter[str]) -> str:
    return f"| {name} | {' | '.join(str(counted[column]) for column in COLUMNS)} |"


def certified(subject: Subject) -> Counter[str]:
    """Explain every picture with every search under every predicate, and again with other batches and threads."""
    first, *others = (explained(subject, batch, threads) for batch, threads in product(BATCHES, THREADS))
    counted: Counter[str] = Counter()
    for key, answer in first.items():
        counted.update(verdict(answer))
        counted["differ"] += any(subset_of(other[key]) != subset_of(answer) for other in others)
    return counted


def explained(subject: Subject, batch: int, threads: int) -> dict[Key, Attribution | None]:
    model = subject.load(batch=batch, threads=threads)
    features = [model.features(inputs) for inputs in subject.inputs(model)]
    keys = product(range(len(features)), PRESERVE, SEARCHES)
    return {key: answer(model, features[key[0]], key[1:]) for key in keys}


def answer(model: Model, features: Any, asked: Sequence[str]) -> Attribution | None:
    """Explain one picture; None where the whole model does not satisfy the predicate (two classes tie)."""
    preserve, search = asked
    problem = Problem(model, None, preserve=preserve, question=Question(search=search), features=features)
    try:
        return dd_cam(problem)
    except PictureError:
        return None


def verdict(found: Attribution | None) -> dict[str, int]:
    if found is None:
        return {"refused": 1}
    return {
        "explanations": 1,
        "sufficient": found.certificate.sufficient,
        "minimal": found.certificate.minimal,
        "empty": found.outcome == "empty-suffices",
    }


def subset_of(found: Attribution | None) -> tuple[int, ...] | None:
    return found and found.subset


if __name__ == "__main__":
    main()

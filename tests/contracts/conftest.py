"""How the contracts ask a method: with options that make it cheap, which change nothing of what is checked."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ddcam import open_image
from ddcam.engine import METHODS, Model
from ddcam.engine.answer import Attribution
from ddcam.engine.dataset import Sample
from ddcam.engine.fitted.concepts import write_concepts
from ddcam.engine.fitted.find_concepts import fit_concepts
from ddcam.engine.fitted.find_prototypes import fit_prototypes
from ddcam.engine.fitted.prototypes import write_prototypes
from ddcam.engine.problem import Problem
from ddcam.models import demo_pictures

QUICK = {"samples": 32, "cells": 4, "across": 4, "steps": 20, "channels": 16}


@pytest.fixture(scope="session")
def attribute(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Problem], Attribution]:
    """Ask a method; one that needs a fitted file gets a small one, fitted on the demo pictures."""
    folder = tmp_path_factory.mktemp("fitted")

    def concepts(model: Model, target: int) -> str:
        file = folder / f"concepts-{model.opened.graph.sha256}-{target}.npz"
        if not file.exists():
            write_concepts(fit_concepts(model, samples(), target, rank=3)[0], model, file)
        return str(file)

    def prototypes(model: Model) -> str:
        file = folder / f"prototypes-{model.opened.graph.sha256}.npz"
        if not file.exists():
            write_prototypes(fit_prototypes(model, samples())[0], model, file)
        return str(file)

    def ask(method: str, problem: Problem) -> Attribution:
        known = METHODS[method]
        options: dict[str, object] = {name: value for name, value in QUICK.items() if name in known.options}
        if known.facts.needs == "a concept file":
            options["concepts"] = concepts(problem.model, problem.target)
        if known.facts.needs == "a prototype file":
            options["prototypes"] = prototypes(problem.model)
        return known(problem, **options)

    return ask


def samples() -> list[Sample]:
    return [Sample(Path(path).name, partial(open_image, path)) for path in demo_pictures()]

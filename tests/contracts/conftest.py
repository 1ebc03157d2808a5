"""How the contracts ask a method: with options that make it cheap, which change nothing of what is checked."""

from collections.abc import Callable

import pytest

from ddcam.engine import METHODS
from ddcam.engine.problem import Problem
from ddcam.engine.types import Attribution

QUICK = {"samples": 32, "cells": 4, "across": 4, "steps": 20, "channels": 16}


@pytest.fixture(scope="session")
def attribute() -> Callable[[str, Problem], Attribution]:
    def ask(method: str, problem: Problem) -> Attribution:
        known = METHODS[method]
        return known(problem, **{name: value for name, value in QUICK.items() if name in known.options})

    return ask

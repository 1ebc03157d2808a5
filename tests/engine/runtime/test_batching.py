"""Runs hold as much as the device has room for, and no more."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddcam.engine.runtime.batching import BUDGETS, LARGEST, batches, fit_batch

DEVICES = ("cpu", "cuda")


@pytest.mark.parametrize("device", DEVICES)
@given(st.integers(0, 2**40), st.integers(1, 2**33))
def test_batch_fits_the_budget(device, bytes_per_item, budget):
    size, largest = fit_batch(bytes_per_item, device, budget=budget), LARGEST[device]

    assert 1 <= size <= largest
    assert size == 1 or size * bytes_per_item <= budget
    assert size == largest or (size + 1) * max(1, bytes_per_item) > budget


@pytest.mark.parametrize("device", DEVICES)
@given(bytes_per_item=st.integers(0, 2**40))
def test_budget_is_the_devices_own_by_default(device, bytes_per_item):
    assert fit_batch(bytes_per_item, device) == fit_batch(bytes_per_item, device, budget=BUDGETS[device])


@given(st.integers(0, 2**30), st.integers(1, 5000))
def test_more_than_asked_for_is_never_run_and_memory_can_make_it_less(bytes_per_item, most):
    size = fit_batch(bytes_per_item, "cpu", most=most)

    assert size <= most
    assert size == most or (size + 1) * bytes_per_item > BUDGETS["cpu"]


def test_runs_on_a_gpu_are_larger():
    assert fit_batch(2**20, "cuda") > fit_batch(2**20, "cpu") == 64
    assert fit_batch(1, "cuda") == 1024


@given(st.integers(0, 20), st.integers(1, 25))
def test_batches_are_the_items_in_order(count, size):
    parts = list(batches(np.arange(count), size))

    assert np.concatenate([np.arange(0), *parts]).tolist() == list(range(count))
    assert all(len(part) == size for part in parts[:-1])

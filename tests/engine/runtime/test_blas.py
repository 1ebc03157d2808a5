"""NumPy's products run on one thread where a search asks for it, and on as many as before when it is over."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ddcam.engine.runtime.blas import one_blas_thread


def threads() -> list[int]:
    np.ones((2, 2)) @ np.ones((2, 2))
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.parametrize("before", [1, 2])
def test_the_number_of_threads_comes_back(before: int) -> None:
    with threadpool_limits(before, user_api="blas"):
        held = threads()
        with one_blas_thread():
            assert set(threads()) == {1}
            with one_blas_thread():
                assert set(threads()) == {1}
            assert set(threads()) == {1}

        assert threads() == held == [before] * len(held)


def test_the_number_of_threads_comes_back_after_an_error() -> None:
    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(KeyError), one_blas_thread():
            raise KeyError

        assert set(threads()) == {2}

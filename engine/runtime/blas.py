"""NumPy's own threads, held back: beside ONNX Runtime's they wait for each other.

Measured on 2 cores: a product [64, 60] x [60, 1000] between two runs of a head took 8 ms with both, 0.2 ms on one
thread. One thread also makes sums the same whatever the number of cores.
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[Any]:
    """Return a context in which NumPy's matrix products run on one thread."""
    limit: AbstractContextManager[Any] = controller().limit(limits=1)
    return limit


@cache
def controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")

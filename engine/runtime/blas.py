"""NumPy's own threads, held back: beside ONNX Runtime's they wait for each other.

Measured on 2 cores: a product [64, 60] x [60, 1000] between two runs of a head took 8 ms with both, 0.2 ms on one
thread. One thread also makes sums the same whatever the number of cores.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy's matrix products run on one thread inside of this context.

    The libraries are asked themselves: threadpoolctl's own context describes all of them anew, in twice the time.
    """
    before = [(library, library.get_num_threads()) for library in libraries()]
    for library, _ in before:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in before:
            library.set_num_threads(threads)


@cache
def libraries() -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)

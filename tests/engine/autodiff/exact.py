"""Operators of which onnx 1.23's reference evaluator has a rounded or a wrong implementation, in float64."""

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from scipy import special

Array = NDArray[np.floating]


class Erf(OpRun):
    """The evaluator's rounds to float32."""

    op_domain = ""

    def _run(self, x: Array) -> tuple[Array]:
        return (np.asarray(special.erf(x)),)


class Gelu(OpRun):
    """The evaluator's is a function of its Erf."""

    op_domain = ""

    def _run(self, x: Array, approximate: str) -> tuple[Array]:
        if approximate == "none":
            return (np.asarray(x * special.ndtr(x)),)
        return (np.asarray(x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),)


class LRN(OpRun):
    """The evaluator's counts channels by the batch."""

    op_domain = ""

    def _run(self, x: Array, alpha: float, beta: float, bias: float, size: int) -> tuple[Array]:
        squares = np.zeros_like(x)
        for channel in range(x.shape[1]):
            window = slice(max(0, channel - (size - 1) // 2), channel + size // 2 + 1)
            squares[:, channel] = np.square(x[:, window]).sum(axis=1)
        return (x / (bias + alpha / size * squares) ** beta,)


class LpNormalization(OpRun):
    """The evaluator's takes no absolute values, and axis 0 for the last."""

    op_domain = ""

    def _run(self, x: Array, axis: int, p: int) -> tuple[Array]:
        return (x / np.linalg.norm(x, ord=p, axis=axis, keepdims=True),)


class MeanVarianceNormalization(OpRun):
    """The evaluator's has float32 constants."""

    op_domain = ""

    def _run(self, x: Array, axes: list[int]) -> tuple[Array]:
        over = tuple(axes)
        return ((x - x.mean(over, keepdims=True)) / (x.std(over, keepdims=True) + 1e-9),)


EXACT = [Erf, Gelu, LRN, LpNormalization, MeanVarianceNormalization]

"""A matrix as a product of two that are not negative, by scikit-learn, and the codes of further rows."""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.optimize import nnls

from ..types import Floats

STEPS = 1000
"""Most iterations of the factorisation: at scikit-learn's 200 some fits on real crops had not converged."""


@dataclass(frozen=True)
class Factors:
    """U `[n, r]` (`codes`) and W `[r, K]` (`directions`, of unit length), and what they leave: |A - UW| / |A|."""

    codes: Floats
    directions: Floats
    error: float
    converged: bool


def factorise(rows: Floats, rank: int, seed: int) -> Factors:
    """Factorise rows `[n, K]` that are not negative: least squares, by coordinate descent from an SVD.

    No regularisation. The scale that U and W leave open goes to U. A direction that ends as 0 stays 0.
    """
    from sklearn.decomposition import NMF  # noqa: PLC0415  (slow to import, and only a fit needs it)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged is returned instead
        fit = NMF(rank, init="nndsvda", max_iter=STEPS, random_state=seed)
        found = fit.fit_transform(rows.astype(np.float64))
    lengths = np.linalg.norm(fit.components_, axis=1)
    directions = fit.components_ / np.where(lengths > 0, lengths, 1)[:, None]
    scaled = found * lengths
    error = float(np.linalg.norm(rows - scaled @ directions) / np.linalg.norm(rows))
    return Factors(scaled.astype(np.float32), directions.astype(np.float32), error, fit.n_iter_ < STEPS)


def codes(rows: Floats, directions: Floats) -> Floats:
    """Return U >= 0 `[n, r]` that brings U W closest to rows `[n, K]`, W the directions `[r, K]`.

    W^T = QR, and |W^T u - a| differs from |R u - Q^T a| by what no u can change: r numbers a row instead of K.
    """
    q, r = qr(directions.T.astype(np.float64), mode="economic")
    return np.array([nnls(r, row)[0] for row in rows.astype(np.float64) @ q])

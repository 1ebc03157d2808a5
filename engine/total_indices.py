"""Total Sobol indices: the share of a score's variance that each of several numbers has a part in."""

import numpy as np

from .errors import OptionError
from .types import Floats


def require_samples(samples: int) -> None:
    """Raise OptionError for what is no length of a Sobol sequence."""
    if samples < 2 or samples & (samples - 1):
        raise OptionError(f"expected samples that are a power of 2, got {samples}")


def design(samples: int, count: int, seed: int) -> Floats:
    """Return A, and A with each column in turn from B: `[(count + 1) samples, count]`.

    A and B are the halves of `samples` points of a scrambled Sobol sequence in [0, 1]^(2 count).
    """
    from scipy.stats import qmc  # noqa: PLC0415  (slow to import, and only few methods need it)

    points = qmc.Sobol(2 * count, scramble=True, seed=seed).random(samples).astype(np.float32)
    first, second = points[:, :count], points[:, count:]
    mixed = np.repeat(first[None], count, axis=0)
    mixed[np.arange(count), :, np.arange(count)] = second.T
    return np.concatenate([first, mixed.reshape(-1, count)])


def total_indices(plain: Floats, mixed: Floats) -> Floats:
    """Return Jansen's estimates `[d]` of f(A) `[N]` and f(C) `[d, N]`; 0 where f(A) is constant."""
    variance = plain.var()
    if not variance > 0:
        return np.zeros(len(mixed))
    return np.asarray(((plain - mixed) ** 2).mean(axis=1) / (2 * variance))

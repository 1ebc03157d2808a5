"""FEM (Fuad et al., 2020): where channels are excited unusually, weighted by how much they are excited at all."""

import numpy as np

from ..answer import Attribution
from ..errors import OptionError
from ..problem import Problem
from .registry import Facts, from_map, method


@method("fem", Facts("cam", "features", "1 forward", "Fuad et al., IPTA 2020", sees_class="no"))
def fem(problem: Problem, *, sigmas: float = 2.0, form: str = "masks") -> Attribution:
    """Add up the outstanding cells of the channels: M = sum_k m_k B_k, B_k,ij = [F_k,ij > m_k + 2 s_k].

    m_k and s_k are a channel's mean and standard deviation over its positions, `sigmas` how far from the mean begins
    what is outstanding. So xplique, after the paper; `form=features` is pytorch-grad-cam's, sum_k mean(B_k) F_k, which
    is smoother. Does not depend on the class.

    Cost: one forward.
    Source: Fuad et al., IPTA 2020.
    """
    if form not in ("masks", "features"):
        raise OptionError(f"expected form=masks or form=features, got {form!r}")
    maps = problem.maps.astype(np.float64)
    means = maps.mean(axis=(1, 2))
    outstanding = maps > (means + sigmas * maps.std(axis=(1, 2)))[:, None, None]
    if form == "masks":
        return from_map("fem", np.tensordot(means, outstanding, axes=1))
    return from_map("fem", np.tensordot(outstanding.mean(axis=(1, 2)), maps, axes=1))

"""EPIC (Borycki et al., 2025): the channels that add most to the class, each beside its prototypes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..answer import Attribution, Part
from ..errors import OptionError
from ..fitted.pooled import SAME, foretold, require_pooling
from ..fitted.prototypes import KIND, Prototypes, open_prototypes
from ..problem import Problem
from ..types import Floats
from .registry import Facts, from_map, method


@method("epic", Facts("concept", "a prototype file", "1 forward", "arXiv:2505.12897"))
def epic(problem: Problem, *, prototypes: str = "", channels: int = 4) -> Attribution:
    """Lay the channels that add most to the class over the picture: M = sum_c w_c ReLU(Z_c), Z = U F.

    Channels c go by w_c ReLU(mean Z_c), w = W_k U^T, of which the `channels` largest that are above 0 are taken. U is
    orthogonal and, with `ddcam prototypes --steps N`, turned so that channels are purer; W U^T and U F give the
    model's logits, which is checked on each picture. The paper shows the channels one by one beside their
    prototypes, as `parts` do here; the sum is ours. For heads that are pooling and one matrix; others are refused.

    Cost: one forward. Raises OptionError for another head and where no file is given, FittedFileError where it is of
    another model or its matrix does not give the logits.
    Source: arXiv:2505.12897.
    """
    require_pooling(problem.model)
    if not prototypes or channels < 1:
        raise OptionError(REFUSAL if not prototypes else f"expected channels of 1 or more, got {channels}")
    known = open_prototypes(Path(prototypes), problem.model)
    turned = known.channels(problem.maps)
    if not (error := foretold(known.head, turned, problem.logits)) <= SAME:
        KIND.refuse(Path(prototypes), f"does not give the model's logits (off by {error:.1g})")
    weights = known.head.weights[problem.target]
    positive = np.maximum(turned, 0)
    added = weights * np.maximum(turned.mean(axis=(1, 2)), 0)
    order = np.argsort(-added, kind="stable")[:channels]
    best = [int(c) for c in order if added[c] > 0]
    found = np.tensordot(weights[best], positive[best], axes=1)
    share = f"{added[best].sum():.3g} to a logit of {problem.logits[problem.target]:.3g}"
    text = f"{len(best)} of {len(added)} channels, which add {share}"
    attribution = from_map("epic", found, text)
    return replace(attribution, parts=parts(known, positive, added, best, problem.split.grid))


REFUSAL = (
    f"epic needs prototypes: find them with ddcam {KIND.command}, and give that file as --method epic:prototypes=FILE"
)


def parts(
    known: Prototypes, positive: Floats, added: Floats, best: list[int], grid: tuple[int, int]
) -> tuple[Part, ...]:
    return tuple(
        Part(
            f"channel {c} adds {added[c]:.2f}; purity {known.purity[c].mean():.2f} in its prototypes",
            positive[c].astype(np.float32),
            known.examples(c, grid),
        )
        for c in best
    )

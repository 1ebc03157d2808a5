"""Propagation on real models: what a map must sum to, it sums to."""

from typing import Any

import numpy as np
import pytest

from ddcam import Explanation, explain, load

pytestmark = pytest.mark.data
COMPLETE = ("mobilenetv2_torch", "mobilenetv3small_keras", "resnet20", "vit_pgd")


def explained(entries: list[dict[str, Any]], name: str, method: str) -> Explanation:
    [entry] = [e for e in entries if name in e["name"]]
    return explain(load(entry["file"], preprocessing=entry["preset"]), entry["pictures"][0], method=method)


@pytest.mark.parametrize("name", COMPLETE)
def test_deeplift_explains_the_whole_change_of_the_logit(entries: list[dict[str, Any]], name: str) -> None:
    found = explained(entries, name, "deeplift")

    assert found.attribution.weighting.endswith("(gap 0.00%)")
    assert found.warnings == ()


def test_relevance_that_biases_kept_is_warned_of(entries: list[dict[str, Any]]) -> None:
    [warning] = explained(entries, "mobilenetv2_torch", "lrp").warnings
    kept = explained(entries, "squeezenet1.1_nchw", "lrp")

    assert "biases" in warning
    assert kept.warnings == ()
    assert kept.attribution.scores.sum() > 0.5 * kept.target.logit


def test_rollout_of_a_real_transformer_keeps_all_attention(entries: list[dict[str, Any]]) -> None:
    found = explained(entries, "vit_pgd", "attention-rollout").attribution.scores
    seen = explained(entries, "vit_pgd", "attention-relevance").attribution.scores

    assert found.shape == seen.shape == (2, 2)
    assert 0.5 < found.sum() < 1  # the rest stays with the class token
    assert (seen >= 0).all()
    assert np.ptp(seen) > 0

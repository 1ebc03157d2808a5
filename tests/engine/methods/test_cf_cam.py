"""CF-CAM against the authors' steps written plainly, and how little the published weights see of the class."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from ddcam.engine.errors import OptionError
from ddcam.engine.methods import method_named


def plainly(features: np.ndarray, gradients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Follow the paper channel by channel; return which channels are kept and all weights."""
    rows = features.reshape(len(features), -1)
    norms = np.sqrt((rows**2).sum(1))
    strong = norms >= np.percentile(norms, 75)
    rest = np.flatnonzero(~strong)
    apart = np.sqrt(((rows[rest][:, None] - rows[rest][None]) ** 2).sum(2))
    radius = max(np.percentile(apart[~np.eye(len(rest), dtype=bool)], 25), 1e-5)
    labels = DBSCAN(eps=radius, min_samples=max(2, int(len(rest) * 0.05))).fit_predict(rows[rest])
    weights, kept = np.zeros(len(features)), strong.copy()
    weights[strong] = gradients[strong].mean((1, 2))
    for label in set(labels) - {-1}:
        members = rest[labels == label]
        weights[members], kept[members] = filtered(gradients[members].mean(0)).mean(), True
    return kept, weights


def filtered(g: np.ndarray) -> np.ndarray:
    height, width = g.shape
    kernel = np.zeros(g.shape)
    for i, j in np.ndindex(height, width):
        far = (i - height / 2) ** 2 + (j - width / 2) ** 2
        kernel[i, j] = np.exp(-far / 50) * np.exp(-((g[i, j] - g.mean()) ** 2) / 0.02)
    kernel /= kernel.sum() + 1e-6
    out = np.zeros(g.shape)
    for i, j, a, b in np.ndindex(height, width, height, width):
        y, x = i + a - (height - 1) // 2, j + b - (width - 1) // 2  # as PyTorch pads an even kernel
        if 0 <= y < height and 0 <= x < width:
            out[i, j] += kernel[a, b] * g[y, x]
    return out


@pytest.mark.parametrize("demo", ["cnn_additive", "cnn_interacting", "vit"])
@pytest.mark.parametrize("weighting", ["softmax", "linear", "softmax_z"])
def test_it_follows_the_published_steps(demo: str, weighting: str, pose, layer_of) -> None:
    problem = pose(demo)
    features, gradients = layer_of(problem)
    kept, weights = plainly(features, gradients)
    w = weights[kept]
    if weighting == "softmax_z":
        w = (w - w.mean()) / w.std()
    if weighting != "linear":
        w = np.exp(w) / np.exp(w).sum()
    expected = np.maximum(0, np.tensordot(w, features[kept], 1))

    assert 0.25 < kept.mean() <= 1
    found = method_named(f"cf-cam:weighting={weighting}")(problem)
    np.testing.assert_allclose(found.scores, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("demo", ["cnn_additive", "cnn_interacting"])
def test_published_weights_hardly_see_the_class_and_linear_ones_do(demo: str, pose) -> None:
    def alike(weighting: str) -> float:
        maps = [method_named(f"cf-cam:weighting={weighting}")(pose(demo, 0, target)).scores for target in "38"]
        return float(np.corrcoef(*(m.ravel() for m in maps))[0, 1])

    assert alike("softmax") > 0.99
    assert alike("linear") < 0.9


def test_a_weighting_that_is_not_there_is_refused(pose) -> None:
    with pytest.raises(OptionError, match="softmax, linear, softmax_z"):
        method_named("cf-cam:weighting=hard")(pose("cnn_additive"))

"""Smooth Grad-CAM++ (Omeiza et al., 2019): Grad-CAM++ with derivatives averaged over noisy pictures."""

import numpy as np

from ..answer import Attribution
from ..graph.build import TINY
from ..problem import Problem
from .arrays import features_and_gradients
from .registry import Facts, from_map, method


@method(
    "smooth-grad-cam++",
    Facts("cam", "the whole model", "samples + 1 forwards, samples + 1 backwards of the head", "arXiv:1908.01224"),
)
def smooth_grad_cam_plusplus(problem: Problem, *, samples: int = 25, sigma: float = 0.15, seed: int = 0) -> Attribution:
    """Weight channels as Grad-CAM++ does, by derivatives averaged over `samples` noisy pictures: ReLU(sum_k w_k F_k).

    w_k = sum_ij a_k,ij ReLU(D1_k,ij), a = D2 / (2 D2 + S_k D3); Dp is the mean of g^p over the noisy pictures, F and
    S_k = sum_ij F_k,ij those of the picture itself. `sigma` is the noise as a share of the picture's range. One sample
    without noise is Grad-CAM++. torch-cam takes ReLU and features of the last sample, 4 samples and sigma 0.3 absolute.
    Cost: samples + 1 forward passes, and as many backward passes of the head, in batches.
    Source: arXiv:1908.01224.
    """
    picture = problem.picture.astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, sigma * np.ptp(picture), (samples, *picture.shape[1:]))
    pictures = np.concatenate([picture, picture + noise])
    features, gradients = features_and_gradients(problem, "smooth-grad-cam++", pictures, where="through")
    f, g = features[0], gradients[1:].astype(np.float64)
    first, second, third = (np.mean(g**power, axis=0) for power in (1, 2, 3))
    rate = third / np.where(second > 0, second, 1)
    bend = 2 + f.sum((1, 2), keepdims=True) * rate
    weights = (np.maximum(first, 0) / np.where(np.abs(bend) > TINY, bend, 1)).sum((1, 2))
    return from_map("smooth-grad-cam++", np.maximum(0, np.tensordot(weights, f, 1)))

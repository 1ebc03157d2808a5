"""torchvision beside torch without CUDA, for which there is no build: two operators are missing that nothing calls."""

import pytest


def require_torchvision() -> None:
    """Make torchvision importable for the peers that import it, or skip where it is not installed."""
    torch = pytest.importorskip("torch")
    try:
        pytest.importorskip("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        KEPT.append(library)


KEPT: list[object] = []
"""What was declared goes with its library."""

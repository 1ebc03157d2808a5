"""The demo models and pictures that come with ddcam, and the catalogue of others that can be pulled.

`train_digits.py` made the demo models, `digits.json` tells how; `zoo.toml` is the catalogue.
"""

from pathlib import Path

from ..engine.errors import OptionError
from .cache import model_path

__all__ = ["DEMOS", "demo_path", "demo_pictures", "model_path"]

DEMOS = {
    "digits_cnn_additive": "digits_cnn_additive.onnx",  # 64 channels, pooling, one linear layer; logits
    "digits_cnn_interacting": "digits_cnn_interacting.onnx",  # 32 channels, two linear layers; softmax inside
    "digits_vit": "digits_vit.onnx",  # 64 patch tokens and a class token, three blocks; logits
}


def demo_path(name: str) -> Path:
    """Return the .onnx file of a demo model; OptionError when there is none of that name."""
    if name not in DEMOS:
        raise OptionError(f"no demo model is called {name!r}; there are {', '.join(DEMOS)}")
    return Path(__file__).parent / DEMOS[name]


def demo_pictures() -> list[Path]:
    """Return the demo pictures, 256 x 256, grey: held-out digits that every demo model reads rightly."""
    return sorted((Path(__file__).parent / "pictures").glob("*.png"))

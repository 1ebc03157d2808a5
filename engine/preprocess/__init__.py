"""Pixels to model input, and back to where in the picture the model looked."""

from .choice import choose
from .config import find_config
from .prepare import as_rgb, from_pixels, prepare
from .values import PRESETS

__all__ = ["PRESETS", "as_rgb", "choose", "find_config", "from_pixels", "prepare"]

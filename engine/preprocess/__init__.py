"""Pixels to model input, and back to where in the picture the model looked."""

from .arrays import arranged, sample_arrays
from .choice import choose
from .config import find_config
from .prepare import as_rgb, from_array, from_pixels, prepare
from .values import PRESETS

__all__ = [
    "PRESETS",
    "arranged",
    "as_rgb",
    "choose",
    "find_config",
    "from_array",
    "from_pixels",
    "prepare",
    "sample_arrays",
]

"""Colour maps, overlays and the files that people look at."""

from .colormap import COLORMAPS, colorize
from .overlay import needed, overlay
from .panel import panel
from .png import from_map, png_bytes

__all__ = ["COLORMAPS", "colorize", "from_map", "needed", "overlay", "panel", "png_bytes"]

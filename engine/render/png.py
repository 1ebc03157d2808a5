"""Pixels and maps as PNG files."""

from io import BytesIO

from PIL import Image

from ..types import Floats, Pixels
from .colormap import levels

COMPRESSION = 1
"""A 12-megapixel overlay of photographs: 0.8 s and 22.1 MB at level 1, 1.0 s and 21.7 MB at 3, 2.2 s and
20.7 MB at 6."""


def png_bytes(pixels: Pixels) -> bytes:
    """Encode `[H, W, 3]` (colour) or `[H, W]` (grey) as a PNG file."""
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=COMPRESSION)
    return stream.getvalue()


def from_map(saliency: Floats) -> Pixels:
    """Round a saliency map in 0..1 to grey pixels `[H, W]`: black for 0, white for 1."""
    return levels(saliency)

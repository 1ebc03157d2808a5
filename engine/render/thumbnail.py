"""Small overlays for a page that shows many."""

from io import BytesIO

import numpy as np
from PIL import Image

from ..types import Floats, Pixels
from .overlay import overlay

SIDE, QUALITY = 160, 80


def thumbnail(pixels: Pixels, saliency: Floats | None = None) -> bytes:
    """Encode a picture of at most 160 pixels a side as JPEG, with a map laid over it where there is one.

    pixels `[H, W, 3]`, saliency `[H, W]` in 0..1.
    """
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    kind = Image.Resampling.NEAREST if scale >= 3 else Image.Resampling.LANCZOS  # of a digit, the very pixels
    small = np.asarray(Image.fromarray(pixels).resize(size, kind, reducing_gap=3))
    if saliency is not None:
        values = Image.fromarray(saliency.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        small = overlay(small, np.asarray(values))
    stream = BytesIO()
    Image.fromarray(small).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()

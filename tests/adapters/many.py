"""Small pictures that differ, as many as wanted."""

from pathlib import Path

import numpy as np
from PIL import Image

from ddcam.models import demo_pictures


def many_pictures(folder: Path, count: int) -> None:
    """Write pictures 000.png, 001.png, ... of 32 x 32 pixels: the demo's digits, moved a little."""
    moves = np.random.default_rng(0)
    digits = [np.asarray(Image.open(path).convert("L").resize((32, 32))) for path in demo_pictures()]
    for i in range(count):
        moved = np.roll(digits[i % len(digits)], moves.integers(-3, 4, 2), (0, 1))
        Image.fromarray(moved).save(folder / f"{i:03d}.png")

"""Makes pictures small, and finds blank ones."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

__all__ = ["check", "shrink"]

COLOURS = 96
MOST_OF_ONE = 0.995  # of a picture's pixels may have one colour; else it is blank


def shrink(data: bytes, to: Path) -> None:
    """Keep a picture as PNG in few colours. Ends with one line where it shows nothing."""
    with Image.open(io.BytesIO(data)) as image:
        plain = image.convert("RGB")
    few = plain.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(to, optimize=True)
    check(to)


def check(path: Path) -> None:
    """End with one line where a picture shows nothing."""
    with Image.open(path) as image:
        plain = image.convert("RGB")
    counts = plain.getcolors(plain.width * plain.height) or []
    most = max(count for count, _ in counts)
    if most > MOST_OF_ONE * plain.width * plain.height:
        raise SystemExit(f"tour: the picture {path.name} is blank")

"""How much a picture may ask of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds checked before any pixel is decoded.

    Attributes:
        max_bytes: largest file; the default is above what messengers let through.
        max_pixels: largest width x height. The default is Pillow's own line (1 GiB / 4 / 3 pixels): at three
            bytes a pixel a picture never takes more than a quarter of a gibibyte. Pillow itself refuses pictures of
            more than twice its line, whatever is set here.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 1024**3 // 4 // 3

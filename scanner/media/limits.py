"""How much media may ask of us."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds checked before any pixel is decoded.

    Attributes:
        max_bytes: largest file; the default is above what messengers let through.
        max_pixels: largest width x height of what is decoded; a JPEG that is decoded scaled down counts as what it is
            scaled to. The default is Pillow's own line (1 GiB / 4 / 3 pixels): three bytes for each are a quarter of a
            gibibyte, and formats that are converted or composited take up to seven times that while they are decoded.
            In the caller's process Pillow refuses pictures of more than twice its line, whatever is set here.
        max_frames: frames of an animation or video that are hashed; of a video with more seconds, evenly spread ones.
        max_total_pixels: pixels of all frames of an animation or of all pages together; the first frame is always
            decoded.
    """

    max_bytes: int = 256 * 1024 * 1024
    max_pixels: int = 1024**3 // 4 // 3
    max_frames: int = 256
    max_total_pixels: int = 1024**3 // 4

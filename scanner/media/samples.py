"""A small file of every format that can be read here, so that decoding them loads every decoder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

from scanner.media import formats
from scanner.media.decode import FAST_SHORT_SIDE

_KINDS = ("audio", "subtitles", "video")
_SMALL = (96, 80)
_SCALED = (2 * FAST_SHORT_SIDE, 2 * FAST_SHORT_SIDE)


def samples() -> Iterator[bytes]:
    """Make the files: grey and in colour, and a JPEG large enough to be decoded scaled."""
    from PIL import Image

    for module in ("av", *(f"av.{kind}.{part}" for kind in _KINDS for part in ("codeccontext", "stream"))):
        with suppress(ImportError):
            import_module(module)  # what PyAV loads no sooner than a file is opened
    for name in formats.available():
        for size, mode in ((_SMALL, "RGB"), (_SMALL, "L"), *([(_SCALED, "RGB")] if name == "JPEG" else [])):
            out = io.BytesIO()
            Image.new(mode, size, 128).save(out, name)
            yield out.getvalue()


def leave_bombs_to_limits() -> None:
    """Switch off Pillow's own bound on pixels, for this whole process: the limits of each call are checked instead."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None

"""What a picture file is and looks like, measured once, from its bytes.

Rules: a file is decoded to its last pixel or refused, so that no list names one that can't be hashed; the measures are
of pixels as stored, never of a name.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.accuracy.alterations import as_rgb
from scanner.errors import ArgumentError, MediaError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".tga"})
"""Of files that are taken for pictures."""

LARGEST_FILE = 64 << 20
MOST_PIXELS = 80_000_000
"""Above, a picture costs more memory than eight workers may take on a small machine."""

WINDOW = 512
"""Longest side, in pixels, of the middle part that is looked at: enough to tell, and quick."""

EXIF_MAKE, EXIF_MODEL = 0x010F, 0x0110


@dataclass(frozen=True, slots=True)
class Look:
    """A picture's own measures.

    Attributes:
        sha256: of the file, in hex.
        width, height, mode: as stored.
        camera: a camera's name is in its EXIF.
        alpha: share of pixels that are not opaque.
        flat: share of neighbours along a row that differ by one grey level at most.
        colours: different colours of 5 bits a channel.
        pale: share of pixels that are nearly white.
    """

    sha256: str
    width: int
    height: int
    mode: str
    camera: bool
    alpha: float
    flat: float
    colours: int
    pale: float


def look_at(path: Path, smallest_side: int = 1) -> Look:
    """Decode a file and measure it.

    Args:
        path: the file.
        smallest_side: pixels that the shorter side has at least.

    Raises:
        ArgumentError: it is no picture, damaged, too small, or too large; the message says which.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ArgumentError(f"over {LARGEST_FILE >> 20} MiB")
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, and about sizes that are checked here
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise ArgumentError(f"over {MOST_PIXELS // 10**6} million pixels")
                if min(image.size) < smallest_side:
                    raise ArgumentError(f"a side under {smallest_side} pixels")
                image.load()
                return _measured(image, hashlib.sha256(data).hexdigest())
    except ArgumentError:
        raise
    except (MediaError, Image.DecompressionBombError) as error:
        raise ArgumentError(f"not to be decoded: {error}") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, MemoryError) as error:
        raise ArgumentError(f"no picture, or damaged: {error}") from None  # as Pillow's readers fail


def _measured(image: Image.Image, sha256: str) -> Look:
    exif = image.getexif()
    middle = _middle(image)
    alpha = np.asarray(middle.convert("RGBA"))[..., 3] if middle.has_transparency_data else np.full((1, 1), 255)
    levels = np.asarray(as_rgb(middle)).transpose(2, 0, 1).astype(np.int16, order="C")  # a plane a channel
    steps = np.abs(np.diff(levels)).max(axis=0) if levels.shape[2] > 1 else np.zeros((1, 1))
    red, green, blue = levels >> 3
    reduced = red << 10 | green << 5 | blue
    return Look(
        sha256,
        image.width,
        image.height,
        image.mode,
        camera=bool(str(exif.get(EXIF_MAKE, "")).strip("\0 ") or str(exif.get(EXIF_MODEL, "")).strip("\0 ")),
        alpha=float((alpha < 255).mean()),
        flat=float((steps <= 1).mean()),
        colours=int(np.count_nonzero(np.bincount(reduced.ravel()))),
        pale=float((levels.min(axis=0) >= 240).mean()),
    )


def _middle(image: Image.Image) -> Image.Image:
    """Cut out the middle, at the stored size: measures of neighbours mean nothing after scaling."""
    width, height = min(image.width, WINDOW), min(image.height, WINDOW)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))

"""Encoded bytes to upright 8-bit pixels: the first frame of a picture.

Rules:
1. Size is checked from the header, before a pixel is decoded; only formats on the allowlist are tried.
2. Whatever the decoder raises leaves here as MediaError; hostile bytes can make a decoder raise anything.
3. Pixels are upright (EXIF orientation applied), 8 bits, grey (H, W) or RGB (H, W, 3), C-contiguous.
4. Every mode comes to RGB or grey by a stated rule (scanner.media.modes), never by reinterpreting channels.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from scanner.errors import MediaError, MediaFault
from scanner.media import formats
from scanner.media.limits import Limits
from scanner.media.source import Source, read_source

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

FAST_SHORT_SIDE = 512
"""Scaled JPEG decoding keeps at least this many pixels on the short side; how it was chosen: README, Which pixels are
hashed."""

_JPEGS = frozenset({"JPEG", "MPO"})
_ORIENTATION = 0x0112  # EXIF's number
_ROWS_TURNED = frozenset({3, 4, 7, 8})  # orientations after which the first row was the stored picture's last
_COLUMNS_TURNED = frozenset({2, 3, 6, 7})
_SIDES_SWAPPED = frozenset({5, 6, 7, 8})


class Accuracy(StrEnum):
    """How a JPEG is decoded; other formats are always decoded whole.

    ``REFERENCE``: full size, RGB: the pixels other PDQ tools hash. For building hash sets.
    ``LUMA``: full size, luma only.
    ``FAST``: luma only, scaled down by the decoder to no less than :data:`FAST_SHORT_SIDE`. For scanning.
    """

    REFERENCE = "reference"
    LUMA = "luma"
    FAST = "fast"


class Scale(NamedTuple):
    """What the pixels of a scaled decode stand for.

    Attributes:
        height, width: the picture's stored size, upright.
        block: stored pixels along a side that one pixel is the mean of.
        before: rows and columns by which the first blocks reach over the picture's edge; 0 unless it was turned.
    """

    height: int
    width: int
    block: int
    before: tuple[int, int]


class Picture(NamedTuple):
    """A decoded picture.

    Attributes:
        pixels: uint8, ``(H, W)`` grey or ``(H, W, 3)`` RGB, upright, C-contiguous.
        format: Pillow's name of the format, such as ``"JPEG"``.
        width, height: upright size as stored, before any scaled decode.
        scale: of a scaled decode; None if every stored pixel is there.
    """

    pixels: Pixels
    format: str
    width: int
    height: int
    scale: Scale | None = None


def decode(source: Source, *, accuracy: Accuracy = Accuracy.REFERENCE, limits: Limits | None = None) -> Picture:
    """Decode the first frame of a picture.

    Args:
        source: bytes, a path, or a binary file.
        accuracy: how a JPEG is decoded.
        limits: bounds on bytes and pixels; the defaults of :class:`Limits` if left out.

    Raises:
        MediaError: with ``fault`` saying whether the source was unreadable, no picture, an unsupported
            kind, damaged (truncated included), or too large (decompression bombs included).
    """
    bounds = limits or Limits()
    data = read_source(source, bounds.max_bytes)
    with opened(data, bounds) as image:
        return decode_frame(image, accuracy, bounds)


@contextmanager
def opened(data: bytes, bounds: Limits) -> Iterator[Image.Image]:
    """Open a picture without decoding it; whatever is raised inside comes out as MediaError."""
    from PIL import Image, UnidentifiedImageError

    try:
        formats.load_for(data)
        formats.check_parts(data, bounds.max_pixels)
        with Image.open(io.BytesIO(data), formats=formats.allowed()) as image:
            if image.format in _JPEGS:
                formats.check_scans(data, image.size[0] * image.size[1], bounds.max_pixels, bounds.max_total_pixels)
            yield image
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise formats.refusal(data) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(bounds) from None
    except Exception as error:
        raise MediaError(MediaFault.DAMAGED, f"the picture is damaged or cut short ({type(error).__name__})") from error


def decode_frame(image: Image.Image, accuracy: Accuracy, bounds: Limits) -> Picture:
    """Decode the frame an opened picture stands at.

    Raises:
        MediaError: it is too large or changes size; besides, whatever Pillow raises.
    """
    from PIL import ImageOps

    from scanner.media.modes import flatten

    width, height = image.size
    kind = "JPEG" if image.format == "MPO" else image.format or "?"
    block = _draft(image, accuracy)
    if image.size[0] * image.size[1] > bounds.max_pixels:
        raise _too_large(bounds, width * height)
    stored = _raw_mode(image)
    size = image.size
    image.load()
    orientation = _orientation(image)
    upright = image if orientation == 1 else ImageOps.exif_transpose(image)
    if upright.size[0] * upright.size[1] != size[0] * size[1]:
        raise MediaError(MediaFault.DAMAGED, "the picture changed size while it was turned upright")
    if orientation in _SIDES_SWAPPED:
        width, height = height, width
    pixels = np.ascontiguousarray(np.asarray(flatten(upright, stored)))
    scale = None
    if block > 1:
        over = (pixels.shape[0] * block - height, pixels.shape[1] * block - width)
        turned = (orientation in _ROWS_TURNED, orientation in _COLUMNS_TURNED)
        scale = Scale(height, width, block, (over[0] * turned[0], over[1] * turned[1]))
    return Picture(pixels, kind, width, height, scale)


def _draft(image: Image.Image, accuracy: Accuracy) -> int:
    """Ask a JPEG's decoder for less; returns the stored pixels along a side that one decoded pixel stands for."""
    if accuracy is Accuracy.REFERENCE or image.format not in _JPEGS or image.mode not in {"RGB", "L"}:
        return 1
    width, height = image.size
    image.draft("L", (FAST_SHORT_SIDE, FAST_SHORT_SIDE) if accuracy is Accuracy.FAST else (width, height))
    for block in (2, 4, 8):
        if image.size == (-(-width // block), -(-height // block)) != (width, height):
            return block
    return 1


def _orientation(image: Image.Image) -> int:
    orientation = image.getexif().get(_ORIENTATION)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _too_large(bounds: Limits, pixels: int | None = None) -> MediaError:
    has = f"{pixels:,} pixels" if pixels else "more pixels than may be decoded"
    return MediaError(MediaFault.TOO_LARGE, f"the picture has {has}; the limit is {bounds.max_pixels:,} pixels")


def _raw_mode(image: Image.Image) -> str:
    """How pixels are stored in the file, where the format's reader says so in the way PNG's does."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0][3] if tiles else None
    return arguments if isinstance(arguments, str) else ""

"""How alike two pictures are on their pixels, at any of eight turns and mirrorings.

Rules: every picture is brought to one small grey square of one mean and spread, so that size, proportions, colour,
exposure, contrast and encoding don't count; turns are numbered as PDQ's own; a background in which nothing happens says
nothing. Plain pictures of whatever colour are therefore alike.

The measure is structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004), each window weighted by the variance it
has in both pictures together (as Wang and Li 2011 weigh by content).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.accuracy.alterations import as_rgb
from scanner.errors import ArgumentError, MediaError
from scanner.hashing import pdq_dihedral

Codes = npt.NDArray[np.uint8]
Thumbs = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
_Pixels = TypeVar("_Pixels", bound=npt.NDArray[Any])

SIDE = 32
"""Of a thumbnail: a shift by 2 % of the picture is under a pixel, so slight crops still lie on each other."""

WINDOW = 8
STEP = 4
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""As published, for 8 bits."""

SPREAD = 50.0
"""Standard deviation that every thumbnail is brought to, in grey levels: that of an ordinary photograph."""

MOST_STRETCH = 5.0
"""A thumbnail that spreads over less than 10 grey levels is nearly plain: stretched on, its noise would be compared."""

TURNS = 8
DHASH_SIDE = 16
_HASHED_SIDE = 256  # before the eight turns are hashed
_BLOCK = 20_000


class Print(NamedTuple):
    """What is compared of a picture.

    Attributes:
        dhash, pdq: of its eight turns, the picture itself first; shape ``(8, 32)``, uint8.
        thumb: grey; shape ``(32, 32)``, uint8.
    """

    dhash: Codes
    pdq: Codes
    thumb: Thumbs


def print_of(root: str, path: str, sha256: str) -> Print:
    """Read a picture and make what is compared of it.

    Args:
        root: folder that the path is relative to.
        path: of the file.
        sha256: of the file as it was listed, in hex.

    Raises:
        ArgumentError: it can't be read, or is another file by now.
    """
    try:
        data = Path(root, path).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise ArgumentError(f"{path} was changed since it was listed; list the corpus again")
        with Image.open(io.BytesIO(data)) as image:
            image.draft("RGB", (2 * _HASHED_SIDE, 2 * _HASHED_SIDE))  # a JPEG need not be decoded larger
            grey = as_rgb(image).convert("L")
    except (OSError, SyntaxError, MediaError) as error:
        raise ArgumentError(f"{path} can't be read any more: {error}") from error
    square = grey.resize((_HASHED_SIDE, _HASHED_SIDE), Image.Resampling.BOX)
    pixels = np.asarray(square)
    dhash = np.stack([_dhash(turned(pixels, turn)) for turn in range(TURNS)])
    pdq = np.stack([np.frombuffer(code, np.uint8) for code in pdq_dihedral(pixels)[0]])
    return Print(dhash, pdq, np.asarray(square.resize((SIDE, SIDE), Image.Resampling.BOX)))


def turned(pixels: _Pixels, turn: int) -> _Pixels:
    """Turn or mirror a square picture, as its PDQ hash of that number is turned.

    Args:
        pixels: shape ``(..., S, S)``.
        turn: 0 to 7, in the order of :class:`scanner.hashing.Dihedral`.
    """
    transposed, down, along = _TURNED[turn]
    upright = pixels.swapaxes(-1, -2) if transposed else pixels
    return np.ascontiguousarray(upright[..., :: -1 if down else 1, :: -1 if along else 1])  # type: ignore[return-value]


_TURNED = (  # transposed?, mirrored top to bottom?, mirrored left to right?
    (False, False, False),
    (True, True, False),
    (False, True, True),
    (True, False, True),
    (False, True, False),
    (False, False, True),
    (True, False, False),
    (True, True, True),
)


def standardised(thumbs: Thumbs) -> Floats:
    """Bring thumbnails to one mean and, but for nearly plain ones, one spread; same shape, float32."""
    levels = thumbs.astype(np.float32)
    levels -= levels.mean(axis=(-2, -1), keepdims=True)
    spread = levels.std(axis=(-2, -1), keepdims=True)
    out: Floats = levels * np.minimum(SPREAD / np.maximum(spread, 1e-6), MOST_STRETCH) + np.float32(128)
    return out.astype(np.float32)


def similarities(thumbs: Thumbs, proposals: Whole) -> Floats:
    """Compare thumbnails by structural similarity, each window weighted by the variance it has in both.

    Args:
        thumbs: shape ``(n, 32, 32)``, uint8.
        proposals: as :func:`candidates` gives them; shape ``(k, 3)``.

    Returns:
        shape ``(k,)``, float32, up to 1 for equal thumbnails.
    """
    windows = _windows()
    levels = standardised(thumbs)
    pixels: Floats = np.stack([turned(levels, turn) for turn in range(TURNS)], 1).reshape(-1, SIDE * SIDE)
    mean = pixels @ windows
    variance = np.concatenate([(part * part) @ windows for part in _blocks(pixels)]) - mean * mean
    out = np.empty(len(proposals), np.float32)
    for start in range(0, len(proposals), _BLOCK):
        first, second, turn = proposals[start : start + _BLOCK].T
        left, right = first * TURNS, second * TURNS + turn
        covariance = (pixels[left] * pixels[right]) @ windows - mean[left] * mean[right]
        light = (2 * mean[left] * mean[right] + C1) / (mean[left] ** 2 + mean[right] ** 2 + C1)
        weight = variance[left] + variance[right] + C2
        out[start : start + _BLOCK] = (light * (2 * covariance + C2)).sum(1) / weight.sum(1)
    return out


def _dhash(pixels: Thumbs) -> Codes:
    small = Image.fromarray(pixels).resize((DHASH_SIDE + 1, DHASH_SIDE), Image.Resampling.BOX)
    levels = np.asarray(small)
    return np.packbits(levels[:, 1:] > levels[:, :-1])


def _windows() -> Floats:
    """Averages over windows of a thumbnail, as a matrix; shape ``(32 * 32, windows)``."""
    starts = range(0, SIDE - WINDOW + 1, STEP)
    columns = []
    for top in starts:
        for left in starts:
            window = np.zeros((SIDE, SIDE), np.float32)
            window[top : top + WINDOW, left : left + WINDOW] = 1 / WINDOW**2
            columns.append(window.ravel())
    return np.stack(columns, 1)


def _blocks(pixels: Floats) -> Iterator[Floats]:
    for start in range(0, len(pixels), _BLOCK):
        yield pixels[start : start + _BLOCK]

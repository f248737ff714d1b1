"""Adapters to imagehash's 64-bit hashes; the bits are imagehash's own, first bit first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.media.images import to_image


def phash(pixels: npt.NDArray[np.uint8]) -> bytes:
    """DCT hash of a 32 x 32 reduction; 8 bytes."""
    import imagehash

    return _packed(imagehash.phash(to_image(pixels)).hash)


def dhash(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Signs of the horizontal differences of a 9 x 8 reduction; 8 bytes."""
    import imagehash

    return _packed(imagehash.dhash(to_image(pixels)).hash)


def whash(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Haar wavelet hash; 8 bytes."""
    import imagehash

    return _packed(imagehash.whash(to_image(pixels), image_scale=_whash_scale(pixels)).hash)


def _whash_scale(pixels: npt.NDArray[np.uint8]) -> int:
    """Imagehash's own choice, the largest power of two that fits, but never under its lowest, 8."""
    shorter: int = min(pixels.shape[:2])
    return max(8, 1 << (shorter.bit_length() - 1))


def _packed(bits: npt.NDArray[np.bool_]) -> bytes:
    return np.packbits(bits.ravel()).tobytes()

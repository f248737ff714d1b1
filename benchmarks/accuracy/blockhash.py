"""Block mean value hash: a grid over the picture, a bit for each field that is lighter than its band's median.

Source: Yang, Gu and Niu, *Block Mean Value Based Image Perceptual Hashing*, IIH-MSP 2006, first method, in the form
that is in use as "blockhash": sums of red, green and blue, fields of equal size even where their edges cut through
pixels, and a median for each quarter of the height. Bits agree with npm's ``blockhash-core`` 0.1.0 on opaque
pictures, but where its rounding decides a tie.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]

BANDS = 4
LIGHTEST = 3 * 256  # the published program's; half of it tells a light field from a dark one


def blockhash(pixels: npt.NDArray[np.uint8], side: int) -> bytes | None:
    """Hash a picture.

    Args:
        pixels: shape ``(H, W, 3)`` RGB, uint8.
        side: fields along each axis, a multiple of 4; the hash has ``side ** 2`` bits.

    Returns:
        the hash, first field highest, or None for a picture of fewer pixels than fields along an axis.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        return None
    light = pixels[..., 0].astype(np.uint16) + pixels[..., 1] + pixels[..., 2]
    sums = _shares(height, side) @ light.astype(np.float64) @ _shares(width, side).T
    bands = sums.reshape(BANDS, -1)
    medians = np.median(bands, axis=1, keepdims=True)
    light_band = medians > height * width * LIGHTEST / 2
    return np.packbits((bands > medians) | ((np.abs(bands - medians) < side**2) & light_band)).tobytes()


def _shares(length: int, side: int) -> F64:
    """Say how much of each pixel lies in each field, in parts of ``1 / side``: whole numbers, so that ties are ties."""
    edges = np.arange(side + 1) * length
    pixels = np.arange(length) * side
    ends = np.minimum(edges[1:, None], pixels + side)
    starts = np.maximum(edges[:-1, None], pixels)
    shares: F64 = np.maximum(ends - starts, 0).astype(np.float64)
    return shares

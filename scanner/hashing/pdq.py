"""PDQ: 256 bits that move little when a picture is re-encoded, resized or slightly changed.

Source: Facebook, *The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm*, 2019. Bits and
quality are those of ``pdqhash`` 0.2 on the same pixels.

Two lineages are in circulation and do not match each other well: ``pdq`` filters the full-size picture, as
``pdqhash`` does; ``pdq-512`` first takes every picture with a side over 512 to 512 x 512 by nearest neighbour, as
the C++ and WebAssembly tools do. A hash set says which it holds.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError
from scanner.hashing import _kernels as kernels
from scanner.hashing import _scaled_kernels as scaled_kernels
from scanner.media import Scale

SMALLEST_SIDE = 5
"""Pictures with a shorter side have no hash: all zeros and quality 0, as published."""

SIDE_512 = 512

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

_SCALE = float(np.float32(math.sqrt(2 / kernels.SIDE)))  # the published program keeps this factor in a float
_BASIS: F32 = np.array(
    [
        [_SCALE * math.cos(math.pi / 2 / kernels.SIDE * i * (2 * j + 1)) for j in range(kernels.SIDE)]
        for i in range(1, kernels.KEPT + 1)
    ],
    np.float32,
)
_BASIS_T: F32 = np.ascontiguousarray(_BASIS.T)

_ODD = np.where(np.arange(kernels.KEPT) % 2 == 0, np.float32(-1), np.float32(1))  # mirrors odd frequencies
_EVEN = np.ones(kernels.KEPT, np.float32)


class Dihedral(NamedTuple):
    """The hashes of a picture turned and mirrored, 32 bytes each, in ``pdqhash.compute_dihedral``'s order."""

    original: bytes
    rotated_90: bytes
    rotated_180: bytes
    rotated_270: bytes
    flipped_vertically: bytes
    flipped_horizontally: bytes
    rotated_90_flipped_vertically: bytes
    rotated_90_flipped_horizontally: bytes


_TURNS = (  # transpose?, signs down the rows, signs along the columns
    (False, _EVEN, _EVEN),
    (True, _ODD, _EVEN),
    (False, _ODD, _ODD),
    (True, _EVEN, _ODD),
    (False, _ODD, _EVEN),
    (False, _EVEN, _ODD),
    (True, _EVEN, _EVEN),
    (True, _ODD, _ODD),
)


def pdq(pixels: U8) -> tuple[bytes, int]:
    """Hash a picture.

    Args:
        pixels: shape ``(H, W)`` grey or ``(H, W, 3)`` RGB, uint8.

    Returns:
        the hash, 32 bytes, and the quality, 0 to 100.

    Raises:
        HashShapeError: another shape or dtype.
    """
    coefficients, quality = _coefficients(pixels)
    return _bits(coefficients), quality


def pdq_scaled(pixels: U8, scale: Scale) -> tuple[bytes, int]:
    """Hash a picture that was decoded scaled down, with the filter of the stored size.

    Args:
        pixels: luma; shape ``(h, w)``, uint8, contiguous.
        scale: what each of them stands for.

    Returns:
        the hash, 32 bytes, and the quality, 0 to 100; nearly those of :func:`pdq` at the stored size (README, Which
        pixels are hashed).

    Raises:
        HashShapeError: another shape or dtype, a scale of another size, or one that leaves too few pixels to filter.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise HashShapeError(f"scaled pixels are uint8 of shape (h, w), not {pixels.dtype} of shape {pixels.shape}")
    sides = []
    for length, size, before in zip(pixels.shape, (scale.height, scale.width), scale.before, strict=True):
        if scale.block < 1 or not 0 <= before < scale.block or length != -(-(size + before) // scale.block):
            raise HashShapeError(f"pixels of shape {pixels.shape} are no picture scaled by {scale}")
        width = scaled_kernels.reach(size, scale.block)
        if length < width:
            raise HashShapeError(f"pixels of shape {pixels.shape} are no picture scaled by {scale}: too few to filter")
        first, weights = np.empty(kernels.SIDE, np.int64), np.zeros((kernels.SIDE, width), np.float32)
        scaled_kernels.weights_into(size, scale.block, before, first, weights)
        sides.append((first, weights))
    pixels = pixels.view()
    pixels.setflags(write=False)  # numba compiles anew for writable arrays
    lines = np.zeros((kernels.SIDE, pixels.shape[1]), np.float32)
    sample = np.empty((kernels.SIDE, kernels.SIDE), np.float32)
    (first_y, weights_y), (first_x, weights_x) = sides
    scaled_kernels.project_into(pixels, first_y, weights_y, first_x, weights_x, lines, sample)
    coefficients, quality = _coefficients_of(sample)
    return _bits(coefficients), quality


def pdq_512(pixels: U8) -> tuple[bytes, int]:
    """Hash a picture in the 512 x 512 lineage; arguments, results and errors as for :func:`pdq`."""
    _check(pixels)
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return pdq(pixels)
    if height > SIDE_512 or width > SIDE_512:
        rows = np.arange(SIDE_512) * height // SIDE_512
        columns = np.arange(SIDE_512) * width // SIDE_512
        pixels = pixels[rows[:, None], columns[None, :]]
    return pdq(pixels)


def pdq_dihedral(pixels: U8) -> tuple[Dihedral, int]:
    """Hash a picture and its seven turned and mirrored forms, all from one filtering.

    Args and errors as for :func:`pdq`.
    """
    coefficients, quality = _coefficients(pixels)
    return Dihedral(
        *(
            _bits((coefficients.T if transposed else coefficients) * down[:, None] * along[None, :])
            for transposed, down, along in _TURNS
        )
    ), quality


def quality_of(pixels: U8) -> int:
    """PDQ's gradient measure alone, 0 to 100; used for every algorithm. Arguments and errors as for :func:`pdq`."""
    return _coefficients(pixels)[1]


def _check(pixels: U8) -> None:
    if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise HashShapeError(
            f"pixels are uint8 of shape (H, W) or (H, W, 3), not {pixels.dtype} of shape {pixels.shape}"
        )


def _coefficients(pixels: U8) -> tuple[F32, int]:
    _check(pixels)
    height, width = pixels.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        return np.zeros((kernels.KEPT, kernels.KEPT), np.float32), 0
    return _coefficients_of(_sample(np.ascontiguousarray(pixels)))


def _coefficients_of(sample: F32) -> tuple[F32, int]:
    coefficients = np.empty((kernels.KEPT, kernels.KEPT), np.float32)
    half = np.empty((kernels.KEPT, kernels.SIDE), np.float32)
    kernels.dct_into(sample, _BASIS, _BASIS_T, half, coefficients)
    return coefficients, min(100, int(kernels.gradient_sum(sample)) // 90)


def _sample(pixels: U8) -> F32:
    height, width = pixels.shape[:2]
    grey = pixels.ndim == 2
    if (height, width) == (kernels.SIDE, kernels.SIDE):  # a picture of the sample's own size is not filtered
        return (pixels if grey else pixels @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    sample = np.empty((kernels.SIDE, kernels.SIDE), np.float32)
    pixels = pixels.view()
    pixels.setflags(write=False)  # numba compiles anew for writable arrays
    kernels.filter_into(pixels, sample.reshape(-1))
    return sample


def _bits(coefficients: F32) -> bytes:
    """Pack coefficient > lower median, last coefficient first, as the text form has it."""
    flat = coefficients.ravel()
    median = np.partition(flat, flat.size // 2 - 1)[flat.size // 2 - 1]
    return np.packbits((flat > median)[::-1]).tobytes()

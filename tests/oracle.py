"""The slow, obvious versions of what scanner does fast. Nothing of scanner is imported here.

PDQ follows the steps of Facebook, *The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm* (2019).
Sums are taken in float32 in the order of the published program, because their rounding decides bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

SIDE = 64
KEPT = 16


def hamming(one: bytes, other: bytes) -> int:
    """Bits in which two byte strings of one length differ."""
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def search(codes: Iterable[bytes], query: bytes, radius: int) -> list[tuple[int, int]]:
    """(index, distance) of every code at distance radius or less, in index order."""
    distances = [hamming(code, query) for code in codes]
    return [(index, distance) for index, distance in enumerate(distances) if distance <= radius]


def luma(pixels: np.ndarray) -> np.ndarray:
    """Brightness, float32 (H, W), of uint8 grey (H, W) or RGB (H, W, 3)."""
    if pixels.ndim == 2:
        return pixels.astype(np.float32)
    red, green, blue = (pixels[:, :, channel].astype(np.float64) for channel in range(3))
    return (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)


def box_filtered(lines: np.ndarray, window: int) -> np.ndarray:
    """Moving mean down the first axis, the window cut off at the edges: one running sum, first added to, then taken
    from."""
    length = len(lines)
    ahead = (window + 2) // 2 - 1
    out = np.empty_like(lines)
    total = np.zeros_like(lines[0])
    count = 0
    for position in range(length + ahead):
        if position < length:
            total = total + lines[position]
            count += 1
        if position >= window:
            total = total - lines[position - window]
            count -= 1
        if position >= ahead:
            out[position - ahead] = total / np.float32(count)
    return out


def sampled(pixels: np.ndarray) -> np.ndarray:
    """The picture at 64 x 64, float32: two box filters along rows and columns, then the middle of each field."""
    values = luma(pixels)
    height, width = values.shape
    if (height, width) == (SIDE, SIDE):
        return values
    for _ in range(2):
        values = box_filtered(values.T, (width + 127) // 128).T
        values = box_filtered(values, (height + 127) // 128)
    rows = [int((i + 0.5) * height / SIDE) for i in range(SIDE)]
    columns = [int((j + 0.5) * width / SIDE) for j in range(SIDE)]
    return values[rows][:, columns]


def quality(sample: np.ndarray) -> int:
    """Gradient measure of a 64 x 64 sample, 0 to 100."""
    total = 0
    for i in range(SIDE):
        for j in range(SIDE):
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < SIDE and m < SIDE:
                    total += abs(int((sample[i, j] - sample[k, m]) * np.float32(100) / np.float32(255)))
    return min(100, total // 90)


def coefficients(sample: np.ndarray) -> np.ndarray:
    """The 16 x 16 lowest DCT coefficients but the constant ones, float32, products summed one after the other."""
    scale = float(np.float32(math.sqrt(2 / SIDE)))
    basis = np.array(
        [[scale * math.cos(math.pi / 2 / SIDE * i * (2 * j + 1)) for j in range(SIDE)] for i in range(1, KEPT + 1)],
        np.float32,
    )
    half = np.zeros((KEPT, SIDE), np.float32)
    for k in range(SIDE):
        half += basis[:, k, None] * sample[None, k, :]
    whole = np.zeros((KEPT, KEPT), np.float32)
    for k in range(SIDE):
        whole += half[:, k, None] * basis[None, :, k]
    return whole


def bits(values: np.ndarray) -> bytes:
    """Which coefficients are above the lower median, the last one first; 32 bytes."""
    flat = [float(value) for value in values.ravel()]
    median = sorted(flat)[len(flat) // 2 - 1]
    number = sum((value > median) << position for position, value in enumerate(flat))
    return number.to_bytes(len(flat) // 8)


def pdq(pixels: np.ndarray) -> tuple[bytes, int]:
    """PDQ's hash, 32 bytes, and quality of uint8 pixels."""
    if min(pixels.shape[:2]) < 5:
        return bytes(32), 0
    sample = sampled(pixels)
    return bits(coefficients(sample)), quality(sample)

"""Compiled PDQ: 8-bit pixels to sixteen by sixteen DCT coefficients and a quality.

The float32 operations stand in the order of the published program, so that every bit and the quality are those
of ``pdqhash``. Kernels never validate, allocate results or decide; scanner.hashing.pdq does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

SIDE = 64  # the picture is sampled down to SIDE x SIDE
KEPT = 16  # lowest DCT frequencies kept along each axis, the constant one left out


@njit(nogil=True, cache=True)
def luma_into(rgb, plane):
    """plane[y, x] = luma of rgb (H, W, 3) u8, summed in f64 and rounded once; plane (H, W) f32."""
    height, width = plane.shape
    for y in range(height):
        for x in range(width):
            plane[y, x] = np.float32(rgb[y, x, 0] * 0.299 + rgb[y, x, 1] * 0.587 + rgb[y, x, 2] * 0.114)


@njit(nogil=True, cache=True)
def box_rows_into(source, target, window):
    """Mean over a window centred on each pixel along its row, cut off at the edges; (H, W) f32 each."""
    height, width = source.shape
    ahead = (window + 2) // 2  # pixels of the first window that lie in the row
    for y in range(height):
        total = np.float32(0)
        count = 0
        right = 0
        for _ in range(ahead - 1):
            total += source[y, right]
            count += 1
            right += 1
        x = 0
        for _ in range(window - ahead + 1):
            total += source[y, right]
            count += 1
            target[y, x] = total / np.float32(count)
            right += 1
            x += 1
        left = 0
        for _ in range(width - window):
            total += source[y, right]
            total -= source[y, left]
            target[y, x] = total / np.float32(count)
            left += 1
            right += 1
            x += 1
        for _ in range(ahead - 1):
            total -= source[y, left]
            count -= 1
            target[y, x] = total / np.float32(count)
            left += 1
            x += 1


@njit(nogil=True, cache=True)
def box_columns_into(source, target, window, totals):
    """The same along columns, whole rows at a time; totals (W,) f32 is scratch."""
    height, width = source.shape
    ahead = (window + 2) // 2
    totals[:] = np.float32(0)
    count = 0
    right = 0
    for _ in range(ahead - 1):
        for x in range(width):
            totals[x] += source[right, x]
        count += 1
        right += 1
    y = 0
    for _ in range(window - ahead + 1):
        count += 1
        divisor = np.float32(count)
        for x in range(width):
            totals[x] += source[right, x]
            target[y, x] = totals[x] / divisor
        right += 1
        y += 1
    left = 0
    divisor = np.float32(count)
    for _ in range(height - window):
        for x in range(width):
            totals[x] += source[right, x]
            totals[x] -= source[left, x]
            target[y, x] = totals[x] / divisor
        left += 1
        right += 1
        y += 1
    for _ in range(ahead - 1):
        count -= 1
        divisor = np.float32(count)
        for x in range(width):
            totals[x] -= source[left, x]
            target[y, x] = totals[x] / divisor
        left += 1
        y += 1


@njit(nogil=True, cache=True)
def sample_into(plane, sample):
    """Sample (64, 64) f32 from plane (H, W) f32, at the middle of each of 64 x 64 equal fields."""
    height, width = plane.shape
    for i in range(SIDE):
        y = int((i + 0.5) * height / SIDE)
        for j in range(SIDE):
            sample[i, j] = plane[y, int((j + 0.5) * width / SIDE)]


@njit(nogil=True, cache=True)
def gradient_sum(sample):
    """Sum of |difference of neighbours * 100 / 255|, each cut to a whole number, over sample (64, 64) f32."""
    total = 0
    for i in range(SIDE - 1):
        for j in range(SIDE):
            total += abs(int((sample[i, j] - sample[i + 1, j]) * np.float32(100) / np.float32(255)))
    for i in range(SIDE):
        for j in range(SIDE - 1):
            total += abs(int((sample[i, j] - sample[i, j + 1]) * np.float32(100) / np.float32(255)))
    return total


@njit(nogil=True, cache=True)
def dct_into(sample, basis, half, coefficients):
    """Coefficients (16, 16) f32 = basis @ sample @ basis.T; basis (16, 64) f32; half (16, 64) f32 is scratch."""
    for i in range(KEPT):
        for j in range(SIDE):
            total = np.float32(0)
            for k in range(SIDE):
                total += basis[i, k] * sample[k, j]
            half[i, j] = total
    for i in range(KEPT):
        for j in range(KEPT):
            total = np.float32(0)
            for k in range(SIDE):
                total += half[i, k] * basis[j, k]
            coefficients[i, j] = total

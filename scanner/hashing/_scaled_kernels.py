"""Compiled PDQ of a picture that was decoded scaled down, by the geometry of the picture as it is stored.

What moves the bits of a scaled picture is hardly the lost detail; it is that the filter's window and the sampled places
come out differently at another size. Both box passes and the sampling are linear, so each sample is a weighted sum of
the stored picture, the weights along rows and columns independent and shaped as tents; a decoder's scaled pixel is the
mean of a block, so its weight is the sum of the weights under the block.

    sample = weights(rows) @ luma @ weights(columns).T

Kernels never validate, allocate results or decide; scanner.hashing.pdq does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scanner.hashing._kernels import SIDE


@njit(nogil=True, cache=True)
def reach(size, block):
    """The most scaled pixels that a sample of a line of size stored pixels takes in, of so many stored pixels each."""
    window = (size + 127) // 128
    return 2 * window // block + 3


@njit(nogil=True, cache=True)
def weights_into(size, block, before, first, weights):
    """Write sample i's weights along one side: of weights[i, k] for the scaled pixel first[i] + k.

    size stored pixels; scaled pixel p is the mean of block of them from p * block - before on, as far as they exist.
    first (64,) i64; weights (64, reach) f32, zeros; the scaled line has at least reach pixels.
    """
    window = (size + 127) // 128
    ahead = (window + 2) // 2 - 1
    pixels = (size + before + block - 1) // block
    for i in range(SIDE):
        middle = int((i + 0.5) * size / SIDE)
        begin = max(0, middle + ahead - window + 1)  # the second box takes in begin to end
        end = min(size - 1, middle + ahead)
        first[i] = min(pixels - weights.shape[1], (max(0, begin + ahead - window + 1) + before) // block)
        for k in range(begin, end + 1):
            low = max(0, k + ahead - window + 1)  # the first box of pixel k takes in low to high
            high = min(size - 1, k + ahead)
            share = 1.0 / ((end - begin + 1) * (high - low + 1))
            for p in range((low + before) // block, (high + before) // block + 1):
                under = min((p + 1) * block - before, high + 1) - max(p * block - before, low)
                weights[i, p - first[i]] += np.float32(share * under)


@njit(nogil=True, cache=True)
def project_into(luma, first_y, weights_y, first_x, weights_x, lines, sample):
    """Write sample[i, j], the sum of luma weighted by weights_y[i] down the rows and weights_x[j] along the columns.

    luma (h, w) u8; firsts and weights as from weights_into; lines (64, w) f32, zeros; sample (64, 64) f32.
    """
    height, width = luma.shape
    begin = 0
    for y in range(height):
        while begin < SIDE - 1 and y >= first_y[begin] + weights_y.shape[1]:
            begin += 1
        for i in range(begin, SIDE):
            k = y - first_y[i]
            if k < 0:
                break
            if k < weights_y.shape[1] and weights_y[i, k] != 0:
                weight = weights_y[i, k]
                for x in range(width):
                    lines[i, x] += weight * np.float32(luma[y, x])
    for i in range(SIDE):
        for j in range(SIDE):
            total = np.float32(0)
            for k in range(weights_x.shape[1]):
                total += weights_x[j, k] * lines[i, first_x[j] + k]
            sample[i, j] = total

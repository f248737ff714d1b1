"""Compiled PDQ: 8-bit pixels to a filtered 64 x 64 sample, its DCT coefficients and its quality.

The filter takes running sums in float32, whose rounding depends on the order of the additions; so that every bit and
the quality are those of ``pdqhash``, the order is kept, sixteen rows side by side. A band of sixteen rows goes through
everything before the next is touched, and nothing but what later rows still need is kept::

    pixels -> luma, transposed -> box along rows -> transposed -> box along columns -> transposed
           -> box along rows, kept at the 64 sampled columns -> box along columns, kept at the 64 sampled rows

Kernels never validate, allocate results or decide; scanner.hashing.pdq does.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scanner.hashing._vectors import (
    divide,
    load,
    luma_transposed_into,
    splat,
    store,
    transpose_into,
)

SIDE = 64  # the picture is sampled down to SIDE x SIDE
KEPT = 16  # lowest DCT frequencies kept along each axis, the constant one left out
_BAND = 16  # rows that go through together
_TILE = 256  # values in a square of _BAND x _BAND
_NONE = -1


@njit(nogil=True, cache=True, error_model="numpy")
def filter_into(pixels, sample):
    """Sample of the twice box-filtered luma: sample[64 i + j] at the middle of field (i, j) of 64 x 64.

    pixels (H, W) u8 grey or (H, W, 3) u8 RGB, sides at least 5; sample (4096,) f32.
    """
    height, width = pixels.shape[:2]
    flat = pixels.reshape(-1)
    channels = flat.size // (height * width)
    window_x = (width + 127) // 128
    window_y = (height + 127) // 128
    ahead_x = (window_x + 2) // 2 - 1  # pixels summed before the first output
    ahead_y = (window_y + 2) // 2 - 1
    tiles = (width + _BAND - 1) // _BAND
    bands = (window_y + _BAND - 1) // _BAND + 1  # the column box looks back this far
    pad = _BAND * window_x  # zeros in front: what is taken off before the window is full
    edge = np.zeros((_BAND, _BAND) + pixels.shape[2:], np.uint8)  # noqa: RUF005 - numba; a tile at an edge, filled up
    edge_flat = edge.reshape(-1)
    luma = np.zeros(pad + _TILE * tiles, np.float32)  # a band, column by column: lane = row
    rows_once = np.zeros(_TILE * tiles + _BAND * ahead_x, np.float32)
    both_once = np.zeros(pad + _TILE * tiles, np.float32)
    history = np.zeros(bands * tiles * _TILE, np.float32)  # rows_once as tiles of 16 x 16, row by row
    column_sums = np.zeros(_BAND * tiles, np.float32)
    tile = np.zeros(_TILE, np.float32)
    picked = np.zeros(SIDE * _BAND, np.float32)  # after the second box along rows, at the 64 columns
    picked_rows = np.zeros(SIDE * _BAND, np.float32)
    ring = window_y + 1
    ring_rows = np.zeros(ring * SIDE, np.float32)
    ring_sums = np.zeros(SIDE, np.float32)
    sample_x = np.empty(SIDE + 1, np.int64)
    sample_y = np.empty(SIDE + 1, np.int64)
    for j in range(SIDE):
        sample_x[j] = int((j + 0.5) * width / SIDE) + ahead_x
        sample_y[j] = int((j + 0.5) * height / SIDE) + ahead_y
    sample_x[SIDE] = _NONE
    sample_y[SIDE] = _NONE
    size = np.ones(max(window_x, window_y) + 1, np.float32)
    inverse = np.ones(max(window_x, window_y) + 1, np.float32)
    for k in range(1, size.size):
        size[k] = k
        inverse[k] = np.float32(1) / np.float32(k)
    full_x = splat(size[window_x])
    full_y = splat(size[window_y])
    inverse_x = splat(inverse[window_x])
    inverse_y = splat(inverse[window_y])
    zero = splat(np.float32(0))
    entering = np.empty(_BAND, np.int64)
    leaving = np.empty(_BAND, np.int64)
    count = np.empty(_BAND, np.int64)
    sampled = 0  # rows of the sample written

    for top in range(0, height + ahead_y, _BAND):  # rows from height on add nothing: they let the columns run out
        slot = top // _BAND % bands * tiles * _TILE
        if top < height:
            # Luma, transposed; box along rows.
            total = zero
            x = 0
            for t in range(tiles):
                end = min(t * _BAND + _BAND, width)
                if top + _BAND <= height and t * _BAND + _BAND <= width:
                    start = (top * width + t * _BAND) * channels
                    luma_transposed_into(pixels, start, width * channels, luma, pad + t * _TILE)
                else:
                    for y in range(min(_BAND, height - top)):
                        start = ((top + y) * width + t * _BAND) * channels
                        for k in range((end - t * _BAND) * channels):
                            edge_flat[y * _BAND * channels + k] = flat[start + k]
                    luma_transposed_into(edge, 0, _BAND * channels, luma, pad + t * _TILE)
                while x < min(ahead_x, end):
                    total = total + load(luma, pad + x * _BAND)
                    x += 1
                while x < min(window_x, end):
                    total = total + load(luma, pad + x * _BAND)
                    store(rows_once, (x - ahead_x) * _BAND, divide(total, splat(size[x + 1]), splat(inverse[x + 1])))
                    x += 1
                while x < end:
                    total = total + load(luma, pad + x * _BAND)
                    total = total - load(luma, x * _BAND)
                    store(rows_once, (x - ahead_x) * _BAND, divide(total, full_x, inverse_x))
                    x += 1
            for k in range(ahead_x):
                total = total - load(luma, (width + k) * _BAND)
                left = window_x - 1 - k
                store(rows_once, (width - ahead_x + k) * _BAND, divide(total, splat(size[left]), splat(inverse[left])))
        # Back to rows; box along columns; transposed again; box along rows at the 64 columns.
        for y in range(_BAND):
            row = top + y
            gone = row - window_y
            entering[y] = slot + y * _BAND if row < height else _NONE
            leaving[y] = gone // _BAND % bands * tiles * _TILE + gone % _BAND * _BAND if gone >= 0 else _NONE
            count[y] = max(1, min(row + 1, window_y) - max(0, row - height + 1))
        second = zero
        j = 0
        for t in range(tiles):
            if top < height:
                transpose_into(rows_once, t * _TILE, history, slot + t * _TILE)
            total = load(column_sums, t * _BAND)
            if top >= window_y and top + _BAND <= height:
                for y in range(_BAND):
                    total = total + load(history, slot + t * _TILE + y * _BAND)
                    total = total - load(history, leaving[y] + t * _TILE)
                    store(tile, y * _BAND, divide(total, full_y, inverse_y))
            else:
                for y in range(_BAND):
                    if entering[y] != _NONE:
                        total = total + load(history, entering[y] + t * _TILE)
                    if leaving[y] != _NONE:
                        total = total - load(history, leaving[y] + t * _TILE)
                    store(tile, y * _BAND, divide(total, splat(size[count[y]]), splat(inverse[count[y]])))
            store(column_sums, t * _BAND, total)
            transpose_into(tile, 0, both_once, pad + t * _TILE)
            for x in range(t * _BAND, min(t * _BAND + _BAND, width)):
                second = second + load(both_once, pad + x * _BAND)
                second = second - load(both_once, x * _BAND)
                while sample_x[j] == x:
                    k = min(x + 1, window_x)
                    store(picked, j * _BAND, divide(second, splat(size[k]), splat(inverse[k])))
                    j += 1
        for k in range(ahead_x):
            second = second - load(both_once, (width + k) * _BAND)
            while sample_x[j] == width + k:
                left = window_x - 1 - k
                store(picked, j * _BAND, divide(second, splat(size[left]), splat(inverse[left])))
                j += 1
        # Box along columns at the 64 columns, kept at the 64 rows.
        for quarter in range(SIDE // _BAND):
            transpose_into(picked, quarter * _TILE, picked_rows, quarter * _TILE)
        for y in range(max(0, ahead_y - top), min(_BAND, height + ahead_y - top)):
            row = top + y - ahead_y
            now = row % ring * SIDE
            old = (row - window_y) % ring * SIDE
            k = min(row + 1, window_y)
            for quarter in range(SIDE // _BAND):
                vector = load(picked_rows, quarter * _TILE + y * _BAND)
                store(ring_rows, now + quarter * _BAND, vector)
                total = load(ring_sums, quarter * _BAND) + vector
                if row >= window_y:
                    total = total - load(ring_rows, old + quarter * _BAND)
                store(ring_sums, quarter * _BAND, total)
            while sample_y[sampled] == row:
                for q in range(0, SIDE, _BAND):
                    store(sample, sampled * SIDE + q, divide(load(ring_sums, q), splat(size[k]), splat(inverse[k])))
                sampled += 1
    for y in range(ahead_y):
        old = (height + y - window_y) % ring * SIDE
        k = window_y - 1 - y
        for q in range(0, SIDE, _BAND):
            store(ring_sums, q, load(ring_sums, q) - load(ring_rows, old + q))
        while sample_y[sampled] == height + y:
            for q in range(0, SIDE, _BAND):
                store(sample, sampled * SIDE + q, divide(load(ring_sums, q), splat(size[k]), splat(inverse[k])))
            sampled += 1


@njit(nogil=True, cache=True)
def gradient_sum(sample):
    """Sum of |difference of neighbours * 100 / 255|, each cut to a whole number; sample (64, 64) f32."""
    total = 0
    for i in range(SIDE - 1):
        for j in range(SIDE):
            total += abs(int((sample[i, j] - sample[i + 1, j]) * np.float32(100) / np.float32(255)))
    for i in range(SIDE):
        for j in range(SIDE - 1):
            total += abs(int((sample[i, j] - sample[i, j + 1]) * np.float32(100) / np.float32(255)))
    return total


@njit(nogil=True, cache=True)
def dct_into(sample, basis, basis_t, half, coefficients):
    """Write coefficients = basis @ sample @ basis.T, summed in order of the inner index.

    sample (64, 64), basis (16, 64), basis_t (64, 16), half (16, 64) scratch, coefficients (16, 16), all f32.
    """
    half[:] = 0
    coefficients[:] = 0
    for i in range(KEPT):
        for k in range(SIDE):
            for j in range(SIDE):
                half[i, j] += basis[i, k] * sample[k, j]
        for k in range(SIDE):
            for j in range(KEPT):
                coefficients[i, j] += half[i, k] * basis_t[k, j]

"""Sums of distances by cluster, from the hashes' moments instead of their pairs.

With bits as signs, ``s = 1 - 2 b``, two hashes of ``B`` bits differ in ``(B - s·t) / 2``. Over all ``t`` the distances
of ``s`` thus sum up to ``(B n - s·Σt) / 2`` and their squares to ``(B² n - 2 B s·Σt + s'(Σ t t') s) / 4``: what takes
``n²`` pairs takes ``n B²`` steps. Every value on the way is a whole number that its float holds exactly, so the result
is exact, and made without the kernel that counts the pairs: that the two agree is a check of both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.banks import Bank, Whole, Words, fixed, mapped_clusters, mapped_words
from scanner.errors import ArgumentError

BLOCK = 8_192  # rows at once; their products stay far below 2**24, to which float32 counts
EXACT = 1 << 53

Floats = NDArray[np.float64]


def cluster_sums(left: Bank, right: Bank | None = None) -> Whole:
    """Sum up the distances of each cluster's hashes from all hashes of other clusters.

    Args:
        left: the one side.
        right: the other; None for the pairs within ``left``.

    Returns:
        pairs, sum of their distances in bits, and sum of the squares, by cluster: shape ``(c, 3)``, int64, ``c`` one
        over the largest number of a cluster on either side. Each pair is in the sums of both its clusters.

    Raises:
        ArgumentError: the hashes differ in length, or are too many for exact sums.
        StorageError: a bank can't be read.
    """
    from benchmarks.accuracy import _tiles_kernels as kernels

    other = right or left
    if left.bits != other.bits:
        raise ArgumentError(f"hashes of {left.bits} and {other.bits} bits have no distance")
    if max(left.count, other.count) * 4 * left.bits**2 >= EXACT:
        raise ArgumentError(f"{max(left.count, other.count):,} hashes of {left.bits} bits are too many to sum exactly")
    sides = [(mapped_words(bank.hashes), mapped_clusters(bank.clusters)) for bank in (left, other)]
    sums = np.zeros((1 + max((int(labels.max()) for _, labels in sides if len(labels)), default=-1), 3), np.int64)
    turns = (sides,) if right is None else (sides, sides[::-1])
    for (rows, labels), (columns, _) in turns:
        add_sums(sums, rows, labels, columns, left.bits)
    inside = np.zeros_like(sums)
    (rows, row_labels), (columns, column_labels) = sides
    orders = [np.argsort(labels, kind="stable") for labels in (row_labels, column_labels)]
    kernels.count_inside(
        fixed(rows), orders[0], row_labels[orders[0]],
        fixed(columns), orders[1], column_labels[orders[1]],
        0 if right is None else len(rows), np.zeros(64 * rows.shape[1] + 1, np.int64), inside,
    )  # fmt: skip
    if right is None:
        sums[:, 0] -= np.bincount(row_labels, minlength=len(sums))  # each hash with itself
    return sums - 2 * inside


def add_sums(sums: Whole, rows: Words, labels: Whole, columns: Words, bits: int) -> None:
    """Add what the distances of each row from all columns come to, itself among them, to the row's cluster.

    Args:
        sums: pairs, sum of distances and of squares, by cluster; shape ``(c, 3)``, int64; changed.
        rows: shape ``(n, W)``, uint64.
        labels: cluster of each row; shape ``(n,)``, int64.
        columns: shape ``(m, W)``, uint64.
        bits: length of a hash.
    """
    total, products = np.zeros(bits), np.zeros((bits, bits))
    for signs in _signs(columns, bits):
        total += signs.sum(axis=0, dtype=np.float64)
        products += signs.T @ signs
    start, count = 0, len(columns)
    for signs in _signs(rows, bits):
        wide = signs.astype(np.float64)
        once = _exactly(wide @ total)
        twice = _exactly(np.einsum("ij,ij->i", wide @ products, wide))
        cluster = labels[start : start + len(signs)]
        np.add.at(sums[:, 0], cluster, count)
        np.add.at(sums[:, 1], cluster, (bits * count - once) // 2)
        np.add.at(sums[:, 2], cluster, (bits * bits * count - 2 * bits * once + twice) // 4)
        start += len(signs)


def _signs(words: Words, bits: int) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(words), BLOCK):
        block = np.ascontiguousarray(words[start : start + BLOCK]).view(np.uint8)
        yield 1 - 2 * np.unpackbits(block, axis=1, count=bits).astype(np.float32)


def _exactly(values: Floats) -> Whole:
    return values.astype(np.int64)

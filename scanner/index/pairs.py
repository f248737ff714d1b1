"""Distances counted, not listed: what error rates are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError
from scanner.index.hits import Codes, checked_codes


def distance_histogram(left: Codes, right: Codes | None = None) -> npt.NDArray[np.int64]:
    """Count the pairs of hashes at each distance.

    Args:
        left: packed hashes; shape ``(n, bits // 8)``, uint8.
        right: others of the same length, for all ``n * m`` pairs across; left out, the ``n (n - 1) / 2`` pairs within
            ``left`` are counted, each once.

    Returns:
        number of pairs at distance 0, 1, … ``bits``; shape ``(bits + 1,)``, int64.

    Raises:
        HashShapeError: a shape or dtype differs from the above.
    """
    left = checked_codes(left)
    same = right is None
    other = left if right is None else checked_codes(right)
    if other.shape[1] != left.shape[1]:
        raise HashShapeError(f"hashes of {8 * left.shape[1]} and {8 * other.shape[1]} bits have no distance")
    from scanner.index import _pair_kernels as kernels

    bits = 8 * left.shape[1]
    counts = np.zeros((4, bits + 1), np.int64)
    count = kernels.count_pairs_256 if bits == 256 else kernels.count_pairs_64
    count(left.reshape(-1), len(left), other.reshape(-1), len(other), same, counts)
    total: npt.NDArray[np.int64] = counts.sum(axis=0)
    return total


def distances(query: npt.NDArray[np.uint64], bank: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint16]:
    """Count the bits in which one hash differs from each hash in a bank.

    Args:
        query: packed hash; shape ``(W,)``, uint64, ``W = bits // 64``.
        bank: packed hashes; shape ``(n, W)``, uint64; ``n`` may be 0.

    Returns:
        distances in bits, in bank order; shape ``(n,)``, uint16.

    Raises:
        HashShapeError: a shape or dtype differs from the above.
    """
    if query.dtype != np.uint64 or bank.dtype != np.uint64 or query.ndim != 1 or bank.shape[1:] != query.shape:
        raise HashShapeError(
            f"a query is uint64 of shape (W,) and a bank of shape (n, W), "
            f"not {query.dtype} {query.shape} and {bank.dtype} {bank.shape}"
        )
    from scanner.index import _pair_kernels as kernels

    out = np.empty(len(bank), np.uint16)
    kernels.distances_into(query, bank, out)
    return out

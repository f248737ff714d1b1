"""Exact search by looking at every code, compiled; over the bytes where they lie, without a copy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError
from scanner.index import _kernels as kernels
from scanner.index.hits import Codes, Hits, checked_codes, checked_query

FIRST_CAPACITY = 64
"""Room for hits at first; it grows as needed, so no hit is ever lost."""


class FlatIndex:
    """The ``flat`` engine.

    Args:
        codes: packed hashes; shape ``(n, bits // 8)``, uint8, ``bits`` a multiple of 64; ``n`` may be 0.

    Raises:
        HashShapeError: another shape or dtype.
    """

    engine = "flat"

    def __init__(self, codes: Codes) -> None:
        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._bank = codes.view(np.uint64)

    def __len__(self) -> int:
        return len(self._bank)

    def search(self, code: bytes, radius: int) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`."""
        query = checked_query(code, radius, self.bits).view(np.uint64)
        capacity, first, done = FIRST_CAPACITY, 0, len(self._bank)
        parts: list[Hits] = []
        while True:
            part = Hits(np.empty(capacity, np.int64), np.empty(capacity, np.uint16))
            found, first = kernels.within_into(query, self._bank, radius, first, *part)
            parts.append(Hits(part.indices[:found], part.distances[:found]))
            if first == done:
                break
            capacity *= 4
        if len(parts) == 1:
            return parts[0]
        return Hits(np.concatenate([p.indices for p in parts]), np.concatenate([p.distances for p in parts]))


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
    out = np.empty(len(bank), np.uint16)
    kernels.distances_into(query, bank, out)
    return out

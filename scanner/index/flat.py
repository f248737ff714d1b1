"""Exact search by looking at every code, compiled; over the bytes where they lie, without a copy."""

from __future__ import annotations

from scanner.index import _batch_kernels as batch_kernels
from scanner.index import _scan_kernels as kernels
from scanner.index.hits import (
    NO_HITS,
    UNLIMITED,
    Codes,
    Hits,
    ManyHits,
    checked_codes,
    checked_limit,
    checked_queries,
    checked_query,
    direct,
    hits_of,
    many_hits_of,
)


class FlatIndex:
    """The ``flat`` engine.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8; ``n`` may be 0.

    Raises:
        HashShapeError: another shape or dtype.
    """

    engine = "flat"

    def __init__(self, codes: Codes) -> None:
        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._count = len(codes)
        self._rows = codes.reshape(-1)
        scan = kernels.scan_one_256 if self.bits == 256 else kernels.scan_one_64
        self._scan = direct(scan, bytes(codes.shape[1]), 0, 1, self._rows, self._count)
        self._scan_many = batch_kernels.scan_many_256 if self.bits == 256 else batch_kernels.scan_many_64

    def __len__(self) -> int:
        return self._count

    def search(self, code: bytes, radius: int, limit: int | None = None) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`."""
        code = checked_query(code, radius, self.bits)
        most = UNLIMITED if limit is None else checked_limit(limit) + 1
        found = self._scan(code, radius, most, self._rows, self._count)
        return NO_HITS if found is None else hits_of(found, limit)

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        packed, owners = self._scan_many(codes.reshape(-1), len(codes), radius, self._rows, self._count)
        return many_hits_of(packed, owners, len(codes))

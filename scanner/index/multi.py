"""Exact search by chunks and sketches: a few microseconds at a million entries. How and why: scanner.index._kernels."""

from __future__ import annotations

from scanner.index import _batch_kernels as batch_kernels
from scanner.index import _kernels as kernels
from scanner.index.hits import Codes, Hits, ManyHits, check_query, checked_codes, checked_queries, hits_of, many_hits_of
from scanner.index.tables import build_tables, check_tables


class MultiIndex:
    """The ``multi`` engine.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8; ``n`` up to 2^28.
        tables: the block that :func:`scanner.index.tables.build_tables` made of them; built if left out.

    Raises:
        HashShapeError: another shape or dtype, or tables of other codes.
    """

    engine = "multi"

    def __init__(self, codes: Codes, tables: Codes | None = None) -> None:
        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._count = len(codes)
        tables = build_tables(codes) if tables is None else tables
        check_tables(tables, self._count, self.bits)
        self._tables = tables.view()
        self._tables.setflags(write=False)
        self._rows = codes.reshape(-1)
        self._search = kernels.search_one_256 if self.bits == 256 else kernels.search_one_64
        self._search_many = batch_kernels.search_many_256 if self.bits == 256 else batch_kernels.search_many_64

    def __len__(self) -> int:
        return self._count

    @property
    def tables_bytes(self) -> int:
        """Bytes of the tables, without the codes."""
        return int(self._tables.nbytes)

    def search(self, code: bytes, radius: int) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`.

        Radii over 63 (over 15 at 64 bits) are searched by looking at every entry.
        """
        check_query(code, radius, self.bits)
        return hits_of(self._search(code, radius, self._rows, self._tables))

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        packed, owners = self._search_many(codes.reshape(-1), len(codes), radius, self._rows, self._tables)
        return many_hits_of(packed, owners, len(codes))

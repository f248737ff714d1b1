"""Exact search by tables: a few microseconds at a million entries. How and why: scanner.index._kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from scanner.errors import HashShapeError
from scanner.index import _batch_kernels as batch_kernels
from scanner.index import _compact_kernels as compact_kernels
from scanner.index import _kernels as kernels
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
from scanner.index.tables import COMPACT, MULTI, Kind, build_tables, check_tables, kind_of


class TableIndex:
    """What the engines with tables share.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8; ``n`` up to 2^28.
        tables: the block that :func:`scanner.index.tables.build_tables` made of them; built if left out.

    Raises:
        HashShapeError: another shape or dtype, or tables of other codes or another kind.
    """

    kind: Kind
    engine: str
    search_kernels: Mapping[int, Callable[..., Any]]
    """By length of hash in bits."""

    def __init__(self, codes: Codes, tables: Codes | None = None) -> None:
        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._count = len(codes)
        self._code_bytes: int = codes.shape[1]
        tables = build_tables(codes, self.kind) if tables is None else tables
        check_tables(tables, self._count, self.bits)
        if kind_of(tables) is not self.kind:
            raise HashShapeError(f"the search tables are of another kind than {self.kind.name}")
        self._tables = tables.view()
        self._tables.setflags(write=False)
        self._rows = codes.reshape(-1)
        search = self.search_kernels[self.bits]
        self._search = direct(search, bytes(self._code_bytes), 0, 1, self._rows, self._tables)

    def __len__(self) -> int:
        return self._count

    def search(self, code: bytes, radius: int, limit: int | None = None) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`.

        Radii over 63 (``compact``: 31; over 15 at 64 bits) are searched by looking at every entry.
        """
        # Written out for speed: this call takes less time than the rest of Python around it.
        if type(code) is not bytes or len(code) != self._code_bytes or not 0 <= radius <= self.bits:
            code = checked_query(code, radius, self.bits)
        most = UNLIMITED if limit is None else checked_limit(limit) + 1
        found = self._search(code, radius, most, self._rows, self._tables)
        return NO_HITS if found is None else hits_of(found, limit)

    @property
    def tables_bytes(self) -> int:
        """Bytes of the tables, without the codes."""
        return int(self._tables.nbytes)


class MultiIndex(TableIndex):
    """The ``multi`` engine; see :class:`TableIndex`."""

    kind = MULTI
    engine = MULTI.name
    search_kernels = MappingProxyType({64: kernels.search_one_64, 256: kernels.search_one_256})

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        search = batch_kernels.search_many_256 if self.bits == 256 else batch_kernels.search_many_64
        packed, owners = search(codes.reshape(-1), len(codes), radius, self._rows, self._tables)
        return many_hits_of(packed, owners, len(codes))


class CompactIndex(TableIndex):
    """The ``compact`` engine: half the memory, ten to twenty times the time; 256 bits only. See :class:`TableIndex`."""

    kind = COMPACT
    engine = COMPACT.name
    search_kernels = MappingProxyType({256: compact_kernels.search_one})

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes, one after the other; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        return ManyHits.of([self.search(code.tobytes(), radius) for code in codes])

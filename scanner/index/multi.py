"""Exact search by tables: a few microseconds at a million entries. How and why: scanner.index._kernels."""

from __future__ import annotations

from scanner.errors import HashShapeError
from scanner.index import _batch_kernels as batch_kernels
from scanner.index import _compact_kernels as compact_kernels
from scanner.index import _kernels as kernels
from scanner.index.hits import Codes, Hits, ManyHits, check_query, checked_codes, checked_queries, hits_of, many_hits_of
from scanner.index.tables import COMPACT, MULTI, Kind, build_tables, check_tables, kind_of


class TableIndex:
    """What the engines with tables share.

    Args:
        codes: packed hashes; shape ``(n, 8)`` or ``(n, 32)``, uint8; ``n`` up to 2^28 (``compact``: 2^24).
        tables: the block that :func:`scanner.index.tables.build_tables` made of them; built if left out.

    Raises:
        HashShapeError: another shape or dtype, or tables of other codes or another kind.
    """

    kind: Kind
    engine: str

    def __init__(self, codes: Codes, tables: Codes | None = None) -> None:
        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._count = len(codes)
        tables = build_tables(codes, self.kind) if tables is None else tables
        check_tables(tables, self._count, self.bits)
        if kind_of(tables) is not self.kind:
            raise HashShapeError(f"the search tables are of another kind than {self.kind.name}")
        self._tables = tables.view()
        self._tables.setflags(write=False)
        self._rows = codes.reshape(-1)

    def __len__(self) -> int:
        return self._count

    @property
    def tables_bytes(self) -> int:
        """Bytes of the tables, without the codes."""
        return int(self._tables.nbytes)


class MultiIndex(TableIndex):
    """The ``multi`` engine; see :class:`TableIndex`."""

    kind = MULTI
    engine = MULTI.name

    def __init__(self, codes: Codes, tables: Codes | None = None) -> None:
        super().__init__(codes, tables)
        wide = self.bits == 256
        self._search = kernels.search_one_256 if wide else kernels.search_one_64
        self._search_many = batch_kernels.search_many_256 if wide else batch_kernels.search_many_64

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


class CompactIndex(TableIndex):
    """The ``compact`` engine: half the memory, ten to twenty times the time; 256 bits only. See :class:`TableIndex`."""

    kind = COMPACT
    engine = COMPACT.name

    def search(self, code: bytes, radius: int) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`.

        Radii over 31 are searched by looking at every entry.
        """
        check_query(code, radius, self.bits)
        return hits_of(compact_kernels.search_one(code, radius, self._rows, self._tables))

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes, one after the other; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        return ManyHits.of([self.search(code.tobytes(), radius) for code in codes])

"""Engines by name, and which one is the fastest for a set."""

from __future__ import annotations

from typing import Protocol

from scanner.errors import UnknownNameError
from scanner.index.hits import Codes, Index
from scanner.index.tables import kind_of

ENGINES = ("flat", "multi", "compact", "faiss")
CROSSOVER = 2048
"""Entries from which tables pay: below, looking at every entry is as fast and needs no tables."""


class Searchable(Protocol):
    """What an engine needs of a hash set."""

    @property
    def codes(self) -> Codes:
        """Packed hashes; shape ``(n, bits // 8)``, uint8."""
        ...

    @property
    def tables(self) -> Codes | None:
        """The block of tables, if the set holds one."""
        ...

    def ensure_verified(self) -> None:
        """Wait until the file was checked, if that is still going on; raise if it is corrupt."""
        ...


def engine_for(count: int, tables: Codes | None = None) -> str:
    """Name the fastest engine for so many entries, with these tables or with none yet."""
    if count < CROSSOVER:
        return "flat"
    return "multi" if tables is None else kind_of(tables).name


def open_index(known: Searchable, engine: str = "auto") -> Index:
    """Make a hash set searchable.

    Args:
        known: the set; must stay open as long as the index is used.
        engine: a name from :data:`ENGINES`, or ``"auto"`` for the fastest.

    Raises:
        UnknownNameError: no such engine.
        HashSetError: the set was still being checked, and is corrupt.
    """
    known.ensure_verified()
    if engine == "auto":
        engine = engine_for(len(known.codes), known.tables)
    if engine == "flat":
        from scanner.index.flat import FlatIndex

        return FlatIndex(known.codes)
    if engine in {"multi", "compact"}:
        from scanner.index.multi import CompactIndex, MultiIndex

        tables = known.tables
        if tables is not None and kind_of(tables).name != engine:
            tables = None  # the file holds the other kind: these are built in memory
        return MultiIndex(known.codes, tables) if engine == "multi" else CompactIndex(known.codes, tables)
    if engine == "faiss":
        from scanner.index.faiss import FaissIndex

        return FaissIndex(known.codes)
    raise UnknownNameError("engine", engine, ("auto", *ENGINES))

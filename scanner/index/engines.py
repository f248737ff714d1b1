"""Engines by name."""

from __future__ import annotations

from scanner.errors import UnknownNameError
from scanner.hashset import HashSet
from scanner.index.hits import Index

ENGINES = ("flat", "faiss")


def open_index(known: HashSet, engine: str = "auto") -> Index:
    """Make a hash set searchable.

    Args:
        known: the set; must stay open as long as the index is used.
        engine: a name from :data:`ENGINES`, or ``"auto"`` for the fastest.

    Raises:
        UnknownNameError: no such engine.
    """
    if engine in {"flat", "auto"}:
        from scanner.index.flat import FlatIndex

        return FlatIndex(known.codes)
    if engine == "faiss":
        from scanner.index.faiss import FaissIndex

        return FaissIndex(known.codes)
    raise UnknownNameError("engine", engine, ("auto", *ENGINES))

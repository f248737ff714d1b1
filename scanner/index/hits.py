"""What a search gives back, and the interface every engine has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError

Codes = npt.NDArray[np.uint8]
FEW = 32
"""Hits up to this number come sorted from the kernels."""
ROW_MASK = (1 << 48) - 1
DISTANCE_SHIFT = 48
"""A packed hit is row | distance << 48."""
UNLIMITED = 1 << 62
"""More hits than there can be."""
WIDTHS = (64, 256)
"""Lengths of hash, in bits, that the compiled engines search."""


class Hits(NamedTuple):
    """Every entry within the radius, in index order.

    Attributes:
        indices: positions in the hash set; shape ``(k,)``, int64, ascending.
        distances: bits of difference; shape ``(k,)``, int64.
        complete: False if the search stopped at its limit with entries left out: then these are any of them.
    """

    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]
    complete: bool = True

    def first(self, limit: int) -> Hits:
        """Return no more hits than the limit."""
        if len(self.indices) <= limit:
            return self
        return Hits(self.indices[:limit], self.distances[:limit], complete=False)


class ManyHits(NamedTuple):
    """The hits of many queries, one after the other.

    Attributes:
        limits: query ``i`` has the hits from ``limits[i]`` up to ``limits[i + 1]``; shape ``(q + 1,)``, int64.
        indices: positions in the hash set, ascending for each query; shape ``(k,)``, int64.
        distances: bits of difference; shape ``(k,)``, int64.
    """

    limits: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Hits]) -> ManyHits:
        """Put the hits of single queries one after the other."""
        limits = np.cumsum([0, *(len(part.indices) for part in parts)], dtype=np.int64)
        return cls(
            limits,
            np.concatenate([NO_HITS.indices, *(part.indices for part in parts)]),
            np.concatenate([NO_HITS.distances, *(part.distances for part in parts)]),
        )


def _empty() -> npt.NDArray[np.int64]:
    nothing = np.empty(0, np.int64)
    nothing.setflags(write=False)
    return nothing


NO_HITS = Hits(_empty(), _empty())


def hits_of(found: npt.NDArray[np.int64], limit: int | None = None) -> Hits:
    """Make hits of what a kernel found: rows and distances, ``(2, k)``, by row if they are few."""
    if found.shape[1] > FEW:
        found = found[:, np.argsort(found[0])]
    hits = Hits(found[0], found[1])
    return hits if limit is None else hits.first(limit)


def many_hits_of(packed: npt.NDArray[np.uint64], owners: npt.NDArray[np.uint32], queries: int) -> ManyHits:
    """Make hits of what a kernel found for many queries: packed hits and the query of each, in any order."""
    rows = (packed & np.uint64(ROW_MASK)).astype(np.int64)
    order = np.lexsort((rows, owners))
    limits = np.zeros(queries + 1, np.int64)
    np.cumsum(np.bincount(owners, minlength=queries), out=limits[1:])
    return ManyHits(limits, rows[order], (packed[order] >> np.uint64(DISTANCE_SHIFT)).astype(np.int64))


class Index(Protocol):
    """Finds every known hash within a radius, exactly. Safe to search from many threads at once."""

    engine: str
    """Name of the engine."""
    bits: int
    """Length of a hash."""

    def __len__(self) -> int:
        """Number of entries."""
        ...

    def search(self, code: bytes, radius: int, limit: int | None = None) -> Hits:
        """Find every entry at distance ``radius`` or less.

        Args:
            code: the hash to look for, ``bits // 8`` bytes.
            radius: 0 to ``bits``, inclusive.
            limit: stop when more than so many are found, at least 1; any of them are returned, and ``complete`` is
                False. All of them if left out.

        Raises:
            HashShapeError: code, radius or limit is out of range.
        """
        ...

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once.

        Args:
            codes: the hashes to look for; shape ``(q, bits // 8)``, uint8; ``q`` may be 0.
            radius: 0 to ``bits``, inclusive.

        Raises:
            HashShapeError: codes or radius are out of range.
        """
        ...


def direct(kernel: Any, *arguments: Any) -> Callable[..., Any]:
    """Compile a kernel for arguments of these types; return it without numba's look at the types in each call.

    What is returned must be called with arguments of exactly these types.
    """
    from numba import typeof

    kernel(*arguments)
    overloads = getattr(kernel, "overloads", None)
    if overloads is None:  # the JIT is off
        return kernel  # type: ignore[no-any-return]
    return overloads[tuple(map(typeof, arguments))].entry_point  # type: ignore[no-any-return]


def checked_query(code: bytes, radius: int, bits: int) -> bytes:
    """Return a query as plain bytes, or raise HashShapeError unless it fits."""
    code = bytes(code)
    if len(code) * 8 != bits:
        raise HashShapeError(f"a query has {bits // 8} bytes, this has {len(code)}")
    if not 0 <= radius <= bits:
        raise HashShapeError(f"a radius is 0 to {bits}, not {radius}")
    return code


def checked_limit(limit: int) -> int:
    """Return a limit, or raise HashShapeError unless it is one."""
    if not 1 <= limit < UNLIMITED:
        raise HashShapeError(f"a limit is 1 or more, not {limit}")
    return limit


def checked_queries(codes: Codes, radius: int, bits: int) -> Codes:
    """Return queries as :func:`checked_codes` does, or raise HashShapeError unless they fit."""
    codes = checked_codes(codes)
    if codes.shape[1] * 8 != bits:
        raise HashShapeError(f"a query has {bits // 8} bytes, these have {codes.shape[1]}")
    if not 0 <= radius <= bits:
        raise HashShapeError(f"a radius is 0 to {bits}, not {radius}")
    return codes


def checked_codes(codes: Codes) -> Codes:
    """Return codes as a read-only C-contiguous view or copy, or raise HashShapeError."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] * 8 not in WIDTHS:
        raise HashShapeError(f"codes are uint8 of shape (n, 8) or (n, 32), not {codes.dtype} of shape {codes.shape}")
    view = np.ascontiguousarray(codes).view()
    view.setflags(write=False)
    return view

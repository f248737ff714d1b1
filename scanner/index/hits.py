"""What a search gives back, and the interface every engine has."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError

Codes = npt.NDArray[np.uint8]
WIDTHS = (64, 256)
"""Lengths of hash, in bits, that the compiled engines search."""


class Hits(NamedTuple):
    """Every entry within the radius, in index order.

    Attributes:
        indices: positions in the hash set; shape ``(k,)``, int64, ascending.
        distances: bits of difference; shape ``(k,)``, int64.
    """

    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]


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


def _empty() -> npt.NDArray[np.int64]:
    nothing = np.empty(0, np.int64)
    nothing.setflags(write=False)
    return nothing


NO_HITS = Hits(_empty(), _empty())


class Index(Protocol):
    """Finds every known hash within a radius, exactly. Safe to search from many threads at once."""

    engine: str
    """Name of the engine."""
    bits: int
    """Length of a hash."""

    def __len__(self) -> int:
        """Number of entries."""
        ...

    def search(self, code: bytes, radius: int) -> Hits:
        """Find every entry at distance ``radius`` or less.

        Args:
            code: the hash to look for, ``bits // 8`` bytes.
            radius: 0 to ``bits``, inclusive.

        Raises:
            HashShapeError: code or radius is out of range.
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


def check_query(code: bytes, radius: int, bits: int) -> None:
    """Raise HashShapeError unless a query fits."""
    if len(code) * 8 != bits:
        raise HashShapeError(f"a query has {bits // 8} bytes, this has {len(code)}")
    if not 0 <= radius <= bits:
        raise HashShapeError(f"a radius is 0 to {bits}, not {radius}")


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

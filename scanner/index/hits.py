"""What a search gives back, and the interface every engine has."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from scanner.errors import HashShapeError

Codes = npt.NDArray[np.uint8]


class Hits(NamedTuple):
    """Every entry within the radius, in index order.

    Attributes:
        indices: positions in the hash set; shape ``(k,)``, int64, ascending.
        distances: bits of difference; shape ``(k,)``, uint16.
    """

    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.uint16]


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


def checked_query(code: bytes, radius: int, bits: int) -> Codes:
    """View a query as bytes, ``(bits // 8,)`` uint8, or raise HashShapeError."""
    query = np.frombuffer(code, np.uint8)
    if query.size != bits // 8:
        raise HashShapeError(f"a query has {bits // 8} bytes, this has {query.size}")
    if not 0 <= radius <= bits:
        raise HashShapeError(f"a radius is 0 to {bits}, not {radius}")
    return query


def checked_codes(codes: Codes) -> Codes:
    """Return codes, ``(n, bits // 8)`` uint8 C-contiguous with whole 64-bit words, or raise HashShapeError."""
    if codes.dtype != np.uint8 or codes.ndim != 2 or codes.shape[1] % 8 or not codes.shape[1]:
        raise HashShapeError(f"codes are uint8 of shape (n, 8 k), not {codes.dtype} of shape {codes.shape}")
    return np.ascontiguousarray(codes)

"""A large index and a small one on top of it, searched as one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scanner.index.hits import Codes, Hits, Index, ManyHits


class LayeredIndex:
    """Entries of ``below`` keep their positions, less those removed; entries of ``above`` come after.

    Args:
        below: the large index.
        above: the added entries.
        positions: number of positions in ``below``, those removed before included.
        removed: positions in ``below`` that no longer count from here on; ascending, int64.
    """

    def __init__(self, below: Index, above: Index, positions: int, removed: npt.NDArray[np.int64]) -> None:
        self.engine = f"{below.engine}, then {above.engine}"
        self.bits = below.bits
        self._below = below
        self._above = above
        self._positions = positions
        self._removed = removed

    def __len__(self) -> int:
        return len(self._below) - len(self._removed) + len(self._above)

    def search(self, code: bytes, radius: int, limit: int | None = None) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`."""
        # Removed entries must not take the place of others.
        below = self._below.search(code, radius, None if limit is None else limit + len(self._removed))
        above = self._above.search(code, radius, limit)
        kept = self._kept(below.indices)
        hits = Hits(
            np.concatenate([below.indices[kept], above.indices + self._positions]),
            np.concatenate([below.distances[kept], above.distances]),
            below.complete and above.complete,
        )
        return hits if limit is None else hits.first(limit)

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once; see :class:`scanner.index.Index`."""
        below = self._below.search_many(codes, radius)
        above = self._above.search_many(codes, radius)
        kept = self._kept(below.indices)
        numbers = np.arange(len(codes))
        owners = np.concatenate(
            [np.repeat(numbers, np.diff(below.limits))[kept], np.repeat(numbers, np.diff(above.limits))]
        )
        order = np.argsort(owners, kind="stable")
        limits = np.zeros(len(codes) + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=len(codes)), out=limits[1:])
        indices = np.concatenate([below.indices[kept], above.indices + self._positions])
        distances = np.concatenate([below.distances[kept], above.distances])
        return ManyHits(limits, indices[order], distances[order])

    def _kept(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if not len(self._removed):
            return np.ones(len(indices), np.bool_)
        places = np.searchsorted(self._removed, indices)
        kept: npt.NDArray[np.bool_] = self._removed[np.minimum(places, len(self._removed) - 1)] != indices
        return kept

"""Exact search by FAISS's IndexBinaryFlat: the field's yardstick, and what a hash-set file holds."""

from __future__ import annotations

import numpy as np

from scanner.index.hits import Codes, Hits, ManyHits, checked_codes, checked_limit, checked_queries, checked_query


class FaissIndex:
    """The ``faiss`` engine; arguments and errors as for :class:`scanner.index.flat.FlatIndex`."""

    engine = "faiss"

    def __init__(self, codes: Codes) -> None:
        import faiss

        codes = checked_codes(codes)
        self.bits = 8 * codes.shape[1]
        self._index = faiss.IndexBinaryFlat(self.bits)
        self._index.add(codes)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, code: bytes, radius: int, limit: int | None = None) -> Hits:
        """Find every entry at distance ``radius`` or less; see :class:`scanner.index.Index`."""
        code = checked_query(code, radius, self.bits)
        limit = None if limit is None else checked_limit(limit)
        # faiss keeps distances below its radius, not at it: the only place where that matters.
        _, distances, indices = self._index.range_search(np.frombuffer(code, np.uint8)[None, :], radius + 1)
        order = np.argsort(indices, kind="stable")
        hits = Hits(indices[order].astype(np.int64), distances[order].astype(np.int64))
        return hits if limit is None else hits.first(limit)

    def search_many(self, codes: Codes, radius: int) -> ManyHits:
        """Find the same for many hashes at once; see :class:`scanner.index.Index`."""
        codes = checked_queries(codes, radius, self.bits)
        return ManyHits.of([self.search(code.tobytes(), radius) for code in codes])

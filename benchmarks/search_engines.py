"""The engines of the search benchmark, each built and called in its own way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from usearch.index import Index as UsearchIndex
from usearch.index import MetricKind, ScalarKind
from usearch.index import search as usearch_search

from benchmarks.search_data import BITS, RADIUS, Codes
from scanner.index.flat import FlatIndex
from scanner.index.multi import CompactIndex, MultiIndex, TableIndex

NEIGHBOURS = 16
LARGEST_FOR_GRAPHS = 1_000_000

Found = set[int]


@dataclass(frozen=True, slots=True)
class Contender:
    """One engine, built.

    Attributes:
        name: what to call it.
        search: finds the entries within the radius of one query, in the form the engine takes; this is what is timed.
        entries: reads the entries' numbers from what ``search`` gave.
        query_of: brings a code into the form the engine takes.
        bytes_used: of the index, the codes included.
        seconds_to_build: without compilation.
        batch: searches many codes at once, where the engine can; its answer is not looked at.
    """

    name: str
    search: Callable[[Any], Any]
    entries: Callable[[Any], Found]
    query_of: Callable[[Codes], Any]
    bytes_used: int
    seconds_to_build: float
    batch: Callable[[Codes], object] | None = None


def contenders(codes: Codes) -> Iterator[Contender]:
    """Build the engines one after the other, so that only one is in memory."""
    yield _built("prescan multi", codes, MultiIndex)
    yield _built("prescan compact", codes, CompactIndex)
    yield _built("prescan flat", codes, FlatIndex)
    yield _faiss("faiss flat (exact)", codes, faiss.IndexBinaryFlat(BITS))
    multi_hash = faiss.IndexBinaryMultiHash(BITS, 16, 16)
    multi_hash.nflip = 1
    yield _faiss("faiss multi-hash (exact)", codes, multi_hash)
    if len(codes) >= 10_000:
        lists = int(2 ** round(np.log2(4 * np.sqrt(len(codes)) / 4)))
        inverted = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(BITS), BITS, lists)
        inverted.cp.niter = 3
        inverted.train(codes[: 40 * lists])
        inverted.nprobe = max(1, lists // 16)
        yield _faiss("faiss IVF", codes, inverted)
    if len(codes) <= LARGEST_FOR_GRAPHS // 10:
        yield _faiss_nearest("faiss HNSW", codes, faiss.IndexBinaryHNSW(BITS, 16))
    if len(codes) <= LARGEST_FOR_GRAPHS:
        yield _usearch_exact(codes)
        yield _numpy(codes)
    if len(codes) <= LARGEST_FOR_GRAPHS // 10:
        yield _usearch("usearch HNSW", codes)


def _built(name: str, codes: Codes, kind: type[MultiIndex | CompactIndex | FlatIndex]) -> Contender:
    kind(codes[:100]).search(bytes(BITS // 8), RADIUS)  # compiles
    kind(codes[:100]).search_many(codes[:2], RADIUS)
    started = time.perf_counter()
    index = kind(codes)
    built = time.perf_counter() - started
    used = codes.nbytes + (index.tables_bytes if isinstance(index, TableIndex) else 0)
    return Contender(
        name, lambda query: index.search(query, RADIUS), lambda hits: set(hits.indices.tolist()),
        lambda code: code.tobytes(), used, built, lambda many: index.search_many(many, RADIUS),
    )  # fmt: skip


def _faiss(name: str, codes: Codes, index: Any) -> Contender:
    started = time.perf_counter()
    index.add(codes)
    built = time.perf_counter() - started

    return Contender(
        name, lambda query: index.range_search(query, RADIUS + 1), lambda found: set(found[2].tolist()), _row,
        _faiss_bytes(index), built, lambda many: index.range_search(many, RADIUS + 1),
    )  # fmt: skip


def _row(code: Codes) -> Codes:
    return code[None]


def _faiss_bytes(index: Any) -> int:
    """Bytes of the serialized index; its form in memory takes more for hash tables."""
    return int(faiss.serialize_index_binary(index).nbytes)


def _faiss_nearest(name: str, codes: Codes, index: Any) -> Contender:
    started = time.perf_counter()
    index.add(codes)
    built = time.perf_counter() - started

    def entries(answer: tuple[Codes, Codes]) -> Found:
        distances, found = answer
        return {int(i) for i, d in zip(found[0], distances[0], strict=True) if i >= 0 and d <= RADIUS}

    return Contender(name, lambda query: index.search(query, NEIGHBOURS), entries, _row, _faiss_bytes(index), built)


def _usearch_entries(answer: Any) -> Found:
    return {int(key) for key, d in zip(answer.keys, answer.distances, strict=True) if d <= RADIUS}


def _as_it_is(code: Codes) -> Codes:
    return code


def _usearch_exact(codes: Codes) -> Contender:
    def search(query: Codes) -> Any:
        return usearch_search(codes, query, NEIGHBOURS, MetricKind.Hamming, exact=True, threads=1)

    return Contender("usearch exact", search, _usearch_entries, _as_it_is, codes.nbytes, 0.0)


def _usearch(name: str, codes: Codes) -> Contender:
    index = UsearchIndex(ndim=BITS, metric=MetricKind.Hamming, dtype=ScalarKind.B1)
    started = time.perf_counter()
    index.add(np.arange(len(codes)), codes, threads=1)
    built = time.perf_counter() - started
    return Contender(
        name, lambda query: index.search(query, NEIGHBOURS, threads=1), _usearch_entries, _as_it_is,
        int(index.memory_usage), built,
    )  # fmt: skip


def _numpy(codes: Codes) -> Contender:
    words = codes.view(np.uint64)

    def search(query: Codes) -> Any:
        distances = np.bitwise_count(words ^ query).sum(axis=1, dtype=np.uint16)
        return np.flatnonzero(distances <= RADIUS)

    return Contender(
        "numpy", search, lambda found: set(found.tolist()), lambda code: code.view(np.uint64), codes.nbytes, 0.0
    )

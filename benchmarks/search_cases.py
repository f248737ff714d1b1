"""The search benchmark's other cases: uneven sets, many hits, other radii, layers, files and pairs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import median_ratio
from benchmarks.search_data import BITS, RADIUS, flips, queries_of
from scanner import HashSet, HashSetBuilder, PerceptualHash
from scanner.hashset import Check, DeltaBuilder, Entry, open_layers
from scanner.index import Index, distance_histogram
from scanner.index.flat import FlatIndex
from scanner.index.multi import MultiIndex

HITS = (1, 10, 100, 1_000, 10_000, 100_000)
QUERIES_BY_HITS = 50
FEWEST_FOR_HITS = 100_000
MILLION = 1_000_000


def cases(sizes: list[int]) -> dict[str, Any]:
    """Measure them all; lists of hits at these sizes."""
    return {
        "radii": other_radii(),
        "hard": hard_cases(),
        "hits": [figure for size in sizes if size >= FEWEST_FOR_HITS for figure in by_hits(size)],
        "layers": layers(),
        "set": set_and_pairs(),
    }


def other_radii() -> list[dict[str, Any]]:
    """Time the ``multi`` engine at other widths and radii, a million random codes each."""
    figures = []
    for size, radii in ((8, (8, 10)), (32, (0, 15, 31, 47, 63))):
        random = np.random.default_rng(size)
        codes = random.integers(0, 256, (MILLION, size), np.uint8)
        index = MultiIndex(codes)
        queries = np.concatenate([codes[:500] ^ np.uint8(1), random.integers(0, 256, (500, size), np.uint8)])
        for radius in radii:
            latencies = []
            for query in [row.tobytes() for row in random.permutation(queries)]:
                started = time.perf_counter()
                index.search(query, radius)
                latencies.append(time.perf_counter() - started)
            figures.append({"bits": 8 * size, "radius": radius, "latencies": latencies})
    return figures


def hard_cases() -> list[dict[str, Any]]:
    """Time the ``multi`` engine beside a scan on sets made to defeat it, a million entries each."""
    random = np.random.default_rng(7)
    base = random.integers(0, 256, (MILLION, BITS // 8), np.uint8)
    equal = np.tile(base[:1], (len(base), 1))
    far = equal[:1] ^ np.packbits(np.arange(BITS) < 40)
    cluster = base.copy()
    cluster[:10_000] = cluster[0] ^ flips(10_000, 8, random)
    near_flat = base.copy()
    half = len(base) // 2
    near_flat[:half] = np.tile(np.array([0xFF, 0x00], np.uint8), BITS // 16) ^ flips(half, 60, random)
    crowded = base.copy()
    crowded.view(np.uint16)[:] = (crowded.view(np.uint16) & 0x000F) | 0x1230
    cases = {
        "all equal": (equal, equal[:20]),
        "all equal, the query 40 bits off": (equal, np.tile(far, (20, 1))),
        "in a cluster of 10,000": (cluster, cluster[:10_000:500]),
        "half near-flat": (near_flat, near_flat[: half : half // 20]),
        "one bucket in every chunk": (crowded, crowded[:20]),
    }
    figures = []
    for name, (codes, queries) in cases.items():
        engines: dict[str, Index] = {"flat": FlatIndex(codes), "multi": MultiIndex(codes)}
        latencies: dict[str, list[float]] = {engine: [] for engine in engines}
        hits = 0
        for query in [row.tobytes() for row in queries]:
            for engine, index in engines.items():
                started = time.perf_counter()
                found = index.search(query, RADIUS)
                latencies[engine].append(time.perf_counter() - started)
                hits = max(hits, len(found.indices))
        figures.append({"case": name, "hits": hits, "latencies": latencies})
    return figures


def by_hits(size: int) -> list[dict[str, Any]]:
    """Time queries by how many of the entries they find, all of them and with a limit of a hundred, beside a scan."""
    random = np.random.default_rng(5)
    codes = random.integers(0, 256, (size, BITS // 8), np.uint8)
    clusters = {}
    begin = 0
    for hits in HITS:
        if size < 8 * hits:
            break
        centre = codes[begin].copy()
        codes[begin : begin + hits] = centre ^ flips(hits, 12, random)
        clusters[hits] = centre
        begin += hits
    codes = codes[random.permutation(size)]
    multi: Index = MultiIndex(codes)
    flat: Index = FlatIndex(codes)
    figures = []
    for hits, centre in clusters.items():
        latencies: dict[str, list[float]] = {"all": [], "a hundred": [], "scan": []}
        for mask in flips(QUERIES_BY_HITS, 6, random):
            query = (centre ^ mask).tobytes()
            for how, index, limit in (("all", multi, None), ("a hundred", multi, 100), ("scan", flat, None)):
                started = time.perf_counter()
                index.search(query, RADIUS, limit)
                latencies[how].append(time.perf_counter() - started)
        figures.append({"size": size, "hits": hits, "latencies": latencies})
    return figures


def layers() -> list[dict[str, Any]]:
    """Time queries of a million mapped from a file, and of the same with 1,000 and 10,000 added and removed on top."""
    random = np.random.default_rng(11)
    codes = random.integers(0, 256, (MILLION, BITS // 8), np.uint8)
    queries = [row.tobytes() for row in queries_of(codes, random)]
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder, "base.prescan")
        builder = HashSetBuilder("base")
        builder.add_codes(codes, np.arange(len(codes), dtype=np.uint64))
        builder.write(base)
        for changes in (0, 1_000, 10_000):
            above: tuple[Path, ...] = ()
            started = time.perf_counter()
            if changes:
                with HashSet.open(base) as known:
                    delta = DeltaBuilder(known, epoch=known.header.epoch + 1)
                    for row in random.integers(0, 256, (changes, BITS // 8), np.uint8):
                        delta.add(Entry(PerceptualHash("pdq", row.tobytes())))
                    for row in codes[:changes]:
                        delta.remove(PerceptualHash("pdq", row.tobytes()))
                    above = (Path(folder, f"{changes}.delta"),)
                    delta.write(above[0])
            built = time.perf_counter() - started
            with open_layers(base, above) as known:
                index = known.open_index()
                for query in queries:
                    index.search(query, RADIUS)
                latencies = []
                for query in queries:
                    started = time.perf_counter()
                    index.search(query, RADIUS)
                    latencies.append(time.perf_counter() - started)
                del index
            figures.append({"changes": changes, "build": built, "latencies": latencies})
    return figures


def set_and_pairs() -> dict[str, float]:
    """Time opening a set of a million, unchecked and checked, and counting all pairs of 40,000 hashes."""
    codes = np.random.default_rng(9).integers(0, 256, (MILLION, BITS // 8), np.uint8)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "million.prescan")
        builder = HashSetBuilder("million")
        builder.add_codes(codes, np.arange(len(codes), dtype=np.uint64))
        builder.write(path)
        for check in (Check.TRUSTED, Check.FULL):
            started = time.perf_counter()
            with HashSet.open(path, check=check):
                figures[f"open_{check}"] = time.perf_counter() - started
        figures["bytes"] = float(path.stat().st_size)
    distance_histogram(codes[:100])
    started = time.perf_counter()
    pairs = distance_histogram(codes[:40_000]).sum()
    figures["pairs_a_second"] = float(pairs / (time.perf_counter() - started))
    return figures


def report_cases(raw: dict[str, Any]) -> None:
    """Print a line for each, made from raw figures."""
    of_set = raw["set"]
    print(
        f"a set of a million: opened in {1e3 * of_set['open_trusted']:.1f} ms, verified in {of_set['open_full']:.2f} s"
    )
    print(f"all pairs: {of_set['pairs_a_second'] / 1e9:.2f} billion a second")
    for case in raw["hard"]:
        flat, multi = case["latencies"]["flat"], case["latencies"]["multi"]
        print(
            f"multi, {case['case']} (up to {case['hits']:,} hits): {1e6 * statistics.median(multi):,.0f} us, "
            f"{median_ratio(multi, flat):.2f} x a scan"
        )
    for case in raw["hits"]:
        print(
            f"multi, {case['size']:,} entries, {case['hits']:,} found: "
            + ", ".join(f"{how} {1e6 * statistics.median(spent):,.1f}" for how, spent in case["latencies"].items())
            + f" us; p99 of all {1e6 * float(np.percentile(case['latencies']['all'], 99)):,.1f} us"
        )
    for case in raw["layers"]:
        print(
            f"a million from a file, {case['changes']:,} added and {case['changes']:,} removed by a delta: "
            f"p50 {1e6 * statistics.median(case['latencies']):.1f} us, delta made in {case['build']:.2f} s"
        )
    for figures in raw["radii"]:
        p50 = 1e6 * statistics.median(figures["latencies"])
        print(f"multi, a million of {figures['bits']} bits within {figures['radius']}: {p50:.1f} us")

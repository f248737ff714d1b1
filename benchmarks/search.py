"""Exact and approximate search side by side: the engines here, FAISS's, usearch's and plain numpy, one thread each.

    python -m benchmarks.search [--sizes 1000,100000,1000000,10000000]

Raw latencies go to benchmarks/results/search.json first; table and plots are made from them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import machine, median_ratio, one_thread, store
from benchmarks.search_engines import BITS, RADIUS, Codes, Contender, Found, contenders
from scanner import HashSet, HashSetBuilder
from scanner.hashset import Check
from scanner.index import Index, distance_histogram
from scanner.index.flat import FlatIndex
from scanner.index.multi import MultiIndex

QUERIES = 1000
SECONDS_AN_ENGINE = 4.0
SECONDS_TO_WARM_UP = 1.0
FEWEST = 50
BATCH = 20_000
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
LARGEST_STRUCTURED = 1_000_000


def uniform(size: int, random: np.random.Generator) -> tuple[Codes, Codes]:
    """Random codes; half of the queries are up to 31 bits from an entry, half are random."""
    codes = random.integers(0, 256, (size, BITS // 8), np.uint8)
    return codes, _queries(codes, random)


def structured(size: int, random: np.random.Generator) -> tuple[Codes, Codes]:
    """What lists are like: a quarter near-copies in clusters, a quarter near-flat, the rest random."""
    codes = random.integers(0, 256, (size, BITS // 8), np.uint8)
    near = size // 4
    cluster = random.integers(0, max(1, size // 10_000), near)
    codes[:near] = codes[-1 - cluster] ^ _flips(near, 12, random)
    flat = slice(near, 2 * near)
    codes[flat] = np.tile(np.array([0xFF, 0x00], np.uint8), BITS // 16) ^ _flips(near, 60, random)
    return codes, _queries(codes, random)


def _flips(count: int, most: int, random: np.random.Generator) -> Codes:
    """Masks of up to so many bits each."""
    chance = random.integers(0, most + 1, (count, 1)) / BITS
    return np.packbits(random.random((count, BITS)) < chance, axis=1)


def _queries(codes: Codes, random: np.random.Generator) -> Codes:
    queries = random.integers(0, 256, (QUERIES, BITS // 8), np.uint8)
    known = random.choice(len(codes), QUERIES // 2)
    for place, entry in enumerate(known):
        flipped = np.zeros(BITS, np.uint8)
        flipped[random.choice(BITS, random.integers(0, RADIUS + 1), replace=False)] = 1
        queries[place] = codes[entry] ^ np.packbits(flipped)
    return queries[random.permutation(QUERIES)]


def measure(contender: Contender, queries: Codes, truth: list[Found]) -> dict[str, Any]:
    """Time single queries, call by call, until all are done or the time is up; compare what is found with the truth."""
    _warm_up(contender, queries)
    latencies: list[float] = []
    answers: list[Any] = []
    begun = time.perf_counter()
    for query in [contender.query_of(code) for code in queries]:
        started = time.perf_counter()
        answers.append(contender.search(query))
        latencies.append(time.perf_counter() - started)
        if time.perf_counter() - begun > SECONDS_AN_ENGINE and len(latencies) >= FEWEST:
            break
    wanted = found = wrong = 0
    for answer, right in zip(answers, truth, strict=False):
        got = contender.entries(answer)
        wanted += len(right)
        found += len(got & right)
        wrong += len(got - right)
    return {
        "engine": contender.name,
        "latencies": latencies,
        "recall": found / wanted if wanted else 1.0,
        "false": wrong,
        "bytes": contender.bytes_used,
        "build": contender.seconds_to_build,
        "queries_a_second": _throughput(contender, queries),
    }


def _warm_up(contender: Contender, queries: Codes) -> None:
    """Search other codes for a while, so that every engine is met in use and not as it was built."""
    begun = time.perf_counter()
    for code in queries[:, ::-1]:
        contender.search(contender.query_of(np.ascontiguousarray(code)))
        if time.perf_counter() - begun > SECONDS_TO_WARM_UP:
            break


def _throughput(contender: Contender, queries: Codes) -> float | None:
    if contender.batch is None:
        return None
    many = np.tile(queries, (BATCH // len(queries), 1))
    many[:, -1] ^= np.arange(len(many)).astype(np.uint8)  # no query twice
    if not contender.name.startswith("prescan m"):
        many = many[:100]
    started = time.perf_counter()
    contender.batch(many)
    return len(many) / (time.perf_counter() - started)


def other_radii() -> list[dict[str, Any]]:
    """Time the ``multi`` engine at other widths and radii, a million random codes each."""
    figures = []
    for size, radii in ((8, (8, 10)), (32, (0, 15, 31, 47, 63))):
        random = np.random.default_rng(size)
        codes = random.integers(0, 256, (1_000_000, size), np.uint8)
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


def set_and_pairs() -> dict[str, float]:
    """Time opening a set of a million, unchecked and checked, and counting all pairs of 40,000 hashes."""
    codes = np.random.default_rng(9).integers(0, 256, (1_000_000, BITS // 8), np.uint8)
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


def hard_cases() -> list[dict[str, Any]]:
    """Time the ``multi`` engine beside a scan on sets made to defeat it, a million entries each."""
    random = np.random.default_rng(7)
    base = random.integers(0, 256, (1_000_000, BITS // 8), np.uint8)
    equal = np.tile(base[:1], (len(base), 1))
    far = equal[:1] ^ np.packbits(np.arange(BITS) < 40)
    cluster = base.copy()
    cluster[:10_000] = cluster[0] ^ _flips(10_000, 8, random)
    near_flat = base.copy()
    half = len(base) // 2
    near_flat[:half] = np.tile(np.array([0xFF, 0x00], np.uint8), BITS // 16) ^ _flips(half, 60, random)
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


def main() -> None:
    """Measure, store, print, plot."""
    parser = argparse.ArgumentParser(description="Search engines side by side.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="entries, separated by commas")
    sizes = [int(text) for text in parser.parse_args().sizes.split(",")]
    one_thread()
    runs: list[dict[str, Any]] = []
    raw = {"machine": machine("faiss-cpu", "usearch", "numba", "numpy"), "radius": RADIUS, "runs": runs}
    for name, make in (("uniform", uniform), ("structured", structured)):
        for size in sizes:
            if make is structured and size > LARGEST_STRUCTURED:
                continue
            codes, queries = make(size, np.random.default_rng(size))
            exact = FlatIndex(codes)
            truth = [set(exact.search(query.tobytes(), RADIUS).indices.tolist()) for query in queries]
            for contender in contenders(codes):
                print(f"{name} {size:,} {contender.name}", file=sys.stderr)
                runs.append({"data": name, "size": size, **measure(contender, queries, truth)})
                store("search", raw)  # after each engine, so that an interrupted run is not lost
    raw["radii"] = other_radii()
    raw["hard"] = hard_cases()
    raw["set"] = set_and_pairs()
    print(f"raw figures: {store('search', raw)}", file=sys.stderr)
    report(raw)
    from benchmarks.search_plots import plot

    for path in plot(raw):
        print(f"plot: {path}", file=sys.stderr)


def report(raw: dict[str, Any]) -> None:
    """Print a table made from raw figures."""
    print(f"{'data':<11}{'entries':>11}  {'engine':<25}{'p50 us':>9}{'p99 us':>9}{'x flat':>8}{'queries/s':>11}"
          f"{'recall':>8}{'B/hash':>8}{'build s':>9}")  # fmt: skip
    medians = {
        (run["data"], run["size"]): statistics.median(run["latencies"])
        for run in raw["runs"]
        if run["engine"] == "faiss flat (exact)"
    }
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
    for figures in raw["radii"]:
        p50 = 1e6 * statistics.median(figures["latencies"])
        print(f"multi, a million of {figures['bits']} bits within {figures['radius']}: {p50:.1f} us")
    for run in raw["runs"]:
        p50 = statistics.median(run["latencies"])
        p99 = float(np.percentile(run["latencies"], 99))
        many = f"{run['queries_a_second']:,.0f}" if run["queries_a_second"] else ""
        print(
            f"{run['data']:<11}{run['size']:>11,}  {run['engine']:<25}{1e6 * p50:>9.1f}{1e6 * p99:>9.1f}"
            f"{medians[run['data'], run['size']] / p50:>8.1f}{many:>11}{run['recall']:>8.3f}"
            f"{run['bytes'] / run['size']:>8.0f}{run['build']:>9.2f}"
        )


if __name__ == "__main__":
    main()

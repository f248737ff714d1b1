"""Exact and approximate search side by side: the engines here, FAISS's, usearch's and plain numpy, one thread each.

    python -m benchmarks.search [--sizes 1000,100000,1000000,10000000]

Raw latencies go to benchmarks/results/search.json first; table and plots are made from them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks.measure import machine, one_thread, store
from benchmarks.search_cases import cases, report_cases
from benchmarks.search_data import RADIUS, Codes, structured, uniform
from benchmarks.search_engines import Contender, Found, contenders
from scanner.index.flat import FlatIndex

SECONDS_AN_ENGINE = 4.0
SECONDS_TO_WARM_UP = 1.0
FEWEST = 50
BATCH = 20_000
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
LARGEST_STRUCTURED = 1_000_000


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
    raw |= cases(sizes)
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
    report_cases(raw)
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

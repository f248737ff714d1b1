"""Plots of stored search figures: python -m benchmarks.search_plots"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.measure import RESULTS


def plot(raw: dict[str, Any]) -> list[Path]:
    """Draw latency against entries, recall against latency, and memory; one PNG each, from uniform data."""
    mpl.use("Agg")
    runs = [run for run in raw["runs"] if run["data"] == "uniform"]
    engines = list(dict.fromkeys(run["engine"] for run in runs))
    colours = dict(zip(engines, plt.colormaps["tab10"].colors, strict=False))  # type: ignore[attr-defined]
    return [_latency(runs, engines, colours), _recall(runs, engines, colours), _memory(runs, engines, colours)]


def _latency(runs: list[dict[str, Any]], engines: list[str], colours: dict[str, Any]) -> Path:
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for engine in engines:
        own = [(run["size"], 1e6 * statistics.median(run["latencies"])) for run in runs if run["engine"] == engine]
        axes.loglog(*zip(*own, strict=True), "o-", label=engine, color=colours[engine])
    axes.set(
        xlabel="entries", ylabel="median latency of one query, µs", title="256-bit hashes within 31 bits, one thread"
    )
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return _saved(figure, "search-latency")


def _recall(runs: list[dict[str, Any]], engines: list[str], colours: dict[str, Any]) -> Path:
    size = max(run["size"] for run in runs if run["engine"] == "usearch HNSW")
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for engine in engines:
        for run in runs:
            if (run["engine"], run["size"]) == (engine, size):
                axes.semilogx(
                    1e6 * statistics.median(run["latencies"]), run["recall"], "o", color=colours[engine], label=engine
                )
    axes.set(xlabel="median latency of one query, µs", ylabel="share of entries found", title=f"{size:,} entries")
    axes.set_ylim(0, 1.05)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return _saved(figure, "search-recall")


def _memory(runs: list[dict[str, Any]], engines: list[str], colours: dict[str, Any]) -> Path:
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for engine in engines:
        own = max((run for run in runs if run["engine"] == engine), key=lambda run: run["size"])
        axes.barh(engine, own["bytes"] / own["size"], color=colours[engine])
    axes.invert_yaxis()
    axes.set(xlabel="bytes a hash, the hash included", title="memory, at the largest size measured")
    return _saved(figure, "search-memory")


def _saved(figure: Any, name: str) -> Path:
    path = RESULTS / f"{name}.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


if __name__ == "__main__":
    for drawn in plot(json.loads((RESULTS / "search.json").read_text("utf-8"))):
        print(drawn)

"""Time things side by side, and store what was measured before anything is made of it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def interleaved(runs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Call each function once a round, so that a change of the machine's speed meets all of them.

    Each round begins with another one, as what ran before leaves its traces in the caches.

    Returns:
        seconds, one a round, by name. One round before the first is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        turn = number % len(runs)
        for name, run in (*list(runs.items())[turn:], *list(runs.items())[:turn]):
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def median_ratio(over: list[float], under: list[float]) -> float:
    """Median of the ratios, round by round."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def machine(*packages: str) -> dict[str, Any]:
    """Say where and with what a measurement was made."""
    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in packages},
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def store(name: str, raw: Mapping[str, Any]) -> Path:
    """Write raw figures as JSON under ``benchmarks/results``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(raw, indent=1) + "\n", "utf-8")
    return path


def one_thread() -> None:
    """Hold every numeric library of this process to one thread, and the process to one processor."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    import faiss

    faiss.omp_set_num_threads(1)

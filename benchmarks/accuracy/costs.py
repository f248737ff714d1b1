"""What counting all pairs costs: told beforehand from a short measurement, and measured beside other programs.

Rules: a cost is worked out from a speed measured here and now, with the kernel that would do the work; programs are
compared in one run, one thread each, round by round.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.accuracy import tiles
from benchmarks.accuracy.banks import Whole, Words
from benchmarks.accuracy.kept import sealed
from benchmarks.accuracy.pools import amount, duration
from benchmarks.accuracy.sums import BLOCK, add_sums
from benchmarks.measure import interleaved, machine, one_thread
from scanner.errors import ArgumentError
from scanner.index import distance_histogram

CALIBRATION = (2_048, 1 << 17)
"""Rows and columns that are counted again and again."""
NEAR_BYTES = 18
"""Of a near pair in a tile: two numbers of 8 bytes, one of 2."""
COMPARED = (2_000, 100_000)
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Cost:
    """What it takes to count all pairs.

    Attributes:
        pairs: inside clusters or not.
        tiles: files, and pieces of work.
        seconds: all workers for the pairs, and one process for the sums by cluster.
        disk: bytes of hashes, clusters and tiles.
        near: pairs listed, if the rate that was given is right.
        speed: pairs a second and worker.
        workers: processes.
        memory: bytes that each worker holds at a time, about.
    """

    pairs: int
    tiles: int
    seconds: float
    disk: int
    near: float
    speed: float
    workers: int
    memory: int

    def lines(self) -> list[str]:
        """Put it in words."""
        hours = self.pairs / self.speed / 3600
        return [
            f"pairs    {self.pairs:,} ({self.pairs:.3g})",
            f"tiles    {self.tiles:,}",
            f"time     {duration(self.seconds)} with {self.workers:,} workers; {hours:,.1f} core hours",
            f"speed    {amount(self.speed)} pairs/s a worker, measured here and now",
            f"disk     {amount(self.disk)}B, with {amount(self.near)} near pairs",
            f"memory   {amount(self.memory)}B a worker",
        ]


def cost(
    rows: int,
    columns: int | None,
    bits: int,
    speed: float,
    sum_speed: float,
    *,
    workers: int,
    near_rate: float,
    height: int = tiles.ROWS,
    width: int = tiles.COLUMNS,
) -> Cost:
    """Tell what counting takes, however much it is.

    Args:
        rows: hashes of the one side, at least 1.
        columns: of the other; None for the pairs within the one.
        bits: length of a hash.
        speed: pairs a second and worker.
        sum_speed: hashes a second whose distances are summed up by cluster.
        workers: processes.
        near_rate: share of pairs within reach, 0 to 1.
        height: rows of a tile.
        width: columns of a tile.

    Raises:
        ArgumentError: a value is outside the above.
    """
    if (
        min(rows, columns or 1, bits, workers, height, width) < 1
        or min(speed, sum_speed) <= 0
        or not 0 <= near_rate <= 1
    ):
        raise ArgumentError("sizes, bits, workers and speed are over 0, and the near rate is 0 to 1")
    across = rows if columns is None else columns
    pairs = rows * (rows - 1) // 2 if columns is None else rows * columns
    down, along = -(-rows // height), -(-across // width)
    count = down * along if columns is not None else _tiles_within(rows, height, width)
    words = -(-bits // 64)
    empty = sum(map(len, sealed(tiles.Counted.of_none(bits).arrays(), "")))
    hashes = (rows + (columns or 0)) * (8 * words + 8)
    near = pairs * near_rate
    memory = min(width, across) * 8 * (2 * words + 3) + min(height, rows) * 8 * (words + 3)
    seconds = pairs / (speed * workers) + (rows + (columns or 0)) / sum_speed
    disk = hashes + count * empty + round(near * NEAR_BYTES)
    return Cost(pairs, count, seconds, disk, near, speed, workers, memory)


def _tiles_within(rows: int, height: int, width: int) -> int:
    """Count the tiles that ``tiles.cut`` makes, without making them."""
    along = -(-rows // width)
    down = -(-rows // height)
    # before the columns that row i * height meets, (i * height + 1) // width tiles are left out
    return down * along - _floor_sum(down, height, 1, width)


def _floor_sum(count: int, step: int, start: int, divisor: int) -> int:
    """Sum of ``(i * step + start) // divisor`` for ``i`` from 0 up to ``count``, by Euclid's algorithm."""
    total = 0
    while count:
        total += (step // divisor) * (count * (count - 1) // 2) + (start // divisor) * count
        step, start = step % divisor, start % divisor
        top = step * count + start
        if top < divisor:
            break
        count, start = divmod(top, divisor)
        step, divisor = divisor, step
    return total


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def speed_here(bits: int, seconds: float = 2.0, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure pairs a second of one worker here, with hashes by chance.

    Args:
        bits: length of a hash.
        seconds: to measure; one round at least, after one that compiles.
        clock: seconds that never go back.
    """
    rows, columns = (_by_chance(count, bits) for count in CALIBRATION)

    def run() -> Whole:
        return _tiles(rows, columns, bits, 0)

    run()
    rounds, begun = 0, clock()
    while not rounds or clock() - begun < seconds:
        run()
        rounds += 1
    return rounds * len(rows) * len(columns) / max(clock() - begun, 1e-9)


def sum_speed_here(bits: int, clock: Callable[[], float] = time.perf_counter) -> float:
    """Measure hashes a second whose distances from as many others are summed up by cluster.

    Args:
        bits: length of a hash.
        clock: seconds that never go back.
    """
    words, labels = _by_chance(BLOCK, bits), np.zeros(BLOCK, np.int64)
    begun = clock()
    add_sums(np.zeros((1, 3), np.int64), words, labels, words, bits)
    return BLOCK / max(clock() - begun, 1e-9)


def measured(sizes: tuple[int, int] = COMPARED, rounds: int = ROUNDS) -> dict[str, Any]:
    """Count the same pairs with each program, in one thread, in turn.

    Args:
        sizes: rows and columns.
        rounds: of which each program's median is taken.

    Returns:
        ``machine``, ``pairs``, and ``runs``: seconds of each round by bits and program.

    Raises:
        ArgumentError: two programs count differently.
    """
    one_thread()
    runs: dict[str, dict[str, list[float]]] = {}
    for bits in (256, 64):
        rows, columns = (_by_chance(count, bits) for count in sizes)
        contenders = _contenders(rows, columns, bits)
        truth = contenders["numpy"]()
        for name, contender in contenders.items():
            if not np.array_equal(contender(), truth):
                raise ArgumentError(f"{name} counts other distances than numpy")
        runs[str(bits)] = interleaved(contenders, rounds)
    return {"machine": machine("faiss-cpu", "numba", "numpy"), "pairs": sizes[0] * sizes[1], "runs": runs}


def report(raw: Mapping[str, Any]) -> None:
    """Print a table of what was measured."""
    print(f"{raw['machine']['processor']}, one thread, {raw['pairs']:,} pairs, median of the rounds")
    print(f"{'bits':>5}  {'program':<34}{'G pairs/s':>10}{'x numpy':>9}")
    for bits, runs in raw["runs"].items():
        medians = {name: statistics.median(seconds) for name, seconds in runs.items()}
        for name, seconds in medians.items():
            print(f"{bits:>5}  {name:<34}{raw['pairs'] / seconds / 1e9:>10.3f}{medians['numpy'] / seconds:>9.1f}")


def _contenders(rows: Words, columns: Words, bits: int) -> dict[str, Callable[[], Whole]]:
    reach = bits // 8
    left, right = rows.view(np.uint8), columns.view(np.uint8)
    return {
        "tiles, with near pairs": lambda: _tiles(rows, columns, bits, reach),
        "scanner.index.distance_histogram": lambda: distance_histogram(left, right),
        "faiss.hammings and bincount": lambda: _faiss(left, right, bits),
        "numpy": lambda: _numpy(rows, columns, bits),
    }


def _tiles(rows: Words, columns: Words, bits: int, reach: int) -> Whole:
    one, other = np.arange(len(rows)), np.arange(len(rows), len(rows) + len(columns))  # every hash by itself
    return tiles.count(rows, columns, one, other, bits, reach, shift=len(rows)).histogram


def _numpy(rows: Words, columns: Words, bits: int) -> Whole:
    counts = np.zeros(bits + 1, np.int64)
    for row in rows:
        away = np.bitwise_count(row ^ columns).sum(axis=1, dtype=np.uint16)
        counts += np.bincount(away, minlength=bits + 1)
    return counts


def _faiss(rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any], bits: int) -> Whole:
    import faiss

    hammings: Any = faiss.hammings  # type: ignore[attr-defined]
    counts = np.zeros(bits + 1, np.int64)
    block = 16
    away = np.empty((block, len(columns)), np.int32)
    for start in range(0, len(rows), block):
        part = np.ascontiguousarray(rows[start : start + block])
        pointers = [faiss.swig_ptr(array) for array in (part, columns, away)]
        hammings(pointers[0], pointers[1], len(part), len(columns), bits // 8, pointers[2])
        counts += np.bincount(away[: len(part)].ravel(), minlength=bits + 1)
    return counts


def _by_chance(count: int, bits: int) -> Words:
    rng = np.random.default_rng(count)
    words = -(-bits // 64)
    found: Words = rng.integers(0, 1 << 64, (count, words), np.uint64)
    if bits % 64:
        packed = np.unpackbits(found.view(np.uint8), axis=1)
        packed[:, bits:] = 0
        found = np.packbits(packed, axis=1).view(np.uint64)
    return found

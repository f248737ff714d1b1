"""All pairs of two sets of hashes, or within one, cut into tiles that are counted one by one and kept on disk.

Rules: everything counted is a whole number, so sums are the same in any order; a pair inside a cluster is counted
nowhere; a tile's file is named by all that its content follows from, is written whole or not at all, and is believed
only if its digest is right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.banks import Bank, Whole, Words, digest_of, fixed, mapped_clusters, mapped_words
from benchmarks.accuracy.kept import keep, kept
from scanner.errors import ArgumentError, StorageError

VERSION = 1
"""Raised whenever a tile's numbers or its file change."""
ROWS = 16_384
COLUMNS = 1 << 20
MOST_NEAR = 10_000_000
"""Near pairs in one tile; more say that the reach is no tail."""

ROOM = 1 << 16


class Bounds(NamedTuple):
    """Rows and columns of a tile: the first, and the one after the last."""

    row: int
    row_end: int
    column: int
    column_end: int

    def pairs(self, *, within: bool) -> int:
        """Count the pairs, inside clusters or not; within one bank those whose column is over the row."""
        height, width = self.row_end - self.row, self.column_end - self.column
        if not within:
            return height * width
        top = self.column_end - 1 - self.row  # columns that the first row meets, were there none left of the tile
        full = min(height, max(0, self.column - self.row))  # rows that meet them all
        steps = min(height, top) - full
        return full * width + (steps * (top - full + top - full - steps + 1) // 2 if steps > 0 else 0)


class Task(NamedTuple):
    """What a worker is told: paths and numbers."""

    hashes: str
    clusters: str
    other_hashes: str
    other_clusters: str
    bits: int
    within: int
    row: int
    row_end: int
    column: int
    column_end: int
    reach: int
    most: int
    digest: str
    path: str

    @property
    def pairs(self) -> int:
        """Pairs to look at."""
        return Bounds(self.row, self.row_end, self.column, self.column_end).pairs(within=bool(self.within))


@dataclass(frozen=True, eq=False)
class Counted:
    """What is known of the pairs of different clusters, of one tile or of all.

    Attributes:
        histogram: pairs at each distance; shape ``(bits + 1,)``, int64.
        first: row of each pair within reach, ascending, and then by column; shape ``(k,)``, int64.
        second: its column; shape ``(k,)``, int64. Within one bank ``first < second``.
        distance: in bits; shape ``(k,)``, uint16.
        inside: pairs left out because they are inside a cluster.
    """

    histogram: Whole
    first: Whole
    second: Whole
    distance: NDArray[np.uint16]
    inside: int

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Name the parts, for a file."""
        return {
            "histogram": self.histogram,
            "first": self.first,
            "second": self.second,
            "distance": self.distance,
            "inside": np.array(self.inside, np.int64),
        }

    @classmethod
    def of_arrays(cls, held: Mapping[str, NDArray[Any]]) -> Counted:
        """Make it of what ``arrays`` gave."""
        return cls(held["histogram"], held["first"], held["second"], held["distance"], int(held["inside"]))

    @classmethod
    def of_none(cls, bits: int) -> Counted:
        """What is known of no pairs."""
        none = np.zeros(0, np.int64)
        return cls(np.zeros(bits + 1, np.int64), none, none, np.zeros(0, np.uint16), 0)


def cut(rows: int, columns: int | None, height: int = ROWS, width: int = COLUMNS) -> Iterator[Bounds]:
    """Cut all pairs into tiles, row by row.

    Args:
        rows: hashes of the one side.
        columns: of the other; None for the pairs within the one, each once.
        height: rows of a tile, at least 1.
        width: columns of a tile, at least 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    if min(height, width) < 1:
        raise ArgumentError(f"a tile of {height} x {width} holds no pair")
    across = rows if columns is None else columns
    for row in range(0, rows, height):
        for column in range(0 if columns is not None else (row + 1) // width * width, across, width):
            yield Bounds(row, min(row + height, rows), column, min(column + width, across))


def tasks(
    left: Bank,
    right: Bank | None,
    reach: int,
    folder: Path,
    *,
    height: int = ROWS,
    width: int = COLUMNS,
    most: int = MOST_NEAR,
) -> list[Task]:
    """List the tiles of all pairs of two banks, or within one, in order.

    Args:
        left: the rows.
        right: the columns; None for the pairs within ``left``, each once.
        reach: pairs up to this distance are listed.
        folder: where the tiles' files are or will be.
        height: rows of a tile.
        width: columns of a tile.
        most: near pairs in one tile, before it is given up.

    Raises:
        ArgumentError: the banks' hashes differ in length, or a value is not as above.
    """
    other = right or left
    if other.bits != left.bits:
        raise ArgumentError(f"hashes of {left.bits} and {other.bits} bits have no distance")
    if not 0 <= reach <= left.bits:
        raise ArgumentError(f"a reach is 0 to {left.bits} bits, not {reach}")
    found = []
    for bounds in cut(left.count, None if right is None else right.count, height, width):
        digest = digest_of([VERSION, left.digest, right and right.digest, *bounds, reach])
        found.append(
            Task(
                str(left.hashes), str(left.clusters), str(other.hashes), str(other.clusters), left.bits,
                int(right is None), *bounds, reach, most, digest, str(folder / f"{digest}.tile"),
            )
        )  # fmt: skip
    return found


def count_tile(*arguments: int | str) -> tuple[int, float]:
    """Count one tile and keep it; what a worker does.

    Args:
        *arguments: of a ``Task``.

    Returns:
        pairs looked at, and seconds.

    Raises:
        ArgumentError: more pairs are near than the task allows.
        StorageError: a bank can't be read, or the tile not written.
    """
    started = time.perf_counter()
    task = Task(*arguments)  # type: ignore[arg-type]
    rows = mapped_words(task.hashes)[task.row : task.row_end]
    columns = mapped_words(task.other_hashes)[task.column : task.column_end]
    labels = mapped_clusters(task.clusters)[task.row : task.row_end]
    other = mapped_clusters(task.other_clusters)[task.column : task.column_end]
    shift = task.column - task.row if task.within else len(rows)
    found = count(rows, columns, labels, other, task.bits, task.reach, shift=min(shift, len(rows)), most=task.most)
    found = Counted(found.histogram, found.first + task.row, found.second + task.column, found.distance, found.inside)
    if int(found.histogram.sum()) + found.inside != task.pairs:
        raise ArgumentError(f"counted {int(found.histogram.sum()) + found.inside:,} of {task.pairs:,} pairs")
    keep(Path(task.path), found.arrays(), task.digest)
    return task.pairs, time.perf_counter() - started


def count(
    rows: Words,
    columns: Words,
    row_clusters: Whole,
    column_clusters: Whole,
    bits: int,
    reach: int,
    *,
    shift: int,
    most: int = MOST_NEAR,
) -> Counted:
    """Count the pairs of two blocks of hashes that are of different clusters.

    Args:
        rows: shape ``(n, W)``, uint64.
        columns: shape ``(m, W)``, uint64.
        row_clusters: shape ``(n,)``, int64.
        column_clusters: shape ``(m,)``, int64.
        bits: length of a hash; over it, bits are 0.
        reach: pairs up to this distance are listed.
        shift: row ``i`` meets the columns over ``i - shift``; ``n`` for all, 0 for the pairs within one block.
        most: near pairs before it is given up.

    Raises:
        ArgumentError: more pairs are near.
    """
    from benchmarks.accuracy import _tiles_kernels as kernels

    rows, columns, across = fixed(rows), fixed(columns), np.ascontiguousarray(columns.T)
    words = rows.shape[1]
    counts, inside = np.zeros(64 * words + 1, np.int64), np.zeros(64 * words + 1, np.int64)
    table, near = np.zeros(1 << 16, np.uint32), np.empty((3, ROOM), np.int64)
    parts: list[Whole] = []
    total = column = row = 0
    while column < len(columns):
        if words in (1, 4):
            column, row, found = kernels.count_short(rows, across, shift, reach, column, row, counts, table, near)
        else:
            column, row, found = kernels.count_long(rows, across, shift, reach, column, row, counts, near)
        parts.append(near[:, :found].copy())
        total += found
        if total > most:
            raise ArgumentError(
                f"over {most:,} pairs of a tile are within {reach} bits: lower the reach, or cut smaller tiles"
            )
    orders = [np.argsort(labels, kind="stable") for labels in (row_clusters, column_clusters)]
    kernels.count_inside(
        rows, orders[0], row_clusters[orders[0]],
        columns, orders[1], column_clusters[orders[1]],
        shift, inside, np.zeros((0, 3), np.int64),
    )  # fmt: skip
    first, second, distance = np.concatenate([np.zeros((3, 0), np.int64), *parts], axis=1)
    apart = row_clusters[first] != column_clusters[second]
    first, second, distance = first[apart], second[apart], distance[apart]
    order = np.lexsort((second, first))
    histogram = (counts - inside)[: bits + 1]
    return Counted(histogram, first[order], second[order], distance[order].astype(np.uint16), int(inside.sum()))


def read_tile(task: Task) -> Counted | None:
    """Read a tile that was kept; None if there is none or it is damaged.

    Raises:
        StorageError: the file is there but can't be read.
    """
    held = kept(Path(task.path), task.digest)
    return None if held is None else Counted.of_arrays(held)


def add_up(work: Sequence[Task], bits: int) -> Counted:
    """Put tiles together; the result is the same whatever their order.

    Args:
        work: the tiles; there may be none.
        bits: length of a hash.

    Raises:
        StorageError: a tile is missing or damaged.
    """
    found = [Counted.of_none(bits)]
    for task in work:
        one = read_tile(task)
        if one is None:
            raise StorageError(f"{task.path} is missing or damaged; run again, the other tiles are kept")
        found.append(one)
    first = np.concatenate([one.first for one in found])
    second = np.concatenate([one.second for one in found])
    order = np.lexsort((second, first))
    distance = np.concatenate([one.distance for one in found])[order]
    histogram: Whole = np.stack([one.histogram for one in found]).sum(axis=0)
    return Counted(histogram, first[order], second[order], distance, sum(one.inside for one in found))

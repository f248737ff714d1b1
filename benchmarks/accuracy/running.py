"""Count all pairs of two sets of hashes, or within one: resumable, on the processors here or on a Dask cluster.

    python -m benchmarks.accuracy.running LEFT [RIGHT] --bits 256 --reach 50 --out FOLDER [--dask tcp://HOST:8786]
    python -m benchmarks.accuracy.running 44721361 --bits 256 --dry-run
    python -m benchmarks.accuracy.running --measure

LEFT and RIGHT are ``.npy`` files of packed hashes; for a dry run a number of hashes will do.

Rules: a run that was ended goes on where it was, from the folder alone; the result is made of the tiles on disk and
of nothing else; two ways of counting have to agree, or there is no result.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import costs
from benchmarks.accuracy.banks import Bank, Whole, digest_of, store_bank
from benchmarks.accuracy.kept import ready
from benchmarks.accuracy.pools import Piece, Pool, Progress, carry_out, dask, processes
from benchmarks.accuracy.sums import cluster_sums
from benchmarks.accuracy.tiles import COLUMNS, MOST_NEAR, ROWS, VERSION, Counted, add_up, count_tile, read_tile, tasks
from benchmarks.measure import store
from scanner.errors import ArgumentError, LocalError, ScannerError, StorageError
from scanner.files import replace_file


@dataclass(frozen=True, eq=False)
class AllPairs:
    """All pairs of different clusters, counted: raw figures, from which rates are made.

    Attributes:
        counted: histogram, near pairs, and how many pairs were left out.
        sums: by cluster, as ``sums.cluster_sums`` gives them; shape ``(c, 3)``, int64.
        bits: length of a hash.
        reach: pairs up to this distance are listed.
        left: digest of the bank of rows.
        right: digest of the bank of columns; None for the pairs within ``left``.
    """

    counted: Counted
    sums: Whole
    bits: int
    reach: int
    left: str
    right: str | None

    @property
    def digest(self) -> str:
        """SHA-256 over all that the figures follow from, hexadecimal."""
        return digest_of([VERSION, self.left, self.right, self.bits, self.reach])

    def write(self, path: Path) -> None:
        """Write an ``.npz``, whole or not at all; the same figures make the same bytes.

        Raises:
            StorageError: it can't be written.
        """
        about = {"bits": self.bits, "reach": self.reach, "left": self.left, "right": self.right, "version": VERSION}
        file = io.BytesIO()
        np.savez(
            file,
            allow_pickle=False,
            **self.counted.arrays(),
            sums=self.sums,
            about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        )
        replace_file(path, [file.getvalue()])

    @classmethod
    def read(cls, path: Path) -> AllPairs:
        """Read what ``write`` wrote.

        Raises:
            StorageError: it can't be read, or is not such a file.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
                about = json.loads(held["about"].tobytes())
                return cls(
                    Counted.of_arrays(held), held["sums"], about["bits"], about["reach"], about["left"], about["right"]
                )
        except Exception as error:  # of zipfile, zlib, NumPy and json, whatever bytes are there
            raise StorageError(f"{path} is no file of counted pairs: {error}") from error


def count_all(
    left: Bank,
    right: Bank | None,
    reach: int,
    folder: Path,
    pools: Callable[[], AbstractContextManager[Pool]] = processes,
    *,
    height: int = ROWS,
    width: int = COLUMNS,
    most: int = MOST_NEAR,
    progress: Progress | None = None,
) -> AllPairs:
    """Count all pairs of two banks, or within one; tiles that are in the folder are not counted again.

    Args:
        left: the rows.
        right: the columns; None for the pairs within ``left``, each once.
        reach: pairs up to this distance are listed.
        folder: of the tiles; made if it is not there.
        pools: opens a pool of workers.
        height: rows of a tile.
        width: columns of a tile.
        most: near pairs in one tile, before it is given up.
        progress: told of each tile.

    Raises:
        ArgumentError: a value is outside the above.
        LocalError: workers die, or histogram and sums disagree.
        StorageError: a file can't be read or written.
    """
    ready(folder)
    work = tasks(left, right, reach, folder, height=height, width=width, most=most)
    pieces = [Piece(tuple(task), task.pairs) for task in work if read_tile(task) is None]
    if pieces:
        carry_out(count_tile, pieces, pools, progress=progress, kept=len(work) - len(pieces))
    found = add_up(work, left.bits)
    sums = cluster_sums(left, right)
    agree(found, sums)
    return AllPairs(found, sums, left.bits, reach, left.digest, None if right is None else right.digest)


def agree(found: Counted, sums: Whole) -> None:
    """Refuse figures whose histogram and sums by cluster, made in two ways, are not of the same pairs.

    Raises:
        LocalError: they are not: memory, a disk or a program is at fault.
    """
    steps = np.arange(len(found.histogram), dtype=np.uint64)
    for power, name in enumerate(("pairs", "distances", "squares")):
        counted = 2 * int((found.histogram.astype(np.uint64) * steps**power).sum())  # both modulo 2**64
        if (counted - int(sums[:, power].astype(np.uint64).sum())) % 2**64:
            raise LocalError(f"histogram and sums by cluster differ in their {name}: do not use these figures")


def bank_from_files(codes: str, clusters: str | None, bits: int, folder: Path) -> Bank:
    """Make a bank of two ``.npy`` files; without one of clusters each hash is by itself.

    Raises:
        ArgumentError: clusters or bits do not fit.
        HashShapeError: the hashes are not packed ones of so many bits.
        StorageError: a file can't be read or written.
    """
    try:
        packed = np.load(codes, allow_pickle=False)
        labels = np.arange(len(packed)) if clusters is None else np.load(clusters, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StorageError(f"can't read {codes} or its clusters: {error}") from error
    return store_bank(packed, labels, bits, folder)


def main(arguments: list[str] | None = None) -> int:
    """Count, or tell the cost, or measure."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.measure:
            raw = costs.measured()
            print(f"raw figures: {store('tiles', raw)}", file=sys.stderr)
            costs.report(raw)
        elif asked.left is None:
            raise ArgumentError("name a file of hashes, or ask to --measure")
        elif asked.dry_run:
            _tell_cost(asked)
        else:
            _count(asked)
    except ScannerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; the finished tiles are kept, run the same again to go on", file=sys.stderr)
        return 130
    return 0


def _count(asked: argparse.Namespace) -> None:
    if asked.out is None:
        raise ArgumentError("--out names the folder for tiles and result")
    if asked.right is not None and (asked.clusters is None or asked.right_clusters is None):
        raise ArgumentError("two sets of hashes need --clusters and --right-clusters, which share their numbers")
    folder = Path(asked.out)
    left = bank_from_files(asked.left, asked.clusters, asked.bits, folder / "banks")
    right = None
    if asked.right is not None:
        right = bank_from_files(asked.right, asked.right_clusters, asked.bits, folder / "banks")
    pools = partial(processes, asked.workers) if asked.dask is None else partial(dask, asked.dask)
    found = count_all(
        left, right, asked.reach, folder / "tiles", pools, height=asked.rows, width=asked.columns,
        progress=Progress("tiles", "pairs"),
    )  # fmt: skip
    path = folder / f"pairs-{found.digest}.npz"
    found.write(path)
    print(path)


def _tell_cost(asked: argparse.Namespace) -> None:
    sizes = [_size(text) for text in (asked.left, asked.right) if text is not None]
    found = costs.cost(
        sizes[0], sizes[1] if len(sizes) > 1 else None, asked.bits,
        costs.speed_here(asked.bits), costs.sum_speed_here(asked.bits),
        workers=asked.workers or costs.processors(), near_rate=asked.near_rate, height=asked.rows, width=asked.columns,
    )  # fmt: skip
    print("\n".join(found.lines()))


def _size(text: str) -> int:
    if text.replace("_", "").isdigit():
        return int(text)
    try:
        return len(np.load(text, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, TypeError) as error:
        raise StorageError(f"{text} is no number and no file of hashes: {error}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.running", description="Count all pairs of hashes.")
    add: Any = parser.add_argument
    add("left", nargs="?", help=".npy of packed hashes (n, bytes), uint8; for a dry run a number of hashes will do")
    add("right", nargs="?", help="likewise; left out, the pairs within LEFT are counted")
    add("--clusters", help=".npy of the cluster of each hash of LEFT; left out, each is by itself")
    add("--right-clusters", help="likewise of RIGHT")
    add("--bits", type=int, default=256, help="length of a hash (default: 256)")
    add("--reach", type=int, default=50, help="list the pairs up to this distance (default: 50)")
    add("--out", help="folder of the tiles and the result")
    add("--workers", type=int, help="processes (default: one a processor)")
    add("--dask", metavar="ADDRESS", help="of a Dask scheduler whose workers see the same files")
    add("--rows", type=int, default=ROWS, help=f"of a tile (default: {ROWS:,})")
    add("--columns", type=int, default=COLUMNS, help=f"of a tile (default: {COLUMNS:,})")
    add("--dry-run", action="store_true", help="tell pairs, tiles, time and disk, and do nothing")
    add("--near-rate", type=float, default=1e-6, help="share of pairs within reach, for a dry run (default: 1e-6)")
    add("--measure", action="store_true", help="time one thread beside NumPy, FAISS and scanner.index")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""Near-duplicates among pictures that are to differ: found, confirmed on the pixels, and all but one of each left out.

Two pictures that show the same thing are no false match, and a handful of such pairs outweighs a billion others. Rules:
hashes propose pairs and pixels decide, so that no pair is purged for being near by a hash alone; every proposal is
judged, nothing is sampled; the same list gives the same groups in any order; what was purged is written
down with its distances, and the most alike pairs that stay are listed to be judged by eye.

Candidates: two hashes of different make, dhash-256 and PDQ, each of the picture in its eight turns and mirrorings,
searched exactly. Confirmed: structural similarity of grey thumbnails at the same turn (``likeness.py``), less of it
where both hashes propose the pair.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy.likeness import TURNS, Codes, Floats, Whole, print_of, similarities
from benchmarks.accuracy.manifest import Manifest, Role
from scanner.files import replace_file
from scanner.index import open_index

DHASH_RADIUS = 60
"""Bits of 256: the copies that were looked at in the small preset lie within 59; different pictures come at 64."""

PDQ_RADIUS = 64
"""Bits of 256: twice the radius that is matched at, so that every pair that could be a hit is judged."""

LEAST_SIMILARITY = 0.88
"""From here on a pair shows the same. Looked at in the small preset: from 0.80 to 0.87 stand different planets on white
and different pieces of jigsaw puzzles beside copies; above 0.88, screens, plots and diagrams of one series."""

LEAST_AGREED_SIMILARITY = 0.7
"""From here on if both hashes propose the pair: so come filtered, recoloured and translated copies. Looked at in the
small preset, none of the 48 weakest such pairs shows different things, but that two dialogs of one program are one."""

CHUNK = 32
"""Pictures given to a worker at a time."""

_QUERIES = 2000
FORMAT, VERSION = "prescan-purged-pictures", 1


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that a hash proposed.

    Attributes:
        first, second: SHA-256 of the files in hex, in order of path.
        dhash, pdq: the least distance over the turns of the second, in bits.
        turn: of the second, 0 to 7, at which they are most alike; a number of ``likeness.turned``.
        similarity: of the pixels at that turn, -1 to 1.
    """

    first: str
    second: str
    dhash: int
    pdq: int
    turn: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Purged:
    """What came of it.

    Attributes:
        before: digest of the list that was purged.
        manifest: the pictures that stay, each one alone of its kind.
        groups: SHA-256 of the pictures that show the same, the one that stays first; in order of path.
        confirmed: every pair found to show the same, in order of path.
        nearest: of the pairs proposed and not confirmed, between pictures that stay, the most alike, most alike first.
        proposed: how many pairs were judged.
    """

    before: str
    manifest: Manifest
    groups: tuple[tuple[str, ...], ...]
    confirmed: tuple[Pair, ...]
    nearest: tuple[Pair, ...]
    proposed: int

    def write(self, path: Path) -> None:
        """Write what was purged as JSON lines: the rule, then groups, confirmed pairs and the nearest that stay.

        Raises:
            StorageError: it can't be written.
        """
        header = {
            "format": FORMAT,
            "version": VERSION,
            "before": self.before,
            "after": self.manifest.digest,
            "dhash_radius": DHASH_RADIUS,
            "pdq_radius": PDQ_RADIUS,
            "least_similarity": LEAST_SIMILARITY,
            "least_agreed_similarity": LEAST_AGREED_SIMILARITY,
            "proposed": self.proposed,
        }
        lines: list[dict[str, object]] = [header]
        lines += [{"kept": kept, "purged": purged} for kept, *purged in self.groups]
        lines += [{"confirmed": asdict(pair)} for pair in self.confirmed]
        lines += [{"left": asdict(pair)} for pair in self.nearest]
        replace_file(path, (f"{json.dumps(line)}\n".encode() for line in lines))


def purge(
    manifest: Manifest,
    root: Path,
    *,
    executor: Executor | None = None,
    nearest: int = 100,
    tell: Callable[[str], None] = lambda line: None,
) -> Purged:
    """Leave out all but one of each group of negatives that show the same.

    Args:
        manifest: the pictures; only negatives are compared, the others stay as they are.
        root: folder of the pictures.
        executor: reads the pictures in its workers; in this process if left out. The result is the same.
        nearest: how many pairs that stay are listed.
        tell: given a line for each step.

    Raises:
        ArgumentError: a picture can't be read, or is another file than when it was listed.
    """
    pictures = manifest.with_role(Role.NEGATIVE)
    call = partial(print_of, os.fspath(root))
    files = [picture.path for picture in pictures], [picture.sha256 for picture in pictures]
    prints = list(map(call, *files) if executor is None else executor.map(call, *files, chunksize=CHUNK))
    if not prints:
        return Purged(manifest.digest, manifest, (), (), (), 0)
    tell(f"hashed {len(prints):,} pictures")
    dhash, pdq = (np.stack([getattr(each, name) for each in prints]) for name in ("dhash", "pdq"))
    proposals = np.unique(np.concatenate([candidates(dhash, DHASH_RADIUS), candidates(pdq, PDQ_RADIUS)]), axis=0)
    tell(f"judging {len(proposals):,} proposals")
    alike = similarities(np.stack([each.thumb for each in prints]), proposals)
    proposals, alike = _best_turns(proposals, alike)
    near = _nearest_turns(dhash, proposals), _nearest_turns(pdq, proposals)
    agreed = (near[0] <= DHASH_RADIUS) & (near[1] <= PDQ_RADIUS)
    same = alike >= np.where(agreed, LEAST_AGREED_SIMILARITY, LEAST_SIMILARITY)
    roots = united(len(pictures), proposals[same, :2], [picture.group for picture in pictures])
    members: dict[int, list[int]] = {}
    for number, home in enumerate(roots):
        members.setdefault(home, []).append(number)
    kept, groups = set(), []
    for group in members.values():
        group.sort(key=lambda number: (-pictures[number].width * pictures[number].height, number))
        kept.add(group[0])
        if len(group) > 1:
            groups.append(tuple(pictures[number].sha256 for number in group))

    def pair(row: int) -> Pair:
        first, second, turn = (int(number) for number in proposals[row])
        names = pictures[first].sha256, pictures[second].sha256
        return Pair(*names, int(near[0][row]), int(near[1][row]), turn, round(float(alike[row]), 4))

    left = [row for row in np.flatnonzero(~same) if {int(proposals[row, 0]), int(proposals[row, 1])} <= kept]
    left.sort(key=lambda row: (-alike[row], tuple(proposals[row])))
    stay = [replace(pictures[number], group=pictures[number].sha256) for number in kept]
    others = [picture for picture in manifest.pictures if picture.role is not Role.NEGATIVE]
    return Purged(
        manifest.digest,
        Manifest.of([*stay, *others]),
        tuple(groups),
        tuple(pair(int(row)) for row in np.flatnonzero(same)),
        tuple(pair(int(row)) for row in left[:nearest]),
        len(proposals),
    )


def candidates(codes: Codes, radius: int) -> Whole:
    """Find every pair of pictures within a radius at some turn, exactly.

    Args:
        codes: of each picture's eight turns; shape ``(n, 8, 32)``, uint8.
        radius: bits, inclusive.

    Returns:
        first picture, second picture, and the turn of the second that is nearest, the lowest of equals; first before
        second, each pair once; shape ``(k, 3)``, int64.
    """
    index = open_index(_Bare(np.ascontiguousarray(codes[:, 0])), "flat")
    found = [np.empty((0, 3), np.int64)]
    for start in range(0, len(codes), _QUERIES):
        block = [np.empty((0, 4), np.int64)]
        for turn in range(TURNS):
            hits = index.search_many(np.ascontiguousarray(codes[start : start + _QUERIES, turn]), radius)
            second = start + np.repeat(np.arange(len(hits.limits) - 1), np.diff(hits.limits))
            before = hits.indices < second
            turns = np.full(np.count_nonzero(before), turn)
            block.append(np.stack([hits.indices[before], second[before], turns, hits.distances[before]], 1))
        rows = np.concatenate(block)
        found.append(_first_of_pairs(rows[np.lexsort((rows[:, 2], rows[:, 3], rows[:, 1], rows[:, 0]))])[:, :3])
    return np.concatenate(found)


def united(count: int, pairs: Whole, names: Sequence[str]) -> list[int]:
    """Put pictures that are linked, or have one name already, into one group.

    Args:
        count: of pictures.
        pairs: linked pictures; shape ``(k, 2)``.
        names: of the group each picture was in before.

    Returns:
        for each picture the lowest number in its group.
    """
    home = list(range(count))

    def root(number: int) -> int:
        while home[number] != number:
            home[number] = number = home[home[number]]
        return number

    by_name: dict[str, int] = {}
    links = [(by_name.setdefault(name, number), number) for number, name in enumerate(names)]
    for first, second in (*links, *pairs.tolist()):
        low, high = sorted((root(first), root(second)))
        home[high] = low
    return [root(number) for number in range(count)]


@dataclass(frozen=True, slots=True)
class _Bare:
    """Codes without a hash set around them, for the index."""

    codes: Codes
    tables: None = None

    def ensure_verified(self) -> None:
        """They were made here."""


def _best_turns(proposals: Whole, alike: Floats) -> tuple[Whole, Floats]:
    """Keep of each pair the turn at which it is most alike, the lowest of equals."""
    order = np.lexsort((proposals[:, 2], -alike, proposals[:, 1], proposals[:, 0]))
    first = _are_first(proposals[order])
    return proposals[order][first], alike[order][first]


def _first_of_pairs(rows: Whole) -> Whole:
    return rows[_are_first(rows)]


def _are_first(rows: Whole) -> npt.NDArray[np.bool_]:
    """Say which rows are the first of their pair, of rows in order of pair."""
    first = np.ones(len(rows), bool)
    first[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    return first


def _nearest_turns(codes: Codes, proposals: Whole) -> Whole:
    """Count the bits between the first picture and the nearest turn of the second."""
    out = np.empty(len(proposals), np.int64)
    for start in range(0, len(proposals), _QUERIES):
        first, second, _ = proposals[start : start + _QUERIES].T
        out[start : start + _QUERIES] = np.bitwise_count(codes[first, :1] ^ codes[second]).sum(2, np.int64).min(1)
    return out

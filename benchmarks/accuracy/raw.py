"""Raw results as they lie in their folder: what was measured, on which pictures, and how.

Rules: there are counts and hashes and no rates; the folder is read whole or refused; nothing here writes to it.

    manifest.jsonl    the pictures; raw.json   the plan, what was chosen, machine, versions, the exact command
    pictures.hashed   every chosen picture's hashes; edits.hashed   those of the sources and of each edit of them
    pairs/            for each hash and population: histogram, near pairs, sums by cluster
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.clusters import numbered
from benchmarks.accuracy.hashed import Hashed
from benchmarks.accuracy.manifest import Manifest, Picture, Stratum
from benchmarks.accuracy.running import AllPairs
from scanner.errors import ArgumentError, StorageError
from scanner.profiles import ALGORITHMS

FORMAT, VERSION = "prescan-accuracy-raw", 1
FLOOR = ALGORITHMS["pdq"].quality_floor
"""Pictures under this quality are neither listed nor matched by Prescan, so the main figures are of the others."""
EVERY, LISTABLE = "every", "listable"
FEWEST = 10

Bools = NDArray[np.bool_]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        hashes: names of plug-ins.
        rungs: names of edits.
        pictures: negatives that are taken, all if None.
        sources: pictures that are edited; half are photographs if there are so many.
        seed: what chance is drawn from.
    """

    hashes: tuple[str, ...]
    rungs: tuple[str, ...]
    pictures: int | None = None
    sources: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.hashes or self.sources < 0 or self.seed < 0 or (self.pictures is not None and self.pictures < 1):
            raise ArgumentError("a plan has a hash, at least one picture, and sources and seed from 0")

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Plan:
        """Make it of what ``asdict`` gave, back from JSON."""
        return cls(tuple(held["hashes"]), tuple(held["rungs"]), held["pictures"], held["sources"], held["seed"])


@dataclass(frozen=True, eq=False)
class Raw:
    """What was measured.

    Attributes:
        folder: where it lies.
        root: folder that the pictures' paths begin at.
        plan: what was to be measured.
        manifest: digest of the list.
        pictures: chosen, in order of chance.
        sources: numbers of those that were edited.
        hashed: of all chosen pictures.
        edits: of the sources and their edits; None without sources or edits.
        about: machine, versions, command, ladder, purge and seconds.
    """

    folder: Path
    root: Path
    plan: Plan
    manifest: str
    pictures: tuple[Picture, ...]
    sources: tuple[int, ...]
    hashed: Hashed
    edits: Hashed | None
    about: Mapping[str, Any]

    @property
    def clusters(self) -> Whole:
        """Cluster of each picture, numbered in order; shape ``(n,)``."""
        return numbered([picture.group for picture in self.pictures])

    def populations(self) -> dict[str, Bools]:
        """Which pictures make each population: all, those that can be listed, and of these each stratum."""
        return populations(self.pictures, self.hashed)

    def numbers(self, name: str, population: str) -> Whole:
        """Pictures of a population that a hash has a value of, in the order of its pairs."""
        return np.flatnonzero(self.populations()[population] & self.hashed.there[name][0]).astype(np.int64)

    def pairs(self, name: str, population: str) -> AllPairs | None:
        """All pairs of a population; None if there were too few pictures.

        Raises:
            StorageError: the file is damaged.
        """
        path = pairs_path(self.folder, self.plan, name, population)
        return AllPairs.read(path) if path.exists() else None

    @classmethod
    def read(cls, folder: Path) -> Raw:
        """Read what ``measure`` kept.

        Raises:
            StorageError: the folder holds no finished run, or a damaged one.
        """
        try:
            held = json.loads((folder / "raw.json").read_bytes())
            if held["format"] != FORMAT or held["version"] != VERSION:
                raise StorageError(f"{folder} is of another version: measure again")
            plan = Plan.of(held["plan"])
            manifest = Manifest.read(folder / "manifest.jsonl")
            by_content = {picture.sha256: picture for picture in manifest.pictures}
            pictures = tuple(by_content[sha] for sha in held["chosen"])
            if held["manifest"] != manifest.digest:
                raise StorageError(f"{folder}: manifest.jsonl is not the list that was measured")
            edits = Hashed.read(folder / "edits.hashed", held["edits"]) if held["edits"] else None
            return cls(
                folder, Path(held["root"]), plan, manifest.digest, pictures, tuple(held["sources"]),
                Hashed.read(folder / "pictures.hashed", held["hashed"]), edits, held["about"],
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{folder} holds no finished measurement: {error}") from error


def populations(pictures: Sequence[Picture], hashed: Hashed) -> dict[str, Bools]:
    """Which pictures make each population; a stratum of under ten pictures is none."""
    listable = hashed.quality[0] >= FLOOR
    found = {EVERY: np.ones(len(pictures), np.bool_), LISTABLE: listable}
    for stratum in Stratum:
        of_it = listable & np.array([picture.stratum is stratum for picture in pictures])
        if of_it.sum() >= FEWEST:
            found[stratum.value] = of_it
    return found


def radius_of(bits: int) -> int:
    """Radius at which a hash is used: 10 of 64 bits, 31 of 256 (``scanner.profiles``), others in proportion."""
    return ALGORITHMS["phash"].radius if bits == 64 else round(ALGORITHMS["pdq"].radius / 256 * bits)


def pairs_path(folder: Path, plan: Plan, name: str, population: str) -> Path:
    """Name the file of a population's pairs."""
    return folder / "pairs" / f"{plan.hashes.index(name)}-{population}.npz"

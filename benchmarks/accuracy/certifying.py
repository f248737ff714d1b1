"""A calibration certificate: how often one hash set flags a picture of a measured corpus that is not on it.

Rules: hashes come out of a finished run, entries out of the hash set; pictures under the set's quality floor are no
trials, as they are never matched; a picture that the set does hold counts as a false hit, so the corpus must not be
what the set was made of.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.banks import store_bank
from benchmarks.accuracy.clusters import first_of_each
from benchmarks.accuracy.edits import LADDER_VERSION
from benchmarks.accuracy.measuring import threads
from benchmarks.accuracy.raw import Raw
from benchmarks.accuracy.recalls import recalls_of
from benchmarks.accuracy.running import count_all
from scanner.errors import ArgumentError
from scanner.hashset import Calibration, Edit, HashSet, Stratum
from scanner.hashset.calibration import MOST_DISTANCES

SPARE = 30
"""Bits beyond the radius to which nearest distances are looked for at first."""


def certify(raw: Raw, known: HashSet, date: dt.date) -> Calibration:
    """Count the query clusters of a run that a hash set matches.

    Args:
        raw: a finished run; its hashes are those of the set's algorithm, ``phash`` of ``phash-64``.
        known: the set; not layered.
        date: of the measurement.

    Raises:
        ArgumentError: the run has no hashes of the set's algorithm, or no picture of its quality.
        StorageError: a file can't be read or written.
    """
    header = known.header
    name = plugin_of(raw, header.algorithm)
    bits = raw.hashed.bits[name]
    asked = np.flatnonzero((raw.hashed.quality[0] >= header.quality_floor) & raw.hashed.there[name][0])
    asked = asked[first_of_each(raw.clusters[asked])]
    if not len(asked):
        raise ArgumentError(f"no picture of the run reaches the set's quality floor of {header.quality_floor}")
    entries = np.stack([np.frombuffer(entry.hash.data, np.uint8) for entry in known.entries()])
    nearest = nearest_distances(raw.hashed.hashes[name][0][asked], entries, bits, header.radius, raw.folder)
    strata = [raw.pictures[at].stratum.value for at in asked]
    hits = nearest <= header.radius
    of_kind, hit_kind = Counter(strata), Counter(np.array(strata)[hits].tolist())
    edits = _edits(raw, name, header.radius, header.quality_floor)
    machine = raw.about["machine"]["versions"]
    near = np.sort(nearest[nearest <= bits])[:MOST_DISTANCES]
    return Calibration(
        hashset_digest=known.digest,
        algorithm=header.algorithm,
        radius=header.radius,
        quality_floor=header.quality_floor,
        corpus_digest=bytes.fromhex(raw.manifest),
        date=date,
        query_clusters=len(asked),
        hits=int(hits.sum()),
        nearest_distances=tuple(int(at) for at in near),
        versions={**machine, name: raw.about["plugins"][name]["version"]},
        strata=tuple(Stratum(kind, count, hit_kind[kind]) for kind, count in sorted(of_kind.items())),
        ladder=f"{LADDER_VERSION} {raw.about['ladder']['digest'][:16]}" if edits else None,
        edits=edits,
    )


def plugin_of(raw: Raw, algorithm: str) -> str:
    """The run's hash that a set's algorithm makes.

    Raises:
        ArgumentError: the run has none.
    """
    for name in (algorithm, f"{algorithm}-64"):
        if name in raw.plan.hashes:
            return name
    raise ArgumentError(f"the run has no hashes of {algorithm}, only of {', '.join(raw.plan.hashes)}: measure with it")


def nearest_distances(
    queries: NDArray[np.uint8],
    entries: NDArray[np.uint8],
    bits: int,
    radius: int,
    folder: Path,
) -> NDArray[np.int64]:
    """Distance of each query to the nearest entry; over ``bits`` if farther than was looked.

    Looked is to beyond the radius, and further until some query has an entry within reach.

    Args:
        queries: packed; shape ``(n, bytes)``.
        entries: packed; shape ``(m, bytes)``, ``m`` at least 1.
        bits: length of a hash.
        radius: at least so far is looked.
        folder: of the run; files are kept below it.
    """
    left = store_bank(queries, np.arange(len(queries)), bits, folder / "banks")
    right = store_bank(entries, len(queries) + np.arange(len(entries)), bits, folder / "banks")
    found = np.full(len(queries), bits + 1, np.int64)
    reach = min(bits, radius + SPARE)
    while True:
        counted = count_all(left, right, reach, folder / "tiles", threads).counted
        np.minimum.at(found, counted.first, counted.distance.astype(np.int64))
        if reach == bits or (found <= bits).any():
            return found
        reach = min(bits, 2 * reach)


def _edits(raw: Raw, name: str, radius: int, floor: int) -> tuple[Edit, ...]:
    """Missed are edits beyond the radius, and those whose quality is under the floor."""
    found = recalls_of(raw)
    if found is None or raw.edits is None:
        return ()
    ones = first_of_each(found.clusters)
    low = raw.edits.quality[1:][:, ones] < floor
    missed = ((found.distances[name][:, ones] > radius) | low).sum(axis=1)
    return tuple(Edit(rung, len(ones), int(count)) for rung, count in zip(found.rungs, missed, strict=True))

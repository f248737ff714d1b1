"""Measure: hash a corpus and its edits, count all pairs, and keep all of it raw in one folder.

Rules: what is kept is counts and hashes, no rates; pictures are taken in an order that follows from their content and
the seed, so a smaller run is the beginning of a larger one; a run that was ended goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.banks import Bank, store_bank
from benchmarks.accuracy.clusters import numbered
from benchmarks.accuracy.costs import processors
from benchmarks.accuracy.edits import LADDER, LADDER_VERSION, ladder_digest, missing
from benchmarks.accuracy.hashed import Hashed
from benchmarks.accuracy.hashes import plugin_named
from benchmarks.accuracy.hashing_run import Hashing, hash_all
from benchmarks.accuracy.manifest import Manifest, Picture, Role, Stratum
from benchmarks.accuracy.pools import Pool, Progress, processes
from benchmarks.accuracy.raw import (
    FEWEST,
    FORMAT,
    LISTABLE,
    VERSION,
    Bools,
    Plan,
    Raw,
    pairs_path,
    populations,
    radius_of,
)
from benchmarks.accuracy.running import count_all
from scanner.errors import ArgumentError, StorageError
from scanner.files import replace_file

SAMPLE = 1_500
NEAR_SHARE, MOST_SHARE, MANY = 1e-3, 2e-2, 1e6

Pools = Callable[[], AbstractContextManager[Pool]]


@dataclass
class Steps:
    """Seconds of each step, on a clock that is given."""

    clock: Callable[[], float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        begun = self.clock()
        yield
        self.seconds[name] = round(self.clock() - begun, 3)


def measure(
    manifest: Manifest,
    root: Path,
    folder: Path,
    plan: Plan,
    about: Mapping[str, Any],
    *,
    clock: Callable[[], float],
    pools: Pools = processes,
    counters: Pools | None = None,
    progress: Callable[[str, str], Progress | None] = lambda what, unit: None,
) -> Raw:
    """Hash, count and keep.

    Args:
        manifest: the corpus; its negatives are measured.
        root: folder that the paths begin at.
        folder: for the results; what a former run of the same left there is used.
        plan: what to measure.
        about: machine, versions, command and purge, kept as they are.
        clock: seconds that never go back.
        pools: workers that hash.
        counters: workers that count pairs; threads here if left out.
        progress: makes a progress of so named pieces and units.

    Raises:
        ArgumentError: a plug-in is absent, or there are too few pictures.
        LocalError: workers die. StorageError: a file can't be read or written.
        UnknownNameError: a plug-in or an edit has no such name.
    """
    steps = Steps(clock)
    pictures = chosen(manifest, plan)
    if len(pictures) < 2 * FEWEST:
        raise ArgumentError(f"{len(pictures)} pictures are too few to say anything: it takes {2 * FEWEST}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"can't make {folder}: {error.strerror}") from error
    absent = set(missing())
    rungs = tuple(rung for rung in plan.rungs if rung not in absent)
    with steps.step("hashing the pictures"):
        whole = Hashing(pictures, manifest.digest, plan.hashes)
        hashed = hash_all(whole, root, folder / "chunks", pools, progress("chunks", "pictures"))
    sources = drawn_sources(pictures, populations(pictures, hashed)[LISTABLE], plan.sources)
    edits = None
    with steps.step("editing and hashing the sources"):
        if sources and rungs:
            part = Hashing([pictures[at] for at in sources], manifest.digest, plan.hashes, rungs, plan.seed, 4)
            edits = hash_all(part, root, folder / "chunks", pools, progress("chunks of edits", "variants"))
    manifest.write(folder / "manifest.jsonl")
    hashed.write(folder / "pictures.hashed")
    if edits is not None:
        edits.write(folder / "edits.hashed")
    with steps.step("counting all pairs"):
        count_pairs(folder, plan, pictures, hashed, counters or threads)
    ladder = {"version": LADDER_VERSION, "digest": ladder_digest(), "left_out": missing()}
    ladder["rungs"] = [LADDER[name].described() for name in rungs]
    plugins = {name: _plugin(name) for name in plan.hashes}
    told = {**about, "ladder": ladder, "plugins": plugins, "seconds": steps.seconds}
    kept = {
        "format": FORMAT, "version": VERSION, "plan": asdict(plan), "root": os.fspath(root.resolve()),
        "manifest": manifest.digest, "chosen": [picture.sha256 for picture in pictures], "sources": list(sources),
        "hashed": hashed.digest, "edits": edits and edits.digest, "about": told,
    }  # fmt: skip
    replace_file(folder / "raw.json", [json.dumps(kept, indent=1).encode()])
    return Raw(folder, root.resolve(), plan, manifest.digest, pictures, sources, hashed, edits, told)


def chosen(manifest: Manifest, plan: Plan) -> tuple[Picture, ...]:
    """Take negatives in an order of chance that follows from content and seed alone."""

    def place(picture: Picture) -> bytes:
        return hashlib.sha256(f"{plan.seed}/{picture.sha256}".encode()).digest()

    return tuple(sorted(manifest.with_role(Role.NEGATIVE), key=place)[: plan.pictures])


def drawn_sources(pictures: Sequence[Picture], listable: Bools, wanted: int) -> tuple[int, ...]:
    """Draw the pictures to edit: half photographs if there are so many; one a cluster, in order."""
    first: dict[str, int] = {}
    for at in np.flatnonzero(listable).tolist():
        first.setdefault(pictures[at].group, at)
    photographs = [at for at in first.values() if pictures[at].stratum is Stratum.PHOTOGRAPH]
    others = [at for at in first.values() if pictures[at].stratum is not Stratum.PHOTOGRAPH]
    half = min(len(photographs), max(wanted // 2, wanted - len(others)))
    return tuple(sorted([*photographs[:half], *others[: wanted - half]]))


def reach_of(codes: NDArray[np.uint8], bits: int, radius: int) -> int:
    """Choose the distance to which pairs are listed: where FPIR nears 1, and the radius if not far more lie within it.

    Told from a sample: the distance of a thousandth of all pairs, or of so many that a query of a small list has three.
    """
    signs = 1 - 2 * np.unpackbits(codes[:SAMPLE], axis=1, count=bits).astype(np.float32)
    away = ((bits - signs @ signs.T) / 2).round().astype(np.int64)[np.triu_indices(len(signs), 1)]
    shares = np.cumsum(np.bincount(away, minlength=bits + 1)) / max(1, len(away))
    pairs = len(codes) * (len(codes) - 1) / 2
    wanted = max(NEAR_SHARE, 6 / len(codes)), max(MOST_SHARE, MANY / max(1.0, pairs))
    near, most = (int(np.searchsorted(shares, share, side="right")) - 1 for share in wanted)
    return max(0, near, min(radius, most))


@contextmanager
def threads() -> Iterator[Pool]:
    """Open a pool of threads here: counting leaves the interpreter free, and starts at once."""
    with ThreadPoolExecutor(processors()) as executor:
        yield Pool(executor, 2 * processors())


def count_pairs(folder: Path, plan: Plan, pictures: Sequence[Picture], hashed: Hashed, pools: Pools) -> None:
    """Count the pairs of each hash and population, and keep them; a population of under ten clusters has none.

    Raises:
        ArgumentError: too many pairs are near. LocalError: workers die. StorageError: a file can't be written.
    """
    clusters = numbered([picture.group for picture in pictures])
    (folder / "pairs").mkdir(exist_ok=True)
    for name in plan.hashes:
        codes, there, bits = hashed.hashes[name][0], hashed.there[name][0], hashed.bits[name]
        for population, inside in populations(pictures, hashed).items():
            numbers = np.flatnonzero(inside & there)
            path = pairs_path(folder, plan, name, population)
            path.unlink(missing_ok=True)
            if len(set(clusters[numbers].tolist())) < FEWEST:
                continue
            reach = reach_of(codes[numbers], bits, radius_of(bits))
            bank: Bank = store_bank(codes[numbers], numbered(clusters[numbers]), bits, folder / "banks")
            count_all(bank, None, reach, folder / "tiles", pools).write(path)


def _plugin(name: str) -> dict[str, Any]:
    found = plugin_named(name)
    return {"bits": found.bits, "version": found.version, "note": found.note, "radius": radius_of(found.bits)}

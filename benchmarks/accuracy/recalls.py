"""What a hash no longer finds after an edit: FNIR by edit, DET points, and hashes beside each other.

Rules: a picture is found if its edit is within the radius of its own hash, unchanged; a hash that did not come finds
nothing; two hashes are compared on the same edits of the same pictures, at radii of equal FPIR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.bootstrap import FEWEST_CLUSTERS
from benchmarks.accuracy.edits import rung_named
from benchmarks.accuracy.hashed import Hashed
from benchmarks.accuracy.hashes import CROSS_LINEAGES
from benchmarks.accuracy.identification import as_hex
from benchmarks.accuracy.intervals import Estimate
from benchmarks.accuracy.paired import recall_difference
from benchmarks.accuracy.rates import fnir
from benchmarks.accuracy.raw import FLOOR, Raw

LADDER_GROUP = "ladder"
GROUPS = (LADDER_GROUP, "messenger")
"""What DET curves are of: every edit alike, and the family that is commonest."""
DET_RADII = 25
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Recalls:
    """Distances of edits from their pictures.

    Attributes:
        rungs: names of the edits.
        clusters: label of each source; shape ``(n,)``.
        strata: of each source.
        distances: by hash; shape ``(edits, n)``, int64; over ``bits`` where there is no hash.
        crossed: by list's hash and picture's hash, likewise.
        below_floor: edits of each rung whose quality is under the floor.
    """

    rungs: tuple[str, ...]
    clusters: Whole
    strata: tuple[str, ...]
    distances: Mapping[str, Whole]
    crossed: Mapping[tuple[str, str], Whole]
    below_floor: Whole

    def group(self, name: str) -> NDArray[np.bool_]:
        """Which rungs belong to a group: all, or those of a family."""
        return np.array([name in (LADDER_GROUP, rung_named(rung).family) for rung in self.rungs])

    def missed(self, name: str, radius: int, rungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether each edit of each source is missed, one after the other."""
        found: NDArray[np.bool_] = (self.distances[name][rungs] > radius).ravel()
        return found

    def rate(self, name: str, radius: int, group: str, chosen: NDArray[np.bool_] | None = None) -> Estimate:
        """FNIR over a group of edits, each alike, of all sources or some."""
        some = np.ones(len(self.clusters), np.bool_) if chosen is None else chosen
        rungs = self.group(group)
        missed = (self.distances[name][rungs][:, some] > radius).ravel()
        return fnir(missed, np.tile(self.clusters[some], int(rungs.sum())))


def recalls_of(raw: Raw) -> Recalls | None:
    """Take the distances of edits from what was measured; None if nothing was edited."""
    edits = raw.edits
    if edits is None:
        return None
    sources = np.array(raw.sources)
    pairs = [pair for pair in CROSS_LINEAGES if set(pair) <= set(raw.plan.hashes)]
    return Recalls(
        edits.variants[1:],
        raw.clusters[sources],
        tuple(raw.pictures[at].stratum.value for at in sources),
        {name: _distances(edits, name, name)[1:] for name in raw.plan.hashes},
        {pair: _distances(edits, *pair) for pair in pairs},
        (edits.quality[1:] < FLOOR).sum(axis=1).astype(np.int64),
    )


def recall_figures(found: Recalls, name: str, bits: int, radius: int, equal: int | None, reach: int) -> dict[str, Any]:
    """FNIR by edit and over the ladder, and DET points, of one hash.

    Args:
        found: distances.
        name: of the hash.
        bits: length of a hash.
        radius: at which it is used.
        equal: radius of equal FPIR, if there is one.
        reach: largest radius of a DET point.
    """
    edits = []
    for rung, away, below in zip(found.rungs, found.distances[name], found.below_floor, strict=True):
        about = rung_named(rung)
        seen = away[away <= bits]
        counts = np.bincount(seen, minlength=1)
        edits.append(
            {
                "edit": rung,
                "family": about.family,
                "strength": about.strength,
                "unit": about.unit,
                "at_radius": asdict(fnir(away > radius, found.clusters)),
                "at_equal": None if equal is None else asdict(fnir(away > equal, found.clusters)),
                "missed": as_hex(away > radius),
                "pictures": len(away),
                "mean": float(seen.mean()) / bits if len(seen) else None,
                "sd": float(seen.std()) / bits if len(seen) else None,
                "distances": [[at, int(counts[at])] for at in np.flatnonzero(counts).tolist()],
                "below_floor": int(below),
            }
        )
    radii = sorted({radius, *np.linspace(0, reach, DET_RADII).round().astype(int).tolist()})
    groups = [group for group in GROUPS if found.group(group).any()]
    return {
        "fnir": edits,
        "det": {group: [{"radius": r, **asdict(found.rate(name, r, group))} for r in radii] for group in groups},
        "fnir_at_equal": None if equal is None else asdict(found.rate(name, equal, LADDER_GROUP)),
        "fnir_by_stratum": _by_stratum(found, name, radius),
    }


def _by_stratum(found: Recalls, name: str, radius: int) -> dict[str, Any]:
    strata = np.array(found.strata)
    every = {LADDER_GROUP: np.ones(len(strata), np.bool_)}
    every |= {stratum: strata == stratum for stratum in sorted(set(found.strata))}
    return {part: asdict(found.rate(name, radius, LADDER_GROUP, chosen)) for part, chosen in every.items()}


def cross_lineage(found: Recalls, radius: Mapping[str, int], replicates: int, seed: int) -> list[dict[str, Any]]:
    """What is lost if a list is of one lineage of PDQ and pictures are hashed by the other."""
    rows = []
    for (listed, asked), away in found.crossed.items():
        same, crossed = found.distances[listed] <= radius[listed], away[1:] <= radius[listed]
        labels = np.tile(found.clusters, len(found.rungs))
        row: dict[str, Any] = {
            "list": listed,
            "picture": asked,
            "radius": radius[listed],
            "unchanged": {
                "mean_bits": float(away[0].mean()),
                "most_bits": int(away[0].max()),
                "fnir": asdict(fnir(away[0] > radius[listed], found.clusters)),
            },
            "ladder": asdict(fnir(~crossed.ravel(), labels)),
        }
        if len(set(found.clusters.tolist())) >= FEWEST_CLUSTERS:
            lost = recall_difference(same.ravel(), crossed.ravel(), labels, replicates=replicates, seed=seed)
            row["lost"] = asdict(lost)
        rows.append(row)
    return rows


def comparisons(
    found: Recalls, radii: Mapping[str, int], names: Sequence[str], replicates: int, seed: int
) -> list[dict[str, Any]]:
    """Differences of recall over the ladder at radii of equal FPIR, each two hashes."""
    if len(set(found.clusters.tolist())) < FEWEST_CLUSTERS:
        return []
    labels = np.tile(found.clusters, len(found.rungs))
    hits = {name: (found.distances[name] <= radii[name]).ravel() for name in names if name in radii}
    return [
        {
            "first": one,
            "second": two,
            **asdict(recall_difference(hits[one], hits[two], labels, replicates=replicates, seed=seed)),
        }
        for one, two in combinations(hits, 2)
    ]


def _distances(edits: Hashed, listed: str, asked: str) -> Whole:
    """From each picture, unchanged, by the one hash to every variant by the other; shape ``(variants, n)``."""
    away = np.bitwise_count(edits.hashes[asked] ^ edits.hashes[listed][:1]).sum(axis=2, dtype=np.int64)
    there = edits.there[asked] & edits.there[listed][:1]
    return np.where(there, away, edits.bits[listed] + 1)

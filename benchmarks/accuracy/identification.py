"""What a hash takes for the same that is not: FMR, FPIR, degrees of freedom, tails and accounts, from raw counts.

Rules: half of the clusters, in the order of chance, is the list and the other half asks, so no picture meets itself;
one picture asks for each cluster; a stratum asks against the same whole list; what can't be said has its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy.accounts import thresholds
from benchmarks.accuracy.bootstrap import fmr
from benchmarks.accuracy.clusters import ClusterPairs, first_of_each, numbered, pairs_within
from benchmarks.accuracy.intervals import Estimate, clopper_pearson, rule_of_thirty
from benchmarks.accuracy.rates import degrees_of_freedom, fpir, nested_nearest, nested_sizes
from benchmarks.accuracy.raw import EVERY, LISTABLE, Raw
from benchmarks.accuracy.running import AllPairs
from benchmarks.accuracy.tails import Refused, tails
from scanner.account_rates import upper_rate
from scanner.errors import ArgumentError

FEWEST_FREEDOM = 100
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Account:
    """What thresholds are found for.

    Attributes:
        pictures: of an innocent account in one window.
        wanted: chance that it reaches the threshold.
        shape: of the gamma law by which accounts differ.
        burst: false matches that come together.
    """

    pictures: int = 1_000
    wanted: float = 1e-12
    shape: float = 10.0
    burst: int = 10


@dataclass(frozen=True, eq=False)
class Search:
    """Queries against a list, one query a cluster.

    Attributes:
        queries: numbers of the pictures that ask, among the run's; shape ``(n,)``.
        sizes: of the nested lists.
        nearest: distance of each query to the nearest entry of each list; shape ``(len(sizes), n)``.
        reach: distances over it are given as ``reach + 1``.
    """

    queries: Whole
    sizes: tuple[int, ...]
    nearest: Whole
    reach: int

    def rates(self, radii: Sequence[int], chosen: NDArray[np.bool_] | None = None) -> dict[tuple[int, int], Estimate]:
        """FPIR by size and radius, of all queries or some."""
        near = self.nearest if chosen is None else self.nearest[:, chosen]
        return fpir(near, np.arange(near.shape[1]), self.sizes, radii)

    def equal_radius(self, target: float) -> int | None:
        """The largest radius at which FPIR against the largest list is at most the target; None if there is none."""
        shares = np.cumsum(np.bincount(self.nearest[-1], minlength=self.reach + 2))[: self.reach + 1]
        inside = np.flatnonzero(shares <= target * self.nearest.shape[1])
        return int(inside[-1]) if len(inside) else None


def search(raw: Raw, name: str, population: str) -> Search | None:
    """Let half of a population ask for the other half; None if its pairs were not counted."""
    pairs = raw.pairs(name, population)
    if pairs is None:
        return None
    numbers = raw.numbers(name, population)
    labels = numbered(raw.clusters[numbers])
    listed = labels < (labels.max() + 1) // 2
    rank = np.where(listed, np.cumsum(listed), np.cumsum(~listed)) - 1
    first, second = pairs.counted.first, pairs.counted.second
    apart = listed[first] != listed[second]
    first, second, distance = first[apart], second[apart], pairs.counted.distance[apart].astype(np.int64)
    entry, query = (np.where(listed[first] == side, first, second) for side in (True, False))
    sizes = nested_sizes(int(listed.sum()))
    near = nested_nearest(
        rank[query], rank[entry], distance, queries=int((~listed).sum()), sizes=sizes, beyond=pairs.reach + 1
    )
    ones = first_of_each(labels[~listed])
    return Search(numbers[~listed][ones], tuple(sizes), near[:, ones], pairs.reach)


def identify(raw: Raw, name: str, target: float, account: Account, replicates: int, seed: int) -> dict[str, Any]:
    """Everything that is said of one hash's false matches.

    Args:
        raw: what was measured.
        name: of the hash.
        target: FPIR at which hashes are compared.
        account: what thresholds are found for.
        replicates: draws of the bootstrap.
        seed: of the draws.

    Returns:
        plain values for JSON.
    """
    radius = int(raw.about["plugins"][name]["radius"])
    asked = search(raw, name, LISTABLE)
    equal = None
    if asked is not None:
        radius = min(radius, asked.reach)  # of a hash that sets little apart, near pairs are kept up to less
        equal = asked.equal_radius(target)
    wanted = {radius} if equal is None else {radius, equal}
    found: dict[str, Any] = {"populations": {}}
    for population in raw.populations():
        pairs = raw.pairs(name, population)
        if pairs is not None:
            numbers = raw.numbers(name, population)
            found["populations"][population] = _pairs(pairs, numbered(raw.clusters[numbers]), wanted, replicates, seed)
    if asked is None:
        return found | {"refused": "under 10 clusters of pictures that can be listed"}
    found |= {"radius": radius, "reach": asked.reach, "equal_radius": equal}
    radii = sorted(wanted)
    names = np.array([raw.pictures[at].stratum.value for at in asked.queries])
    whole = asked.rates(range(asked.reach + 1))
    largest = asked.sizes[-1]
    found["list"], found["queries"] = largest, len(asked.queries)
    found["fpir_by_size"] = [_row(whole[size, r], r, size=size) for r in radii for size in asked.sizes]
    found["fpir_by_radius"] = [_row(whole[largest, r], r) for r in range(asked.reach + 1)]
    found["strata"] = {LISTABLE: _stratum(whole[largest, radius])}
    by_stratum = {}
    for stratum in sorted(set(names.tolist())):
        by_stratum[stratum] = asked.rates([radius], names == stratum)[largest, radius]
        found["strata"][stratum] = _stratum(by_stratum[stratum])
    everything = search(raw, name, EVERY)
    if everything is not None and everything.reach >= radius:
        found["strata"][EVERY] = _stratum(everything.rates([radius])[everything.sizes[-1], radius])
    found["hits"] = as_hex(asked.nearest[-1] <= radius)
    found["nearest"] = np.sort(asked.nearest[-1])[:100].tolist()
    found["tails"] = _tails(asked.nearest[-1], names, radius)
    rates = {LISTABLE: whole[largest, radius], **by_stratum}
    found["accounts"] = {part: account_thresholds(rate, account) for part, rate in rates.items()}
    return found


def as_hex(found: NDArray[np.bool_]) -> str:
    """Bits as hexadecimal digits, the first highest."""
    return np.packbits(found).tobytes().hex()


def account_thresholds(rate: Estimate, account: Account) -> dict[str, Any]:
    """Threshold under each law, at the rate and at its upper end; or why there is none."""
    given = {"pictures": account.pictures, "wanted": account.wanted, "shape": account.shape, "burst": account.burst}
    try:
        laws = thresholds(rate, account.pictures, account.wanted, shape=account.shape, burst=account.burst)
    except ArgumentError as error:
        return {**given, "fpir": asdict(rate), "refused": str(error)}
    told = {law: {"at_rate": int(part.estimate), "at_upper": int(part.high)} for law, part in laws.items()}
    return {**given, "fpir": asdict(rate), "laws": told}


def _pairs(pairs: AllPairs, labels: Whole, wanted: set[int], replicates: int, seed: int) -> dict[str, Any]:
    counted = pairs.counted
    total = int(counted.histogram.sum())
    steps = np.arange(pairs.bits + 1)
    mean = float((counted.histogram * steps).sum()) / total / pairs.bits
    square = float((counted.histogram * steps**2).sum()) / total / pairs.bits**2
    near: ClusterPairs = pairs_within(counted.first, counted.second, counted.distance, labels, reach=pairs.reach)
    radii = sorted({min(radius, pairs.reach) for radius in wanted})
    rates = fmr(near, radii, histogram=counted.histogram, replicates=replicates, seed=seed)
    return {
        "pictures": len(labels),
        "clusters": int(labels.max()) + 1,
        "pairs": total,
        "histogram": counted.histogram.tolist(),
        "mean": mean,
        "sd": max(0.0, square - mean**2) ** 0.5,
        "fmr": [_row(rates[r], r) for r in radii],
        "freedom": _freedom(pairs),
    }


def _freedom(pairs: AllPairs) -> dict[str, Any]:
    if len(pairs.sums) < FEWEST_FREEDOM:
        return {"refused": f"{len(pairs.sums)} clusters are under {FEWEST_FREEDOM}"}
    try:
        return asdict(degrees_of_freedom(pairs.counted.histogram, pairs.sums))
    except ArgumentError as error:
        return {"refused": str(error)}


def _tails(nearest: Whole, strata: NDArray[np.str_], radius: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, tail in tails(nearest, strata).items():
        if isinstance(tail, Refused):
            found[name] = {"n": tail.n, "refused": tail.reason}
            continue
        found[name] = {
            "n": tail.n, "threshold": tail.threshold, "nearest": tail.nearest, "shape": tail.shape,
            "scale": tail.scale, "fit": tail.fit, "lowest_radius": tail.lowest_radius,
            "lowest": asdict(tail.rate(tail.lowest_radius)),
        }  # fmt: skip
        try:
            found[name]["at_radius"] = asdict(tail.rate(radius))
        except ArgumentError as error:
            found[name]["refused_at_radius"] = str(error)
    return found


def _stratum(rate: Estimate) -> dict[str, Any]:
    """A rate by counts: with the one-sided bound, and how far it is from thirty errors."""
    hits = round(rate.estimate * rate.n)
    exact = clopper_pearson(hits, rate.n, rate.level)
    upper = upper_rate(hits, rate.n)
    aim = rule_of_thirty(hits, rate.n)
    wanted = {"wanted": aim.wanted, "more": aim.more, "at_least": aim.at_least}
    return {**asdict(exact), "hits": hits, "upper": upper, "aim": wanted}


def _row(rate: Estimate, radius: int, **more: Any) -> Mapping[str, Any]:
    return {"radius": radius, **more, **asdict(rate)}

"""The FMR over all pairs, with an interval from drawing whole clusters anew.

Rules: a cluster is drawn or left out with all its pairs; figures that were counted stay exact, only their interval is
drawn; the same seed gives the same interval.

A pair's false match is owed to both pictures, so in a matrix of pairs whole rows and columns move together. Drawing
clusters of each side with replacement, and giving a pair the product of its clusters' counts, carries that over: the
pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386). Within one collection both sides are the same
draw, as for exchangeable arrays in Davezies, D'Haultfoeuille and Guyonvarch 2021, Annals of Statistics 49:845. What
belongs to the single pair is counted three times by it (Owen 2007), so draws are measured by their own standard
error, which subtracts that: the variance over all couples of pairs that share a cluster, each once (after Aronow,
Samii and Assenova 2015, Political Analysis 23:564).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special
from scipy.sparse import csr_array

from benchmarks.accuracy.clusters import ClusterPairs
from benchmarks.accuracy.intervals import Estimate
from scanner.account_rates import upper_rate
from scanner.errors import ArgumentError

FEWEST_CLUSTERS = 10
FEWEST_HITS = 10
CELLS = 4_000_000  # of one block of draws: 32 MB an array

Floats = NDArray[np.float64]


def fmr(
    pairs: ClusterPairs,
    radii: Sequence[int],
    *,
    histogram: ArrayLike | None = None,
    level: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    corrected: bool = True,
) -> dict[int, Estimate]:
    """FMR(r): the share of all pairs of different clusters at this distance or nearer, with its interval.

    The interval is that of the bootstrap-t (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 12)
    on the scale of the cube root, with draws and standard errors as in the module's docstring. Under 10 hits there is
    too little to draw from: the exact Poisson interval (Garwood 1936, Biometrika 28:437) is taken, of as many hits as
    would be left if they were independent. At no hit, nothing is known of how hits flock: the bound is that of the
    rule of three for disjoint pairs of clusters, which are independent whatever they hold.

    Args:
        pairs: near pairs by clusters, to the largest radius at least.
        radii: in bits; a distance equal to the radius is a hit.
        histogram: all pairs of different clusters by distance, shape ``(bits + 1,)``; checked against ``pairs``.
        level: over 0 and under 1.
        replicates: draws; at least 100.
        seed: of the draws.
        corrected: the standard error leaves out what the pigeonhole counts too often. False keeps it in: wider, up to
            a factor of 1.7, and right to stand behind a safety claim. If a few clusters hold most pictures the
            corrected interval promises too much: at 80 to 120 clusters, of sizes by a power law of index 1.5, it held
            the truth in 88 to 90 % of simulated studies at 95 %, the uncorrected one in 95 %.

    Returns:
        by radius; ``n`` is the number of clusters, of the smaller side.

    Raises:
        ArgumentError: a value is outside the above, under 10 clusters of a side, or the histogram is of other pairs.
    """
    sides = [pairs.sizes] if pairs.list_sizes is None else [pairs.sizes, pairs.list_sizes]
    clusters = min(map(len, sides))
    check_draws(clusters, level, replicates)
    wanted = sorted(set(radii))
    if histogram is not None:
        pairs.check(histogram, wanted)
    hits = {radius: pairs.hits(radius) for radius in wanted}
    drawn = [radius for radius in wanted if FEWEST_HITS <= hits[radius] < pairs.pairs]
    seen = {radius: _Hits.of(pairs, radius) for radius in wanted if hits[radius]}
    once = [np.ones((len(sizes), 1)) for sizes in sides]
    sums = [_power_sums(sizes, weight) for sizes, weight in zip(sides, once, strict=True)]
    around = {radius: tuple(float(x[0]) for x in found.moments(once, sums)) for radius, found in seen.items()}
    scores = _scores(sides, {radius: seen[radius] for radius in drawn}, around, replicates, seed)
    found = {}
    disjoint = clusters // 2 if pairs.list_sizes is None else clusters
    for radius in wanted:
        told = f"{hits[radius]:,} of {pairs.pairs:,} pairs of {clusters:,} clusters"
        if not hits[radius]:
            high = upper_rate(0, disjoint, (1 + level) / 2)
            note = f"{told}; rule of three over {disjoint:,} disjoint pairs of clusters"
            found[radius] = Estimate(0.0, 0.0, high, level, clusters, note)
            continue
        if hits[radius] == pairs.pairs:
            low = 1 - upper_rate(0, disjoint, (1 + level) / 2)
            found[radius] = Estimate(1.0, low, 1.0, level, clusters, f"{told}; all but none, as for no hit")
            continue
        rate, strict, loose = around[radius]
        variance = strict if corrected else loose
        low, high = _poisson(rate, hits[radius], variance, level)
        note = f"{told}; Poisson interval of the hits that independent pairs would have"
        if radius in scores:
            ends = _studentised(rate, variance, scores[radius], level)
            if math.isfinite(ends[1]):
                low, high = ends
                note = f"{told}; pigeonhole bootstrap-t, {replicates:,} draws{'' if corrected else ', uncorrected'}"
        found[radius] = Estimate(rate, min(low, rate), min(1.0, max(high, rate)), level, clusters, note)
    return found


def check_draws(clusters: int, level: float, replicates: int) -> None:
    """Refuse what no interval can be drawn from.

    Raises:
        ArgumentError: under 10 clusters, a level not over 0 and under 1, or under 100 draws.
    """
    if not 0 < level < 1 or replicates < 100:
        raise ArgumentError(f"a level of {level:g} or {replicates} draws: it takes 0 < level < 1, 100 draws or more")
    if clusters < FEWEST_CLUSTERS:
        raise ArgumentError(f"{clusters} clusters say too little of others: it takes {FEWEST_CLUSTERS}")


@dataclass(frozen=True, eq=False)
class _Hits:
    """Hits at one radius as a matrix of the clusters that have any."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    counts: csr_array
    squares: csr_array
    by_sizes: csr_array
    sizes: NDArray[np.int64]
    list_sizes: NDArray[np.int64] | None

    @classmethod
    def of(cls, pairs: ClusterPairs, radius: int) -> _Hits:
        end = pairs.end_of(radius)
        one, two, count = pairs.first[:end], pairs.second[:end], pairs.count[:end].astype(float)
        if pairs.list_sizes is None:
            one, two, count = np.concatenate([one, two]), np.concatenate([two, one]), np.concatenate([count, count])
            rows = columns = np.unique(one)
            others = pairs.sizes
        else:
            rows, columns, others = np.unique(one), np.unique(two), pairs.list_sizes
        at = np.searchsorted(rows, one), np.searchsorted(columns, two)
        counts = csr_array((count, at), shape=(len(rows), len(columns)))
        squares, by_sizes = counts.copy(), counts.copy()
        squares.data = counts.data**2
        inner = np.repeat(pairs.sizes[rows], np.diff(counts.indptr)) * others[columns[counts.indices]]
        by_sizes.data = counts.data * inner
        return cls(rows, columns, counts, squares, by_sizes, pairs.sizes, pairs.list_sizes)

    def moments(self, weights: Sequence[Floats], sums: Sequence[Floats]) -> tuple[Floats, Floats, Floats]:
        """Rate, its variance and its variance as the pigeonhole has it, of each draw.

        Args:
            weights: how often each cluster was drawn, of one side or of each; shape ``(c, draws)``.
            sums: ``_power_sums`` of each side.
        """
        if self.list_sizes is None:
            return self._within(weights[0], sums[0])
        return self._between(weights, sums, self.list_sizes)

    def _within(self, weight: Floats, powers: Floats) -> tuple[Floats, Floats, Floats]:
        near, sizes = weight[self.rows], self.sizes[self.rows, None].astype(float)
        total, n2, n2w2, n3w2, n4w2, n4w3 = powers
        pairs = (total**2 - n2w2) / 2
        sums = self.counts @ near
        hits = near * sums
        rate = hits.sum(axis=0) / 2 / pairs
        bulk = total**2 * n2 - 2 * total * n3w2 + n4w3
        cross = (hits * sizes * (total - near * sizes)).sum(axis=0)
        shared = (hits * sums).sum(axis=0) - 2 * rate * cross + rate**2 * bulk
        single = self._single(near, near, rate) / 2 + rate**2 * (n2**2 - n4w2) / 2
        return rate, *_variances(shared, single, pairs)

    def _between(
        self, weights: Sequence[Floats], powers: Sequence[Floats], list_sizes: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats]:
        near, list_near = weights[0][self.rows], weights[1][self.columns]
        (total, n2), (list_total, m2) = powers[0][:2], powers[1][:2]
        pairs = total * list_total
        sums, list_sums = self.counts @ list_near, self.counts.T @ near
        hits, list_hits = near * sums, list_near * list_sums
        rate = hits.sum(axis=0) / pairs
        cross = list_total * (hits * self.sizes[self.rows, None]).sum(axis=0)
        list_cross = total * (list_hits * list_sizes[self.columns, None]).sum(axis=0)
        shared = (hits * sums).sum(axis=0) - 2 * rate * cross + rate**2 * list_total**2 * n2
        shared += (list_hits * list_sums).sum(axis=0) - 2 * rate * list_cross + rate**2 * total**2 * m2
        single = self._single(near, list_near, rate) + rate**2 * n2 * m2
        return rate, *_variances(shared, single, pairs)

    def _single(self, near: Floats, list_near: Floats, rate: Floats) -> Floats:
        squares = (near * (self.squares @ list_near)).sum(axis=0)
        found: Floats = squares - 2 * rate * (near * (self.by_sizes @ list_near)).sum(axis=0)
        return found


def _power_sums(sizes: NDArray[np.int64], weight: Floats) -> Floats:
    """Sums over clusters of n w, n2 w, n2 w2, n3 w2, n4 w2 and n4 w3, of each draw; shape ``(6, draws)``."""
    n, square = sizes.astype(float), weight * weight
    once, twice = np.stack([n, n**2]) @ weight, np.stack([n**2, n**3, n**4]) @ square
    return np.concatenate([once, twice, [(n**4) @ (square * weight)]])


def _variances(shared: Floats, single: Floats, pairs: Floats) -> tuple[Floats, Floats]:
    """Variance of the rate; floored at that of single pairs, as hits of a cluster do not shun each other."""
    return np.maximum(shared - single, single) / pairs**2, (shared + single) / pairs**2


def _scores(
    sides: Sequence[NDArray[np.int64]],
    seen: dict[int, _Hits],
    around: dict[int, tuple[float, ...]],
    replicates: int,
    seed: int,
) -> dict[int, Floats]:
    """Each draw's distance from the rate in its own standard errors, on the scale of the cube root; by radius."""
    parts: dict[int, list[Floats]] = {radius: [] for radius in seen}
    for weights in _draws(sides, replicates, seed) if seen else ():
        sums = [_power_sums(sizes, weight) for sizes, weight in zip(sides, weights, strict=True)]
        for radius, hits in seen.items():
            rate, variance, _ = hits.moments(weights, sums)
            some = np.flatnonzero((rate > 0) & (variance > 0))
            score = np.where(rate > 0, np.inf, -np.inf)  # draws without a hit, or without a pair that is none
            error = np.sqrt(variance[some]) / (3 * np.cbrt(rate[some]) ** 2)
            score[some] = (np.cbrt(rate[some]) - np.cbrt(around[radius][0])) / error
            parts[radius].append(score)
    return {radius: np.concatenate(part) for radius, part in parts.items()}


def _draws(sides: Sequence[NDArray[np.int64]], replicates: int, seed: int) -> Iterator[list[Floats]]:
    """Blocks of draws: how often each cluster of each side was taken; shapes ``(c, draws)``."""
    rng = np.random.default_rng(seed)
    block = max(1, CELLS // max(map(len, sides)))
    for start in range(0, replicates, block):
        width = min(block, replicates - start)
        weights = []
        for sizes in sides:
            taken = rng.integers(len(sizes), size=(len(sizes), width)) * width + np.arange(width)
            counts = np.bincount(taken.ravel(), minlength=len(sizes) * width)
            weights.append(counts.reshape(len(sizes), width).astype(float))
        yield weights


def _studentised(rate: float, variance: float, scores: Floats, level: float) -> tuple[float, float]:
    error = math.sqrt(variance) / (3 * math.cbrt(rate) ** 2)
    tail = (1 - level) / 2
    lowest, highest = np.quantile(scores, [tail, 1 - tail], method="inverted_cdf")
    low, high = math.cbrt(rate) - highest * error, math.cbrt(rate) - lowest * error
    return max(0.0, float(low)) ** 3, float(high) ** 3


def _poisson(rate: float, hits: int, variance: float, level: float) -> tuple[float, float]:
    """Garwood's interval of so many independent hits as have the rate's relative variance; of all at most."""
    left = min(float(hits), rate * rate / variance)
    tail = (1 - level) / 2
    low, high = special.gammaincinv(left, tail), special.gammaincinv(left + 1, 1 - tail)
    return rate * float(low) / left, rate * float(high) / left

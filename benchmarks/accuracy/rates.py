"""Rates of errors of a hash: FMR by pair, FPIR by picture against a list, FNIR by edit; and how many bits it is worth.

Rules: terms are those of ISO/IEC 19795-1; trials are clusters, so each interval is that of independent trials; a
distance equal to the radius is a match.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from benchmarks.accuracy.clusters import first_of_each, numbered
from benchmarks.accuracy.intervals import Estimate, check_trials, exact_ends, score_ends
from scanner.errors import ArgumentError


def false_match_rates(histogram: ArrayLike) -> NDArray[np.float64]:
    """FMR at every radius, exactly, from the distances of all pairs of different clusters.

    Source: the false match rate of ISO/IEC 19795-1, over all cross-comparisons.

    Args:
        histogram: pairs at each distance; shape ``(bits + 1,)``, whole numbers.

    Returns:
        share of pairs at this distance or nearer; shape ``(bits + 1,)``, float64; the last is 1.

    Raises:
        ArgumentError: it is no such histogram, or holds no pair.
    """
    counts = np.asarray(histogram)
    if counts.ndim != 1 or counts.dtype.kind not in "iu" or not counts.any() or (counts < 0).any():
        raise ArgumentError("a histogram has one whole number a distance, none below 0 and not all 0")
    return np.cumsum(counts.astype(np.uint64)) / float(counts.sum(dtype=np.uint64))


def nested_sizes(largest: int, smallest: int = 100, per_decade: int = 2) -> list[int]:
    """Choose sizes of lists, evenly on a log axis; each list is the beginning of the next.

    Args:
        largest: the whole list; at least 1. It is always the last.
        smallest: the first; at least 1. If it is not below ``largest`` only that one is left.
        per_decade: sizes in a factor of ten; at least 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    if min(largest, smallest, per_decade) < 1:
        raise ArgumentError("sizes of lists, and their number a decade, are at least 1")
    steps = math.floor(per_decade * math.log10(largest / smallest)) if smallest < largest else -1
    found = {round(smallest * 10 ** (step / per_decade)) for step in range(steps + 1)}
    return [*sorted(size for size in found if size < largest), largest]


def nested_nearest(
    query: ArrayLike, entry: ArrayLike, distance: ArrayLike, *, queries: int, sizes: Sequence[int], beyond: int
) -> NDArray[np.int64]:
    """Find each query's distance to the nearest entry of each nested list, from the near pairs alone.

    Args:
        query: number of the query in each near pair; shape ``(k,)``.
        entry: number of the entry, in the random order of the whole list; shape ``(k,)``.
        distance: of the two, in bits; shape ``(k,)``.
        queries: how many there are.
        sizes: the first so many entries make each list.
        beyond: given where no pair was near; over every distance.

    Returns:
        shape ``(len(sizes), queries)``, int64.

    Raises:
        ArgumentError: a distance is not below ``beyond``.
    """
    left, right, far = np.asarray(query), np.asarray(entry), np.asarray(distance)
    if far.size and far.max() >= beyond:
        raise ArgumentError(f"a distance of {far.max()} is not below {beyond}")
    found = np.full((len(sizes), queries), beyond, np.int64)
    for row, size in zip(found, sizes, strict=True):
        inside = right < size
        np.minimum.at(row, left[inside], far[inside])
    return found


def fpir(
    nearest: ArrayLike, query_clusters: ArrayLike, sizes: Sequence[int], radii: Sequence[int], level: float = 0.95
) -> dict[tuple[int, int], Estimate]:
    """FPIR(M, r): how often a picture that is not in a list of M has an entry within the radius.

    One query stands for each cluster, the first in the caller's order, so trials are independent and the exact
    interval holds (Clopper and Pearson 1934, Biometrika 26:404). It speaks of this list: another list of the same
    size differs, and the pigeonhole interval of ``bootstrap.fmr`` covers that too.

    Args:
        nearest: distance of each query to the nearest entry of each list; shape ``(len(sizes), n)``.
        query_clusters: label of each query; shape ``(n,)``.
        sizes: entries of each list, ascending; each list is the beginning of the next.
        radii: in bits; a distance equal to the radius is a hit.
        level: over 0 and under 1.

    Returns:
        by size and radius.

    Raises:
        ArgumentError: shapes differ, there is no query, sizes do not ascend, or a larger list is farther than a
            smaller one.
    """
    near, labels = np.asarray(nearest), np.asarray(query_clusters)
    if near.ndim != 2 or near.shape != (len(sizes), len(labels)) or not near.size:
        raise ArgumentError(f"distances of {near.shape} are not one a list and query: {(len(sizes), len(labels))}")
    if list(sizes) != sorted(set(sizes)) or (np.diff(near, axis=0) > 0).any():
        raise ArgumentError("lists are not nested: sizes ascend, and a larger list is never farther from a query")
    one_each = near[:, first_of_each(labels)]
    found = {}
    for row, size in zip(one_each, sizes, strict=True):
        for radius in radii:
            hits, trials = int((row <= radius).sum()), len(row)
            low, high = exact_ends(hits, trials, level)
            note = f"{hits:,} of {trials:,} query clusters against this list of {size:,}; Clopper-Pearson"
            found[size, radius] = Estimate(hits / trials, low, high, level, trials, note)
    return found


def fnir(missed: ArrayLike, clusters: ArrayLike, level: float = 0.95, method: str = "wilson") -> Estimate:
    """FNIR: how often an edited picture is not found, by clusters of source pictures.

    Pictures of one cluster fail together, so the trials are cut to the size that independent ones would need for the
    same variance: Rao and Scott 1992, Biometrics 48:577, for Wilson's interval; Korn and Graubard 1998, Survey
    Methodology 24:193, for the exact one, whose factor for few clusters is applied to both. With none or all missed
    the variance says nothing and the clusters are counted.

    Args:
        missed: whether each edited picture was not found; shape ``(n,)``, bool.
        clusters: label of each one's source; shape ``(n,)``.
        level: over 0 and under 1.
        method: ``wilson`` for the rate's best interval, ``clopper`` for one that never promises too much.

    Raises:
        ArgumentError: shapes differ, there is no picture, or the method is none of these.
    """
    lost, labels = np.asarray(missed, bool), numbered(clusters)
    if lost.ndim != 1 or lost.shape != labels.shape or not lost.size:
        raise ArgumentError(f"{lost.shape} pictures and {labels.shape} clusters: expected the same, not empty")
    if method not in ("wilson", "clopper"):
        raise ArgumentError(f"method {method!r} is not wilson or clopper")
    sizes = np.bincount(labels)
    rate, total, count = float(lost.mean()), len(lost), len(sizes)
    trials = float(count)
    if count < total and 0 < rate < 1 and count > 1:
        off = np.bincount(labels, lost) - rate * sizes
        variance = count / (count - 1) * float(off @ off) / total**2
        effect = max(1.0, variance * total / (rate * (1 - rate)))
        tail = (1 + level) / 2
        trials = total / effect * float(special.stdtrit(total - 1, tail) / special.stdtrit(count - 1, tail)) ** 2
        trials = max(1.0, trials)
    check_trials(rate * trials, trials, level)
    low, high = score_ends(rate, trials, level) if method == "wilson" else exact_ends(rate * trials, trials, level)
    name = "Wilson" if method == "wilson" else "Clopper-Pearson"
    note = f"{int(lost.sum()):,} of {total:,} pictures of {count:,} clusters, as {trials:,.0f} independent; {name}"
    return Estimate(rate, low, high, level, count, note)


def fnir_by_edit(
    edits: Sequence[str],
    strengths: ArrayLike,
    missed: ArrayLike,
    clusters: ArrayLike,
    level: float = 0.95,
    method: str = "wilson",
) -> dict[tuple[str, float], Estimate]:
    """FNIR of each edit at each strength; source and errors as of ``fnir``.

    Args:
        edits: name of each picture's edit; length ``n``.
        strengths: of the edit; shape ``(n,)``.
        missed: as of ``fnir``.
        clusters: as of ``fnir``.
        level: of each interval by itself.
        method: as of ``fnir``.

    Returns:
        by edit and strength, sorted.
    """
    names, power, lost, labels = np.asarray(edits), np.asarray(strengths, float), np.asarray(missed), numbered(clusters)
    if not names.shape == power.shape == lost.shape == labels.shape:
        raise ArgumentError("edits, strengths, missed and clusters differ in length")
    kinds = sorted(set(zip(names.tolist(), power.tolist(), strict=True)))
    where = ((kind, (names == kind[0]) & (power == kind[1])) for kind in kinds)
    return {kind: fnir(lost[at], labels[at], level, method) for kind, at in where}


def degrees_of_freedom(histogram: ArrayLike, by_cluster: ArrayLike, level: float = 0.95) -> Estimate:
    """Independent fair bits that would spread distances as much as the hash does: ``p (1 - p) / variance``.

    Source: Daugman 2003, Pattern Recognition 36:279. The interval is on the log scale: bias by the jackknife over
    clusters (Arvesen 1969, Annals of Mathematical Statistics 40:2076), variance over all couples of pairs that share a
    cluster (after Aronow, Samii and Assenova 2015, Political Analysis 23:564), skewness by Hall's transformation (1992,
    JRSS B 54:221).

    Args:
        histogram: pairs of different clusters at each distance; shape ``(bits + 1,)``, whole numbers.
        by_cluster: of the pairs of each cluster with all others: how many, the sum of their distances in bits, the
            sum of the squares; shape ``(c, 3)``, whole numbers, ``c`` at least 100.
        level: over 0 and under 1.

    Raises:
        ArgumentError: a value is outside the above, the two are of different pairs, or all distances are equal.
    """
    counts, sums = np.asarray(histogram), np.asarray(by_cluster)
    if counts.ndim != 1 or sums.ndim != 2 or sums.shape[1] != 3 or len(sums) < 100 or not 0 < level < 1:
        raise ArgumentError(f"histogram {counts.shape} and sums {sums.shape} are not (bits + 1,) and (100 or more, 3)")
    bits = len(counts) - 1
    steps = np.arange(bits + 1)
    powers = [sum(int(count) * step**power for step, count in enumerate(counts)) for power in range(3)]
    if [2 * power for power in powers] != [sum(column) for column in sums.T.tolist()]:  # 64 bits are too few for both
        raise ArgumentError("histogram and sums by cluster are of different pairs")
    scale = np.array([1.0, bits, bits * bits])
    held, whole = sums / scale, np.array(powers, float) / scale
    if not powers[2] * powers[0] > powers[1] ** 2:
        raise ArgumentError("all distances are equal: there are no degrees of freedom")
    mean = whole[1] / whole[0]
    variance = whole[2] / whole[0] - mean * mean
    slope = (1 - 2 * mean) / (mean * (1 - mean))
    pull = slope * (steps / bits - mean) - ((steps / bits - mean) ** 2 / variance - 1)  # of a pair, on the logarithm
    spread = held[:, 2] - 2 * mean * held[:, 1] + mean**2 * held[:, 0]
    pulls = slope * (held[:, 1] - mean * held[:, 0]) - (spread / variance - held[:, 0])
    single = float((counts * pull**2).sum())
    error = math.sqrt(max(float(pulls @ pulls) - single, single)) / whole[0]
    skew = float((pulls**3).sum()) / (whole[0] * error) ** 3
    bias = (len(sums) - 1) * float((_log_freedom(whole - held) - _log_freedom(whole)).mean())
    found = math.exp(float(_log_freedom(whole)))
    z = float(special.stdtrit(len(sums) - 1, (1 + level) / 2))
    low, high = (found * math.exp(-bias - error * _unskewed(end, skew)) for end in (z, -z))
    note = f"mean {mean:.4f}, sd {math.sqrt(variance):.4f} of {powers[0]:,} pairs of {len(sums):,} clusters"
    return Estimate(found, min(low, found), max(high, found), level, len(sums), note)


def _log_freedom(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of number, sum and sum of squares, in the last axis."""
    mean = moments[..., 1] / moments[..., 0]
    found: NDArray[np.float64] = np.log(mean * (1 - mean)) - np.log(moments[..., 2] / moments[..., 0] - mean * mean)
    return found


def _unskewed(z: float, skew: float) -> float:
    """The studentised value that Hall's transformation takes to ``z``."""
    return z if abs(skew) < 1e-6 else 3 / skew * (math.cbrt(1 + skew * (z - skew / 6)) - 1)

"""What lies below the smallest distance seen: a tail fitted to the nearest, good for one decade.

Rules: a figure beyond the data says "extrapolated" and ends one decade below them; each stratum has a tail of its own,
as a mixture's tail is that of its worst part; a tail that the data don't bear out is refused with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from benchmarks.accuracy.intervals import Estimate, clopper_pearson
from scanner.errors import ArgumentError

FEWEST_EXCEEDANCES = 50
MOST_EXCEEDANCES = 200
FEWEST_DISTANCES = 5
SHARE = 0.1  # of a stratum's distances, at most, that are its tail
DOUBT = 0.01  # a fit less likely than this is refused
DOUBT_OF_ONE = 0.001  # a nearest query less likely than this by the others' exponential tail is refused

SHAPES = (-0.5, 0.5)
SLICES = 11

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tail:
    """The lower tail of the nearest distances of one stratum.

    Attributes:
        stratum: its name.
        n: independent queries in it.
        threshold: distances up to this one are the tail, in bits.
        nearest: the smallest distance seen.
        shape: of the likeliest generalised Pareto law; negative: there is a least distance.
        scale: of the same, in bits.
        fit: chance of a worse fit than this one if the law were true.
        histogram: queries at each distance, 0 and on; int64.
        laws: shape, scale and weight of every law that the counts leave possible; shape ``(k, 3)``, float64.
    """

    stratum: str
    n: int
    threshold: int
    nearest: int
    shape: float
    scale: float
    fit: float
    histogram: NDArray[np.int64]
    laws: NDArray[np.float64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """Queries at the threshold, one bit below it, two, ...; int64."""
        return self.histogram[self.threshold :: -1]

    @property
    def lowest_radius(self) -> int:
        """The smallest radius for which ``rate`` gives a figure."""
        low, high = -1, self.threshold
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._ends(middle, 0.5)[1] >= 0.1 / self.n else (middle, high)
        return high

    def rate(self, radius: int, level: float = 0.95) -> Estimate:
        """How often a query has its nearest entry within the radius: below the threshold by the fitted law.

        Below it the figure is the median over all laws that the counts leave possible, and the share of the tail, and
        the interval holds the middle of them: Bayes' rule with no preference in the shape and the scale's logarithm,
        after Coles 2001, An Introduction to Statistical Modeling of Extreme Values, chapter 9. (The likeliest law alone
        gives figures too low.) Over the threshold queries are counted and the interval is exact.

        Args:
            radius: at least 0, in bits.
            level: over 0 and under 1.

        Raises:
            ArgumentError: a value is outside the above, or the rate is under 0.1 / n: more than a decade below what
                n queries can show.
        """
        if radius < 0 or not 0 < level < 1:
            raise ArgumentError(f"radius {radius} is below 0, or level {level:g} not over 0 and under 1")
        if radius > self.threshold:
            return clopper_pearson(int(self.histogram[: radius + 1].sum()), self.n, level)
        low, estimate, high = self._ends(radius, level)
        if estimate < 0.1 / self.n:
            raise ArgumentError(
                f"stratum {self.stratum}, radius {radius}: a rate of {estimate:.1e} is more than a decade below what "
                f"{self.n:,} queries show; the smallest radius is {self.lowest_radius}"
            )
        seen = int(self.histogram[: radius + 1].sum())
        what = f"fitted to {seen:,} hits" if seen else "extrapolated"
        note = f"{what}; {self.stratum}: generalised Pareto tail of {self.counts.sum():,} of {self.n:,} queries"
        return Estimate(estimate, low, high, level, self.n, note)

    def _ends(self, radius: int, level: float) -> tuple[float, float, float]:
        """Lower end, median and upper end."""
        hits = int(self.counts.sum())
        parts = (np.arange(SLICES) + 0.5) / SLICES
        shares = special.betaincinv(hits + 0.5, self.n - hits + 0.5, parts)  # of the tail, after Jeffreys
        reached = _survival(np.array([self.threshold - radius]), self.laws[:, 0], self.laws[:, 1])
        rates = (reached * shares).ravel()
        order = np.argsort(rates)
        upto = np.cumsum(np.repeat(self.laws[:, 2], SLICES)[order])
        wanted = np.array([(1 - level) / 2, 0.5, (1 + level) / 2]) * upto[-1]
        low, middle, high = rates[order][np.searchsorted(upto, wanted)].tolist()
        return low, middle, high


@dataclass(frozen=True)
class Refused:
    """A stratum whose tail is not given.

    Attributes:
        stratum: its name.
        n: independent queries in it.
        reason: what the data don't allow.
    """

    stratum: str
    n: int
    reason: str


def tails(nearest: ArrayLike, strata: ArrayLike) -> dict[str, Tail | Refused]:
    """Fit the lower tail of each stratum's nearest distances: peaks over threshold.

    Source: Pickands 1975, Annals of Statistics 3:119, for the generalised Pareto law; distances are whole numbers, so
    its discrete form is fitted, after Hitz, Davis and Samorodnitsky 2024, Discrete Extremes, Journal of Data Science.
    The tail is the lowest 200 queries and a tenth at most, whatever comes out, so that it moves outward as n grows: a
    wider one gives figures too low where distances are sums of many bits. Refused are a tail of under 50 queries or 5
    distances, one whose counts differ from the fitted law, and one whose nearest query is too near even for an
    exponential law of the others, which is heavier than any sum of bits: a near copy left among the innocent.

    Args:
        nearest: distance of each query to the nearest entry of the list, in bits; shape ``(n,)``. One query a
            cluster (``clusters.first_of_each``), so that they are independent.
        strata: name of each query's stratum; shape ``(n,)``. Strata are not pooled.

    Returns:
        by stratum, sorted.

    Raises:
        ArgumentError: shapes differ, there is no query, or a distance is no whole number from 0.
    """
    near, names = np.asarray(nearest), np.asarray(strata)
    if near.ndim != 1 or near.shape != names.shape or not near.size:
        raise ArgumentError(f"distances of {near.shape} and strata of {names.shape}: expected the same, not empty")
    if near.dtype.kind not in "iu" or near.min() < 0:
        raise ArgumentError("a distance is a whole number of bits, from 0")
    return {str(name): _fit(str(name), near[names == name].astype(np.int64)) for name in np.unique(names)}


def whole_rate(
    found: Mapping[str, Tail | Refused], shares: Mapping[str, float], radius: int, level: float = 0.95
) -> Estimate:
    """Rate over all strata in given shares, from the tail of each.

    The interval joins those of the strata, which are independent: Zou and Donner 2008, Statistics in Medicine 27:1693.

    Args:
        found: as ``tails`` gives it.
        shares: of each stratum in what is to be sent; they add up to 1.
        radius: in bits.
        level: over 0 and under 1.

    Raises:
        ArgumentError: shares don't add up to 1, a stratum has no tail, or none at this radius.
    """
    if abs(math.fsum(shares.values()) - 1) > 1e-9 or min(shares.values()) < 0:
        raise ArgumentError("shares of strata are not from 0 and do not add up to 1")
    parts = []
    for name, share in shares.items():
        if share:
            tail = found.get(name)
            if not isinstance(tail, Tail):
                reason = tail.reason if tail else "no query is of it"
                raise ArgumentError(f"stratum {name} has no tail, so the whole has none: {reason}")
            parts.append((share, tail.rate(radius, level)))
    estimate = math.fsum(share * part.estimate for share, part in parts)
    below = math.hypot(*(share * (part.estimate - part.low) for share, part in parts))
    above = math.hypot(*(share * (part.high - part.estimate) for share, part in parts))
    note = f"{len(parts)} strata, each: " + "; ".join(part.note for _, part in parts)
    return Estimate(
        estimate, max(0.0, estimate - below), min(1.0, estimate + above), level, sum(part.n for _, part in parts), note
    )


def _fit(name: str, near: NDArray[np.int64]) -> Tail | Refused:
    counts = np.bincount(near)
    up_to = np.cumsum(counts)
    inside = np.flatnonzero(up_to <= min(SHARE * len(near), MOST_EXCEEDANCES))
    threshold = int(inside[-1]) if len(inside) else 0
    exceeding = int(up_to[threshold]) if len(inside) else 0
    if exceeding < FEWEST_EXCEEDANCES:
        return Refused(name, len(near), f"{exceeding} queries are in its tail; it takes {FEWEST_EXCEEDANCES}")
    tail = counts[threshold::-1]
    if (tail > 0).sum() < FEWEST_DISTANCES:
        return Refused(name, len(near), f"the tail has under {FEWEST_DISTANCES} distances")
    last = int(np.flatnonzero(tail)[-1])
    others = (float(tail @ np.arange(len(tail))) - last) / (exceeding - 1)
    farther = (others / (1 + others)) ** last
    if -math.expm1(exceeding * math.log1p(-min(farther, 0.5))) < DOUBT_OF_ONE:
        return Refused(name, len(near), f"a query at {threshold - last} bits is too near for the rest: a near copy?")
    laws = _laws(tail)
    shape, scale, _ = laws[laws[:, 2].argmax()].tolist()
    fit = _goodness(tail, shape, scale)
    if fit < DOUBT:
        return Refused(name, len(near), f"the law fits the tail with a chance of only {fit:.1e}")
    return Tail(name, len(near), threshold, threshold - last, shape, scale, fit, counts, laws)


def _survival(steps: NDArray[np.int64], shapes: Floats, scales: Floats) -> Floats:
    """Chance to reach so many bits below the threshold, of those at or below it; shape ``(laws, steps)``."""
    shape = np.where(np.abs(shapes) < 1e-6, 1e-6, shapes)[:, None]
    inner = np.maximum(1 + shape * steps / scales[:, None], 0.0)
    with np.errstate(divide="ignore"):
        found: Floats = np.exp(-np.log(inner) / shape)
    return found


def _deviances(counts: NDArray[np.int64], shapes: Floats, scales: Floats) -> Floats:
    """Twice the negative log likelihood of each law."""
    steps = np.flatnonzero(counts)
    reached = _survival(np.concatenate([steps, steps + 1]), shapes, scales)
    with np.errstate(divide="ignore"):
        logs = np.log(reached[:, : len(steps)] - reached[:, len(steps) :])
    found: Floats = -2.0 * (logs @ counts[steps].astype(float))
    return found


def _laws(counts: NDArray[np.int64]) -> Floats:
    """Shape, scale and likelihood, against the largest, of laws on a grid about the likeliest; shape ``(k, 3)``."""
    mean = float(counts @ np.arange(len(counts))) / float(counts.sum()) + 0.5
    box = (*SHAPES, math.log(mean / 3), math.log(mean * 3))
    for points in (25, 41):
        shape_axis = np.linspace(box[0], box[1], points)
        scale_axis = np.linspace(box[2], box[3], points)
        shapes, logs = (axis.ravel() for axis in np.meshgrid(shape_axis, scale_axis))
        found = _deviances(counts, shapes, np.exp(logs))
        lost = found - found.min()
        near = lost <= 20
        step, log_step = shape_axis[1] - shape_axis[0], scale_axis[1] - scale_axis[0]
        box = (
            max(SHAPES[0], shapes[near].min() - step),
            min(SHAPES[1], shapes[near].max() + step),
            logs[near].min() - log_step,
            logs[near].max() + log_step,
        )
    laws: Floats = np.column_stack([shapes[near], np.exp(logs[near]), np.exp(-lost[near] / 2)])
    return laws


def _goodness(counts: NDArray[np.int64], shape: float, scale: float) -> float:
    """Chance of a larger chi-square of the counts, in cells where at least five queries are expected."""
    reached = _survival(np.arange(len(counts) + 1), np.array([shape]), np.array([scale]))[0]
    reached[-1] = 0.0
    expected = (reached[:-1] - reached[1:]) * counts.sum()
    cells = [[0.0, 0.0]]
    for seen, due in zip(counts.tolist(), expected.tolist(), strict=True):
        if cells[-1][1] >= 5:
            cells.append([0.0, 0.0])
        cells[-1][0] += seen
        cells[-1][1] += due
    if cells[-1][1] < 5 and len(cells) > 1:
        seen, due = cells.pop()
        cells[-1][0] += seen
        cells[-1][1] += due
    square = sum((seen - due) ** 2 / due for seen, due in cells)
    return float(special.chdtrc(max(1, len(cells) - 3), square))

"""What a rate by picture means for an account at a threshold, and for whoever looks at what was flagged.

Rules: an interval of the rate by picture is carried over end by end, as the account's rate rises with it; each
assumption is a law of its own (``scanner.account_rates``) and none is preferred; a safety claim rests on ``high``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from benchmarks.accuracy.intervals import Estimate
from scanner.account_rates import FalseMatches, laws_of
from scanner.errors import ArgumentError

MOST_MIXED = 10_000  # threshold of accounts with several strata: the work grows with its square
NEGLIGIBLE = 1e-300  # the smallest mean that a law takes; below it the mean is taken as 0


def log10_rates(fpir: Estimate, pictures: int, threshold: int, *, shape: float, burst: int) -> dict[str, Estimate]:
    """Log10 of the chance that an innocent account reaches the threshold in one window, under each law.

    Source: the laws of ``scanner.account_rates``, from independent pictures to accounts that differ and send in bursts.

    Args:
        fpir: rate by picture against the whole list, with its interval.
        pictures: of an account in one window; at least 1.
        threshold: distinct entries matched; 0 to 1,000,000.
        shape: of the gamma law by which accounts differ; the squared coefficient of variation is ``1 / shape``.
        burst: false matches in one burst, or their mean; at least 1.

    Returns:
        by law, the optimistic one first; ``-inf`` where it can't happen.

    Raises:
        ArgumentError: a value is outside the above or what a law takes.
    """
    _check(fpir, pictures)
    return _by_law(
        fpir,
        pictures,
        lambda law: law.log_rate(threshold) / math.log(10),
        f"log10 of the chance to reach {threshold:,} at {pictures:,} pictures",
        shape,
        burst,
    )


def thresholds(
    fpir: Estimate, pictures: int, wanted: float = 1e-12, *, shape: float, burst: int
) -> dict[str, Estimate]:
    """Find the smallest threshold that an innocent account reaches with at most a wanted chance, under each law.

    Source: as of ``log10_rates``.

    Args:
        fpir: as of ``log10_rates``.
        pictures: as of ``log10_rates``.
        wanted: chance per account and window; over 0 and under 1.
        shape: as of ``log10_rates``.
        burst: as of ``log10_rates``.

    Returns:
        by law; ``high`` is the threshold that still holds if the rate by picture is at its upper end.

    Raises:
        ArgumentError: a value is outside the above, or no threshold to 1,000,000 does it.
    """
    _check(fpir, pictures)
    what = f"threshold for {wanted:g} at {pictures:,} pictures"
    return _by_law(fpir, pictures, lambda law: float(law.threshold_for(wanted)), what, shape, burst)


def mixed_log10_rate(fpir: Mapping[str, Estimate], pictures: Mapping[str, int], threshold: int) -> Estimate:
    """Log10 of the chance that an account with pictures of several strata reaches the threshold: Poisson-binomial.

    The sum is of positive terms only, and added as logarithms, so that it means something however small it is. All
    rates are put at their upper ends, and at their lower, together: wider than the level asks, never narrower.
    Source: the Poisson-binomial law, after Wang 1993, Statistica Sinica 3:295.

    Args:
        fpir: rate by picture of each stratum, all at one level.
        pictures: of each stratum that the account sends in one window; 0 or more.
        threshold: distinct entries matched; 0 to 10,000.

    Raises:
        ArgumentError: strata differ, levels differ, or a value is outside the above.
    """
    if set(fpir) != set(pictures) or not fpir or len({part.level for part in fpir.values()}) > 1:
        raise ArgumentError("rates and pictures are of different strata, of none, or rates of different levels")
    for name, number in pictures.items():
        _check(fpir[name], max(number, 1))
        if number < 0:
            raise ArgumentError(f"stratum {name}: {number} pictures")
    numbers = list(pictures.values())
    ends = [
        poisson_binomial([getattr(fpir[name], end) for name in pictures], numbers, threshold) / math.log(10)
        for end in ("estimate", "low", "high")
    ]
    note = f"log10 of the chance to reach {threshold:,}: " + ", ".join(f"{n:,} {name}" for name, n in pictures.items())
    some = next(iter(fpir.values()))
    return Estimate(ends[0], ends[1], ends[2], some.level, min(part.n for part in fpir.values()), note)


def poisson_binomial(rates: Sequence[float], pictures: Sequence[int], threshold: int) -> float:
    """Natural logarithm of the chance of at least so many successes of trials with several rates.

    Source: as of ``mixed_log10_rate``.

    Args:
        rates: chance of each group's trials; 0 to 1.
        pictures: trials of each group; 0 or more.
        threshold: successes; 0 to 10,000.

    Raises:
        ArgumentError: a value is outside the above, or the two differ in length.
    """
    if not 0 <= threshold <= MOST_MIXED:
        raise ArgumentError(f"a threshold of {threshold:,} is not 0 to {MOST_MIXED:,}")
    if len(rates) != len(pictures) or any(not 0 <= rate <= 1 for rate in rates) or any(n < 0 for n in pictures):
        raise ArgumentError("each group has a rate of 0 to 1 and 0 trials or more")
    if threshold == 0:
        return 0.0
    exactly = np.full(threshold, -np.inf)
    exactly[0] = 0.0
    reached = -math.inf
    for rate, trials in zip(rates, pictures, strict=True):
        tail = _log_tails(rate, trials, threshold)
        reached = float(np.logaddexp(reached, np.logaddexp.reduce(exactly + tail[::-1])))
        exactly = _joined(exactly, _log_pmf(rate, trials, threshold))
    return min(0.0, reached)


def ppv(prevalences: ArrayLike, fpir: Estimate, recall: Estimate) -> dict[float, Estimate]:
    """Positive predictive value: what share of flagged pictures is what was looked for.

    By Bayes' rule the odds are those of the prevalence times recall / FPIR (as in Mercaldo, Lau and Zhou 2007,
    Statistics in Medicine 26:2170). The interval of the ratio joins those of the two rates on the log scale (Zou and
    Donner 2008, Statistics in Medicine 27:1693); the prevalence is taken as known. With no false match counted the
    estimate is 1 and the lower end stands on both rates' worse ends.

    Args:
        prevalences: share of pictures that are looked for; shape ``(n,)``, each over 0 and under 1.
        fpir: rate by innocent picture.
        recall: rate by picture looked for; its estimate is over 0. At the level of ``fpir``, of other pictures.

    Returns:
        by prevalence; ``n`` is of the smaller of the two samples.

    Raises:
        ArgumentError: a value is outside the above.
    """
    shares: NDArray[np.float64] = np.asarray(prevalences, float)
    _check(fpir, 1)
    _check(recall, 1)
    if shares.ndim != 1 or not ((shares > 0) & (shares < 1)).all():
        raise ArgumentError("a prevalence is over 0 and under 1")
    if recall.estimate == 0 or recall.level != fpir.level:
        raise ArgumentError("no recall, or levels that differ: there is no predictive value")
    weakest = _log(recall.low) - _log(fpir.high)
    if fpir.estimate == 0:
        ratio, low, high = math.inf, weakest, math.inf
    else:
        ratio = math.log(recall.estimate) - math.log(fpir.estimate)
        low = ratio - math.hypot(math.log(recall.estimate) - _log(recall.low), math.log(fpir.high / fpir.estimate))
        high = ratio + math.hypot(math.log(recall.high / recall.estimate), math.log(fpir.estimate) - _log(fpir.low))
    found = {}
    for share in shares.tolist():
        odds = math.log(share) - math.log1p(-share)
        ends = [float(special.expit(odds + part)) for part in (ratio, low, high)]
        note = f"prevalence {share:g}, known; recall: {recall.note}; false: {fpir.note}"
        found[share] = Estimate(ends[0], ends[1], ends[2], fpir.level, min(fpir.n, recall.n), note)
    return found


def _by_law(
    fpir: Estimate, pictures: int, figure: Callable[[FalseMatches], float], what: str, shape: float, burst: int
) -> dict[str, Estimate]:
    ends = [
        laws_of(mean if mean >= NEGLIGIBLE else 0.0, shape=shape, burst=burst, pictures=pictures)
        for mean in (rate * pictures for rate in (fpir.estimate, fpir.low, fpir.high))
    ]
    found = {}
    for name in ends[0]:
        estimate, low, high = (figure(laws[name]) for laws in ends)
        found[name] = Estimate(estimate, low, high, fpir.level, fpir.n, f"{what}, {name}; rate: {fpir.note}")
    return found


def _check(rate: Estimate, pictures: int) -> None:
    if not (rate.low >= 0 and rate.high <= 1 and pictures >= 1):
        raise ArgumentError(f"a rate of {rate.low} to {rate.high} is not 0 to 1, or {pictures} pictures are under 1")


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _log_pmf(rate: float, trials: int, size: int) -> NDArray[np.float64]:
    """Logarithms of a binomial law's chances of 0 to ``size - 1``."""
    counts = np.arange(size, dtype=float)
    inside = np.minimum(counts, trials)
    ways = special.gammaln(trials + 1) - special.gammaln(inside + 1) - special.gammaln(trials - inside + 1)
    found: NDArray[np.float64] = ways + special.xlogy(inside, rate) + special.xlog1py(trials - inside, -rate)
    return np.where(counts <= trials, found, -np.inf)


def _log_tails(rate: float, trials: int, threshold: int) -> NDArray[np.float64]:
    """Logarithms of a binomial law's chances of at least 1, 2, ... ``threshold``."""
    found = np.full(threshold, -np.inf)
    top = min(threshold, trials)
    if rate > 0 and top:
        beyond = FalseMatches(max(trials * rate, NEGLIGIBLE), pictures=trials).log_rate(top)
        each = np.append(_log_pmf(rate, trials, top)[1:], beyond)
        found[:top] = np.minimum(0.0, np.logaddexp.accumulate(each[::-1])[::-1])
    return found


def _joined(one: NDArray[np.float64], two: NDArray[np.float64]) -> NDArray[np.float64]:
    """Law of a sum, of two laws on the same range, as logarithms; what falls beyond is left out."""
    found = np.full(len(one), -np.inf)
    for at in np.flatnonzero(two > -np.inf):
        found[at:] = np.logaddexp(found[at:], one[: len(one) - at] + two[at])
    return found

"""How often an innocent account reaches a threshold of false matches in one window.

Rules: pure, no input or output; a rate is the natural logarithm of a probability, so that it means something far below
1e-308; every sum is of positive terms, so that nothing cancels; what isn't known is not guessed: each assumption is a
law of its own, and ``strictest`` says which one asks most.

The mean of all laws is the same, FMR × pictures; they differ in how the false matches fall on accounts:

    independent      each picture by itself: Poisson, or binomial for an exact number of pictures
    accounts_differ  the mean varies by account as a gamma law: negative binomial
    bursts_fixed     false matches come in bursts of equal size: compound Poisson
    bursts_vary      the same, the size geometric: Pólya-Aeppli law
    both_fixed       accounts differ and bursts are of equal size
    both_vary        accounts differ and the size of bursts is geometric

Vouchers of one account for the same entry count once, so a burst is of distinct entries.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scanner.errors import ArgumentError

LARGEST_THRESHOLD = 1_000_000
LARGEST_MEAN = 1e5

Floats = NDArray[np.float64]
LogPmf = Callable[[Floats], Floats]
"""Natural logarithms of the probabilities of whole numbers; shape ``(n,)`` to ``(n,)``."""


@dataclass(frozen=True)
class FalseMatches:
    """How many distinct entries the pictures of one innocent account falsely match in one window.

    Bursts arrive at the rate ``mean / burst``; if accounts differ, that rate is gamma-distributed over them
    (Greenwood and Yule 1920, JRSS 83:255). Sizes of bursts are independent of it and of each other.

    Args:
        mean: false matches per account and window, on average; 0, or 1e-300 to 1e5.
        shape: of the gamma law, 0.001 to 1e9: the rate's squared coefficient of variation is ``1 / shape``. Infinite:
            accounts are alike.
        burst: false matches in one burst, on average; 1 to 1,000,000.
        geometric: sizes of bursts are geometric on 1, 2, 3, ...; otherwise all are equal.
        pictures: every account sends exactly so many, so the number is binomial; only if accounts are alike and there
            are no bursts. None: their number is Poisson, or nearly so, and ``mean`` is all that counts.

    Raises:
        ArgumentError: a value is outside the above, or ``mean / shape`` is over 1e5.
    """

    mean: float
    shape: float = math.inf
    burst: int = 1
    geometric: bool = False
    pictures: int | None = None

    def __post_init__(self) -> None:
        if not (self.mean == 0 or 1e-300 <= self.mean <= LARGEST_MEAN):
            raise ArgumentError(
                f"a mean of {self.mean:g} false matches per account and window is not 0 or 1e-300 to {LARGEST_MEAN:g}"
            )
        if not (1e-3 <= self.shape <= 1e9 or self.shape == math.inf):
            raise ArgumentError(
                f"a shape of {self.shape:g} is not 0.001 to 1e9, or infinite for accounts that are alike"
            )
        if self.mean / self.shape > 1e5:
            raise ArgumentError(
                f"accounts of shape {self.shape:g} vary too much at a mean of {self.mean:g}: mean / shape is over 1e5"
            )
        if not 1 <= self.burst <= LARGEST_THRESHOLD:
            raise ArgumentError(f"a burst of {self.burst:,} is not 1 to {LARGEST_THRESHOLD:,} false matches")
        if self.pictures is not None:
            if self.shape != math.inf or self.burst != 1:
                raise ArgumentError("an exact number of pictures goes with accounts that are alike and without bursts")
            if not self.mean <= self.pictures <= 2**53:
                raise ArgumentError(f"{self.pictures:,} pictures can't have {self.mean:g} false matches on average")

    def log_rate(self, threshold: int) -> float:
        """Find the chance that an innocent account has at least so many false matches.

        The relative error of the probability itself, ``exp`` of the result, is below 1e-9 for thresholds to 100,000,
        however small it is.

        Bursts of equal size b reach t when there are ``ceil(t / b)`` of them. For geometric sizes of mean b, n bursts
        hold t or more exactly if fewer than n of t - 1 independent trials of chance 1 / b end a burst, so
        ``P(X >= t) = sum over j of P(Binomial(t - 1, 1 / b) = j) P(bursts > j)``. This is the tail of the law that
        Panjer's recursion gives (1981, ASTIN Bulletin 12:22), and needs no sum over all that lies below t.

        Args:
            threshold: at least 0, at most 1,000,000.

        Returns:
            natural logarithm of the probability; 0 for a threshold of 0, ``-inf`` if it can't happen.

        Raises:
            ArgumentError: the threshold is outside the above.
        """
        if not 0 <= threshold <= LARGEST_THRESHOLD:
            raise ArgumentError(f"a threshold of {threshold:,} is not 0 to {LARGEST_THRESHOLD:,}")
        if threshold == 0:
            return 0.0
        if self.mean == 0:
            return -math.inf
        if self.geometric and self.burst > 1:
            return _log_tail_of_geometric(self._log_pmf(), self.burst, threshold)
        return _log_tail(self._log_pmf(), -(-threshold // self.burst))

    def threshold_for(self, wanted: float) -> int:
        """Find the smallest threshold that an innocent account reaches with at most a wanted chance.

        Args:
            wanted: chance per account and window; over 0 and under 1.

        Raises:
            ArgumentError: ``wanted`` is outside the above, or no threshold to 1,000,000 does it.
        """
        if not 0 < wanted < 1:
            raise ArgumentError(
                f"a wanted false rate of {wanted:g} is not over 0 and under 1: no threshold gives a rate of 0"
            )
        goal = math.log(wanted)
        low, high = 0, 1
        while self.log_rate(high) > goal:
            if high == LARGEST_THRESHOLD:
                raise ArgumentError(
                    f"no threshold to {LARGEST_THRESHOLD:,} gives a false rate of {wanted:g} at a mean of "
                    f"{self.mean:g} false matches: lower the FMR or the bursts"
                )
            low, high = high, min(2 * high, LARGEST_THRESHOLD)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.log_rate(middle) > goal else (low, middle)
        return high

    def _log_pmf(self) -> LogPmf:
        """Law of the number of bursts."""
        mean = self.mean / self.burst
        if self.pictures is not None:
            return partial(_binomial, trials=self.pictures, chance=self.mean / self.pictures)
        if self.shape == math.inf:
            return partial(_poisson, mean=mean)
        return partial(_negative_binomial, mean=mean, shape=self.shape)


def laws_of(mean: float, *, shape: float, burst: int, pictures: int | None = None) -> dict[str, FalseMatches]:
    """Give the six laws of the module's docstring, by name, the optimistic one first.

    Args:
        mean: as in ``FalseMatches``; so are the others, and the errors.
        shape: of the accounts that differ.
        burst: size of bursts, or its mean.
        pictures: every account sends exactly so many; changes the first law alone.
    """
    return {
        "independent": FalseMatches(mean, pictures=pictures),
        "accounts_differ": FalseMatches(mean, shape),
        "bursts_fixed": FalseMatches(mean, burst=burst),
        "bursts_vary": FalseMatches(mean, burst=burst, geometric=True),
        "both_fixed": FalseMatches(mean, shape, burst),
        "both_vary": FalseMatches(mean, shape, burst, geometric=True),
    }


def strictest(thresholds: Mapping[str, int]) -> str:
    """Name the law that asks for the highest threshold; of equal ones the last, which assumes least."""
    return max(reversed(list(thresholds)), key=lambda name: thresholds[name])


def upper_rate(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Bound a rate from above by what was counted (one-sided; Clopper and Pearson 1934, Biometrika 26:404).

    With 0 hits at 95 % this is ``1 - 0.05 ** (1 / trials)``, about 3 / trials: the rule of three (Hanley and
    Lippman-Hand 1983, JAMA 249:1743). It takes trials to be independent. Pairs that share pictures, or near copies of
    one picture, are not, and the bound is then too low: resample whole pictures instead.

    Args:
        hits: false matches counted; 0 to ``trials``.
        trials: innocent pictures looked at; 1 to 2 ** 53.
        confidence: chance that the bound holds; over 0 and under 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    if not (0 <= hits <= trials and 1 <= trials <= 2**53):
        raise ArgumentError(
            f"{hits:,} false matches of {trials:,} pictures can't be: it takes 0 <= hits <= N, 1 <= N <= 2**53"
        )
    if not 0 < confidence < 1:
        raise ArgumentError(f"a confidence of {confidence:g} is not over 0 and under 1")
    if hits == trials:
        return 1.0
    if hits == 0:
        return -math.expm1(math.log1p(-confidence) / trials)
    # Counts over 12 standard deviations below the hits add nothing. scipy's betaincinv is off by 5e-9 at 3 of 1e9.
    counts = np.arange(max(0, hits - 100 - 12 * math.isqrt(hits)), hits + 1, dtype=float)
    low, high = hits / trials, 1.0
    while low < (middle := math.sqrt(low * high)) < high:
        seldom = np.exp(_binomial(counts, trials=trials, chance=middle)).sum() < 1 - confidence
        low, high = (low, middle) if seldom else (middle, high)
    return high


def _log_tail(log_pmf: LogPmf, start: int) -> float:
    """Log P(N >= start): from what is below if that is not nearly 1, otherwise summed upwards."""
    below = float(np.exp(log_pmf(np.arange(start, dtype=float))).sum())
    if below <= 0.999:
        return math.log1p(-below)
    first = float(log_pmf(np.array([start], float))[0])
    if first == -math.inf:
        return first
    total, size = 0.0, 64
    while True:
        terms = np.exp(log_pmf(np.arange(start, start + size, dtype=float)) - first)
        total += float(terms.sum())
        before, last = map(float, terms[-2:])
        if last == 0 or (last < before and last * last / (before - last) <= 1e-14 * total):
            return first + math.log(total)
        start, size = start + size, min(2 * size, 1 << 18)


def _log_tail_of_geometric(log_pmf: LogPmf, burst: int, threshold: int) -> float:
    """Log P(sum of N geometric sizes >= threshold), for mean size ``burst``."""
    each = np.append(log_pmf(np.arange(1, threshold, dtype=float)), _log_tail(log_pmf, threshold))
    more_than = np.logaddexp.accumulate(each[::-1])[::-1]
    ended = _binomial(np.arange(threshold, dtype=float), trials=threshold - 1, chance=1 / burst)
    return float(np.logaddexp.reduce(more_than + ended))


# Loader, "Fast and accurate computation of binomial probabilities" (2000): a probability is Stirling's formula's error
# times exp(-deviance); the large terms that lgamma would have to cancel never appear.


def _poisson(x: Floats, *, mean: float) -> Floats:
    some = np.maximum(x, 1)
    found = -_stirling_error(some) - _deviance(some, mean) - 0.5 * np.log(2 * math.pi * some)
    return np.where(x == 0, -mean, found)


def _binomial(x: Floats, *, trials: int, chance: float) -> Floats:
    log_all = trials * math.log(chance) if chance else -math.inf
    log_none = trials * math.log1p(-chance) if chance < 1 else -math.inf
    found = np.where(x == 0, log_none if trials else 0.0, np.where(x == trials, log_all, -math.inf))
    inside = (x > 0) & (x < trials)
    if inside.any() and 0 < chance < 1:
        some = x[inside]
        rest = trials - some
        found[inside] = (
            _stirling_error(np.array([trials], float))
            - _stirling_error(some)
            - _stirling_error(rest)
            - _deviance(some, trials * chance)
            - _deviance(rest, trials * (1 - chance))
            + 0.5 * np.log(trials / (2 * math.pi * some * rest))
        )
    return found


def _negative_binomial(x: Floats, *, mean: float, shape: float) -> Floats:
    some = np.maximum(x, 1)
    trials = some + shape
    whole = np.array([shape])
    found = (
        _stirling_error(trials)
        - _stirling_error(some)
        - _stirling_error(whole)
        - _deviance(some, trials * (mean / (shape + mean)))
        - _deviance(whole, trials * (shape / (shape + mean)))
        + 0.5 * np.log(shape / (2 * math.pi * some * trials))
    )
    return np.where(x == 0, -shape * math.log1p(mean / shape), found)


def _stirling_error(n: Floats) -> Floats:
    """Log(n!) less Stirling's formula, for n > 0."""
    big = np.maximum(n, 16)
    square = big * big
    found: Floats = (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / big
    for at in np.flatnonzero(n < 16):
        small = float(n[at])
        found[at] = math.lgamma(small + 1) - (small + 0.5) * math.log(small) + small - 0.5 * math.log(2 * math.pi)
    return found


def _deviance(x: Floats, mean: Floats | float) -> Floats:
    """``x log(x / mean) + mean - x``, by its series where that cancels."""
    off: Floats = (x - mean) / (x + mean)
    near = np.abs(off) < 0.1
    square = np.where(near, off * off, 0.0)
    series = np.zeros_like(square)
    for odd in range(21, 1, -2):
        series = (series + 1 / odd) * square
    return np.where(near, off * (x - mean) + 2 * x * off * series, x * np.log(x / mean) + mean - x)

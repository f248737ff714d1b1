"""A figure with its interval, and the intervals of a rate of independent trials.

Rules: a unit is a cluster of pictures, never a pair; a rate of zero errors has an upper bound, never the value 0 alone;
what an interval leaves out stands in its note.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import special

from scanner.account_rates import upper_rate
from scanner.errors import ArgumentError


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval it is known to.

    Attributes:
        estimate: the figure itself.
        low, high: ends of the interval.
        level: chance that such an interval holds the truth.
        n: independent units behind it: clusters, not pairs.
        note: what was counted, by which method, and what the interval leaves out.
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int
    note: str

    def __post_init__(self) -> None:
        if not (self.low <= self.estimate <= self.high and 0 < self.level < 1 and self.n >= 0):
            raise ArgumentError(f"{self.low} to {self.high} at {self.level} is no interval of {self.estimate}")


@dataclass(frozen=True)
class Aim:
    """How far a count of errors is from what makes its rate trustworthy.

    Attributes:
        wanted: errors aimed at.
        hits, trials: errors counted so far, and independent trials.
        more: further trials after which ``wanted`` errors are to be expected; 0 if reached.
        at_least: with no error so far ``more`` is only a lower bound.
        note: the same in a sentence.
    """

    wanted: int
    hits: int
    trials: int
    more: int
    at_least: bool
    note: str


def clopper_pearson(hits: int, trials: int, level: float = 0.95) -> Estimate:
    """Give the exact interval of a rate: it holds the truth at least as often as it says.

    Source: Clopper and Pearson 1934, Biometrika 26:404.

    Args:
        hits: 0 to ``trials``.
        trials: independent ones; at least 1.
        level: over 0 and under 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    check_trials(hits, trials, level)
    low, high = exact_ends(hits, trials, level)
    return Estimate(hits / trials, low, high, level, trials, f"{hits:,} of {trials:,}; Clopper-Pearson")


def wilson(hits: int, trials: int, level: float = 0.95) -> Estimate:
    """Give the score interval of a rate: it holds the truth as often as it says, on average over rates.

    Source: Wilson 1927, JASA 22:209.

    Args:
        hits: 0 to ``trials``.
        trials: independent ones; at least 1.
        level: over 0 and under 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    check_trials(hits, trials, level)
    low, high = score_ends(hits / trials, trials, level)
    return Estimate(hits / trials, low, high, level, trials, f"{hits:,} of {trials:,}; Wilson")


def rule_of_three(trials: int, level: float = 0.95) -> Estimate:
    """Bound a rate after no error at all: about ``3 / trials`` at 95 %. One-sided.

    Source: Hanley and Lippman-Hand 1983, JAMA 249:1743; the exact bound that it rounds is taken.

    Args:
        trials: independent ones; at least 1.
        level: over 0 and under 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    check_trials(0, trials, level)
    high = upper_rate(0, trials, level)
    return Estimate(0.0, 0.0, high, level, trials, f"0 of {trials:,}; one-sided bound, rule of three")


def rule_of_thirty(hits: int, trials: int, wanted: int = 30) -> Aim:
    """Say how many more independent trials it takes until a rate rests on 30 errors.

    With 30 errors the true rate is within 30 % of what was counted, with a chance of 90 %.
    Source: Doddington, Przybocki, Martin and Reynolds 2000, Speech Communication 31:225.

    Args:
        hits: errors so far; 0 to ``trials``.
        trials: independent ones; at least 1.
        wanted: errors aimed at; at least 1.

    Raises:
        ArgumentError: a value is outside the above.
    """
    check_trials(hits, trials, 0.5)
    if wanted < 1:
        raise ArgumentError(f"an aim of {wanted} errors is below 1")
    if hits >= wanted:
        return Aim(wanted, hits, trials, 0, False, f"{hits:,} errors of {trials:,}: the aim of {wanted} is reached")
    rate = hits / trials if hits else upper_rate(0, trials)
    more = max(0, math.ceil(wanted / rate) - trials)
    about = "about" if hits else "at least"
    note = f"{hits:,} errors of {trials:,}: {about} {more:,} more queries until there are {wanted}"
    return Aim(wanted, hits, trials, more, hits == 0, note)


def check_trials(hits: float, trials: float, level: float) -> None:
    """Refuse what is no count of errors.

    Raises:
        ArgumentError: not ``0 <= hits <= trials``, under one trial, or a level that is not over 0 and under 1.
    """
    if not (0 <= hits <= trials and trials >= 1):
        raise ArgumentError(f"{hits} errors of {trials} trials can't be: it takes 0 <= errors <= trials, trials >= 1")
    if not 0 < level < 1:
        raise ArgumentError(f"a level of {level:g} is not over 0 and under 1")


def exact_ends(hits: float, trials: float, level: float) -> tuple[float, float]:
    """Ends of Clopper and Pearson's interval; counts need not be whole, as of an effective size."""
    check_trials(hits, trials, level)
    tail = (1 - level) / 2
    low = float(special.betaincinv(hits, trials - hits + 1, tail)) if hits > 0 else 0.0
    high = float(special.betaincinv(hits + 1, trials - hits, 1 - tail)) if hits < trials else 1.0
    return low, high


def score_ends(rate: float, trials: float, level: float) -> tuple[float, float]:
    """Ends of Wilson's interval; trials need not be whole."""
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    middle = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (rate * (1 - rate) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return min(rate, max(0.0, middle - half)), max(rate, min(1.0, middle + half))

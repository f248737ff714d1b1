"""Account-level rates against exact arithmetic, enumeration and simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scanner import account_rates
from scanner.account_rates import FalseMatches, laws_of, strictest, upper_rate
from scanner.errors import ArgumentError

DIGITS = 60


# Oracles. Each takes floats as the exact numbers they are.


def events_of(law: FalseMatches) -> Iterator[Decimal]:
    """Chances of 0, 1, 2, ... bursts, by their ratios; Poisson or negative binomial."""
    mean = Decimal(law.mean) / law.burst
    if law.shape == math.inf:
        chance, a, b = (-mean).exp(), Decimal(0), mean
    else:
        shape = Decimal(law.shape)
        a = mean / (shape + mean)
        chance, b = (shape * (shape / (shape + mean)).ln()).exp(), (shape - 1) * a
    for number in itertools.count(1):
        yield chance
        chance *= a + b / number


def log_tail_of(chances: Iterator[Decimal], start: int) -> float:
    """Sum chances of start, start + 1, ... until no digit changes any more."""
    total = Decimal(0)
    for number, chance in enumerate(chances):
        if number >= start:
            total += chance
            if number > start + 3 and chance < total * Decimal(10) ** -25:
                return float(total.ln())
    raise AssertionError


def panjer_log_tail(law: FalseMatches, threshold: int, digits: int = 700) -> float:
    """1 - P(X < t) by Panjer's recursion, with digits enough for what cancels."""
    with localcontext() as context:
        context.prec = digits
        mean, end = Decimal(law.mean) / law.burst, 1 / Decimal(law.burst)
        sizes = [Decimal(0)] + [end * (1 - end) ** (size - 1) for size in range(1, threshold)]
        if not law.geometric:
            sizes = [Decimal(int(size == law.burst)) for size in range(threshold)]
        if law.shape == math.inf:
            a, b, none = Decimal(0), mean, (-mean).exp()
        else:
            shape = Decimal(law.shape)
            a = mean / (shape + mean)
            b, none = (shape - 1) * a, (shape * (shape / (shape + mean)).ln()).exp()
        chances = [none]
        for s in range(1, threshold):
            chances.append(sum((a + b * j / s) * sizes[j] * chances[s - j] for j in range(1, s + 1) if sizes[j]))
        return float((1 - sum(chances)).ln())


def log_of(number: int) -> Decimal:
    """Logarithm of a whole number of any length."""
    spare = max(number.bit_length() - 250, 0)
    return Decimal(number >> spare).ln() + spare * Decimal(2).ln()


def same_probability(log_rate: float, expected: float, relative: float = 1e-9) -> bool:
    """Two logarithms are of probabilities that differ by no more than a relative error."""
    return abs(math.expm1(log_rate - expected)) <= relative


# Exact tails.


@pytest.mark.parametrize("mean", [1e-200, 1e-3, 0.577, 5.77, 60.0])
@pytest.mark.parametrize("shape", [0.05, 1.0, 10.0, 1e6, math.inf])
@pytest.mark.parametrize("threshold", [1, 2, 17, 80, 900])
def test_tails_are_exact_far_below_what_a_float_holds(mean, shape, threshold):
    """Poisson and negative binomial tails, to 1e-180000, are right to nine digits."""
    law = FalseMatches(mean, shape)
    with localcontext() as context:
        context.prec = DIGITS
        expected = log_tail_of(events_of(law), threshold)
    assert same_probability(law.log_rate(threshold), expected)


@pytest.mark.parametrize("threshold", [10_000, 100_000])
def test_tails_are_exact_at_large_thresholds(threshold):
    """The first terms, from whole factorials, and a geometric bound of the rest pin the tail."""
    mean, shape = 2.0**-10, 3
    factorial = math.factorial(threshold)
    with localcontext() as context:
        context.prec = DIGITS
        poisson = threshold * Decimal(mean).ln() - Decimal(mean) - log_of(factorial)
        poisson += (1 + Decimal(mean) / (threshold + 1)).ln()
        ways = (threshold + 1) * (threshold + 2) // 2
        more = Decimal(mean) / (shape + Decimal(mean))
        mixed = log_of(ways) + shape * (1 - more).ln() + threshold * more.ln()
        rest = float(1 / (1 - more * (threshold + shape) / (threshold + 1)))
    assert same_probability(FalseMatches(mean).log_rate(threshold), float(poisson))
    found = FalseMatches(mean, float(shape)).log_rate(threshold) - float(mixed)
    assert -1e-9 < found - math.log(rest) < 1e-9


@pytest.mark.parametrize("pictures", [1, 2, 7, 12])
@pytest.mark.parametrize("fmr", [Fraction(1, 1024), Fraction(1, 4), Fraction(7, 8)])
def test_exact_pictures_against_enumeration(pictures, fmr):
    """Every way in which some pictures match is looked at."""
    law = FalseMatches(float(fmr * pictures), pictures=pictures)
    for threshold in range(1, pictures + 1):
        ways = itertools.product((0, 1), repeat=pictures)
        chance = sum(fmr ** sum(way) * (1 - fmr) ** (pictures - sum(way)) for way in ways if sum(way) >= threshold)
        assert math.exp(law.log_rate(threshold)) == pytest.approx(float(chance), rel=1e-12)
    assert law.log_rate(pictures + 1) == -math.inf


@pytest.mark.parametrize(("pictures", "threshold"), [(1000, 4), (1000, 400), (100_000, 30), (10**6, 2000)])
def test_many_exact_pictures_against_whole_numbers(pictures, threshold):
    """The binomial tail from exact coefficients."""
    law = FalseMatches(pictures * 2.0**-20, pictures=pictures)
    with localcontext() as context:
        context.prec = DIGITS
        chance = Decimal(2) ** -20
        term = (log_of(math.comb(pictures, threshold)) + threshold * chance.ln()).exp()
        term *= ((pictures - threshold) * (1 - chance).ln()).exp()
        total = Decimal(0)
        for number in range(threshold, min(pictures, threshold + 300)):
            total += term
            term *= chance / (1 - chance) * (pictures - number) / (number + 1)
        expected = float(total.ln())
    assert same_probability(law.log_rate(threshold), expected)


@pytest.mark.parametrize("geometric", [False, True])
@pytest.mark.parametrize("shape", [0.5, 10.0, math.inf])
@pytest.mark.parametrize(("mean", "burst"), [(1e-3, 10), (0.1, 3), (5.77, 10), (20.0, 2)])
@pytest.mark.parametrize("threshold", [1, 2, 11, 60, 130])
def test_bursts_against_panjers_recursion(mean, burst, shape, geometric, threshold):
    """The sum over bursts that end is the tail of the compound law."""
    law = FalseMatches(mean, shape, burst, geometric)
    assert same_probability(law.log_rate(threshold), panjer_log_tail(law, threshold))


@pytest.mark.parametrize("shape", [0.5, math.inf])
def test_bursts_against_panjers_recursion_far_out(shape):
    """Bursts of 2 reach 300 with a chance below 1e-300, where 1 less a sum needs hundreds of digits."""
    law = FalseMatches(1e-6, shape, 2, geometric=True)
    found = FalseMatches(1e-6, shape, 2, geometric=True).log_rate(400)
    assert found < -150
    assert same_probability(found, panjer_log_tail(law, 400))
    steep = FalseMatches(1e-4, shape, 2)
    assert steep.log_rate(300) < -math.log(10) * 300
    assert same_probability(steep.log_rate(300), panjer_log_tail(steep, 300, 1500))


@pytest.mark.parametrize("burst", [2, 3])
@pytest.mark.parametrize("bursts", [1, 2, 3])
def test_geometric_bursts_against_enumeration(bursts, burst):
    """A known number of bursts: every list of sizes below the threshold is looked at."""
    end = Fraction(1, burst)
    for threshold in range(1, 9):
        below = Fraction(0)
        for sizes in itertools.product(range(1, threshold), repeat=bursts):
            if sum(sizes) < threshold:
                below += math.prod(end * (1 - end) ** (size - 1) for size in sizes)
        found = account_rates._log_tail_of_geometric(
            lambda x: np.where(x == bursts, 0.0, -math.inf), burst=burst, threshold=threshold
        )
        assert math.exp(found) == pytest.approx(float(1 - below), rel=1e-12)


@pytest.mark.parametrize(("mean", "threshold"), [(0.5, 3), (5.77, 30), (1000.0, 1200), (1e5, 101_000), (1e5, 99_000)])
def test_large_means_against_scipy(mean, threshold):
    """Where scipy's tails are good, ours are the same."""
    from scipy import stats

    assert math.exp(FalseMatches(mean).log_rate(threshold)) == pytest.approx(
        stats.poisson.sf(threshold - 1, mean), rel=1e-9
    )
    for shape in (1.0, 2.5, 40.0):
        expected = stats.nbinom.sf(threshold - 1, shape, shape / (shape + mean))
        assert math.exp(FalseMatches(mean, shape).log_rate(threshold)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("independent", 10),
        ("accounts_differ", 11),
        ("bursts_fixed", 31),
        ("bursts_vary", 31),
        ("both_fixed", 21),
        ("both_vary", 45),
    ],
)
def test_simulated_accounts(name, threshold):
    """400,000 simulated accounts reach the threshold as often as computed, within five standard errors."""
    random, accounts = np.random.default_rng(20), 400_000
    law = laws_of(5.77, shape=10, burst=10)[name]
    rates = law.mean / law.burst
    if law.shape != math.inf:
        rates = random.gamma(law.shape, rates / law.shape, accounts)
    bursts = random.poisson(rates, accounts)
    matches = bursts * law.burst
    if law.geometric:
        some = bursts > 0
        matches[some] = bursts[some] + random.negative_binomial(bursts[some], 1 / law.burst)
    expected = math.exp(law.log_rate(threshold))
    error = math.sqrt(expected * (1 - expected) / accounts)
    assert abs(np.mean(matches >= threshold) - expected) < 5 * error
    assert expected > 0.002
    assert np.mean(matches) == pytest.approx(5.77, rel=0.02)


def test_figures_that_were_measured():
    """At a mean of 5.77 and a threshold of 30 the assumption moves the rate by ten orders of magnitude."""
    laws = laws_of(5.77, shape=10, burst=10)
    rates = {name: math.exp(law.log_rate(30)) for name, law in laws.items()}
    assert rates["independent"] == pytest.approx(1e-12, rel=0.03)
    assert rates["accounts_differ"] == pytest.approx(3.4e-7, rel=0.03)
    assert rates["bursts_fixed"] == pytest.approx(2.1e-2, rel=0.03)


# How rates and thresholds move.

means = st.floats(1e-9, 50)
shapes = st.one_of(st.floats(0.05, 100), st.just(math.inf))
laws = st.builds(FalseMatches, means, shapes, st.integers(1, 20), st.booleans())


@given(law=laws, threshold=st.integers(0, 300))
@settings(deadline=None)
def test_a_higher_threshold_is_reached_less_often(law, threshold):
    """Rates are probabilities and fall with the threshold."""
    assert 0 >= law.log_rate(threshold) >= law.log_rate(threshold + 1) - 1e-9


@given(law=laws, factor=st.floats(1, 10), threshold=st.integers(1, 200))
@settings(deadline=None)
def test_more_pictures_or_a_higher_fmr_raise_the_rate(law, factor, threshold):
    """Rates rise with the mean."""
    more = FalseMatches(law.mean * factor, law.shape, law.burst, law.geometric)
    assert more.log_rate(threshold) >= law.log_rate(threshold) - 1e-9


@given(law=laws, wanted=st.floats(1e-30, 0.5))
@example(FalseMatches(1e-9), 0.5)
@settings(deadline=None, max_examples=60)
def test_the_threshold_is_the_smallest_that_does(law, wanted):
    """It keeps to what is wanted and one less does not."""
    found = law.threshold_for(wanted)
    assert law.log_rate(found) <= math.log(wanted) < law.log_rate(found - 1)


@given(mean=st.floats(1e-6, 5), shape=st.floats(0.1, 50), burst=st.integers(2, 20))
@settings(deadline=None, max_examples=40)
def test_independent_pictures_are_the_optimistic_figure(mean, shape, burst):
    """No other assumption asks for less, once what is wanted is rare."""
    needed = {name: law.threshold_for(1e-9) for name, law in laws_of(mean, shape=shape, burst=burst).items()}
    assert min(needed.values()) == needed["independent"]
    assert needed["both_vary"] >= needed["bursts_vary"] >= needed["independent"]


@given(pictures=st.integers(1, 400), fmr=st.floats(1e-6, 1), above=st.integers(1, 50))
def test_poisson_is_on_the_safe_side_of_binomial(pictures, fmr, above):
    """Over the mean (Anderson and Samuels 1967) an exact number of pictures gives less."""
    mean = pictures * fmr
    threshold = math.ceil(mean) + above
    assert FalseMatches(mean, pictures=pictures).log_rate(threshold) <= FalseMatches(mean).log_rate(threshold) + 1e-9


@pytest.mark.parametrize("shape", [0.5, 10.0, math.inf])
@pytest.mark.parametrize("mean", [1e-3, 0.3, 3.0])
def test_no_burst_over_a_size_reaches_further_than_all_of_it(mean, shape):
    """At whole multiples of the largest size and below 1e-4, smaller bursts of the same mean reach less far."""
    for parts in itertools.product(range(4), repeat=3):
        if sum(parts) != 3:
            continue
        sizes = [part / 3 for part in parts]
        rate = mean / sum(size * chance for size, chance in enumerate(sizes, 1))
        a, b, none = 0.0, rate, math.exp(-rate)
        if shape != math.inf:
            a = rate / (shape + rate)
            b, none = (shape - 1) * a, (shape / (shape + rate)) ** shape
        chances = [none]
        for s in range(1, 200):
            chances.append(sum((a + b * j / s) * sizes[j - 1] * chances[s - j] for j in range(1, min(s, 3) + 1)))
        for threshold in range(3, 60, 3):
            fixed = math.exp(FalseMatches(mean, shape, 3).log_rate(threshold))
            if 1e-20 < fixed < 1e-4:
                assert sum(chances[threshold:]) <= fixed * (1 + 1e-6)


def test_bursts_of_one_are_no_bursts():
    """A burst of 1, geometric or not, is one false match."""
    for shape in (0.5, math.inf):
        assert FalseMatches(0.7, shape, 1, geometric=True).log_rate(9) == FalseMatches(0.7, shape).log_rate(9)


def test_alike_accounts_are_a_limit():
    """With a growing shape the mixed law becomes the plain one."""
    for burst, geometric in ((1, False), (4, False), (4, True)):
        mixed, plain = (FalseMatches(0.7, shape, burst, geometric) for shape in (1e9, math.inf))
        assert same_probability(mixed.log_rate(25), plain.log_rate(25), 1e-5)


# Edges.


def test_no_pictures_no_false_matches():
    """A mean of 0 gives a rate of 0, and the smallest threshold does."""
    for pictures in (None, 0, 10):
        for law in laws_of(0.0, shape=10, burst=10, pictures=pictures).values():
            assert law.log_rate(0) == 0
            assert law.log_rate(1) == -math.inf
            assert law.threshold_for(1e-300) == 1


def test_an_fmr_of_one():
    """All pictures match: no threshold below their number is safe, the next one is."""
    law = FalseMatches(10.0, pictures=10)
    assert law.log_rate(10) == 0
    assert law.log_rate(11) == -math.inf
    assert law.threshold_for(0.5) == 11


@pytest.mark.parametrize("wanted", [0, 1, -1e-12, 1.5, math.nan])
def test_what_no_threshold_can_give_is_refused(wanted):
    """0 and 1 are no wanted rates."""
    with pytest.raises(ArgumentError, match=r"wanted false rate of .* is not over 0 and under 1"):
        FalseMatches(1e-3).threshold_for(wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"mean": -1.0}, "a mean of -1"),
        ({"mean": math.nan}, "a mean of nan"),
        ({"mean": 1e-301}, "a mean of 1e-301"),
        ({"mean": 2e5}, "a mean of 200000"),
        ({"mean": 1.0, "shape": 0.0}, "a shape of 0"),
        ({"mean": 1.0, "shape": math.nan}, "a shape of nan"),
        ({"mean": 1e4, "shape": 1e-2}, "mean / shape is over 1e5"),
        ({"mean": 1.0, "burst": 0}, "a burst of 0"),
        ({"mean": 2.0, "pictures": 1}, "1 pictures can't have 2 false matches"),
        ({"mean": 2.0, "pictures": 5, "shape": 1.0}, "accounts that are alike"),
        ({"mean": 2.0, "pictures": 5, "burst": 2}, "without bursts"),
    ],
)
def test_laws_that_are_none_are_refused(arguments, words):
    """Values outside the docstring are named."""
    with pytest.raises(ArgumentError, match=words):
        FalseMatches(**arguments)


@pytest.mark.parametrize("threshold", [-1, 1_000_001])
def test_thresholds_out_of_range_are_refused(threshold):
    """They run from 0 to a million."""
    with pytest.raises(ArgumentError, match="threshold"):
        FalseMatches(1.0).log_rate(threshold)


def test_a_threshold_nobody_can_use_is_refused():
    """Bursts of 1000 on a mean of 1000 stay above what is wanted up to a million."""
    with pytest.raises(ArgumentError, match="no threshold to 1,000,000"):
        FalseMatches(1000.0, 0.01, 1000).threshold_for(1e-12)


def test_the_strictest_of_equals_assumes_least():
    """Of equal thresholds the later law is named."""
    assert strictest({"a": 3, "b": 9, "c": 9, "d": 1}) == "c"


# The upper bound of a counted rate.


def test_the_rule_of_three():
    """No hit of N bounds the rate by about 3 / N."""
    assert upper_rate(0, 10**9) == pytest.approx(2.9957e-9, rel=1e-4)
    assert upper_rate(0, 1) == pytest.approx(0.95)
    assert upper_rate(7, 7) == 1


@pytest.mark.parametrize(("hits", "trials"), [(0, 5), (1, 5), (4, 5), (0, 10**9), (3, 10**9), (40, 10**6), (9, 10**15)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_at_the_bound_so_few_hits_are_as_rare_as_said(hits, trials, confidence):
    """Clopper and Pearson's definition: P(at most the hits | bound) = 1 - confidence."""
    bound = upper_rate(hits, trials, confidence)
    with localcontext() as context:
        context.prec = DIGITS
        chance = Decimal(bound)
        found = sum(math.comb(trials, x) * chance**x * (1 - chance) ** (trials - x) for x in range(hits + 1))
    assert float(found) == pytest.approx(1 - confidence, rel=1e-9)


@pytest.mark.parametrize(
    ("hits", "trials", "confidence"),
    [(-1, 5, 0.9), (6, 5, 0.9), (0, 0, 0.9), (0, 2**54, 0.9), (0, 5, 0.0), (0, 5, 1.0)],
)
def test_counts_that_are_none_are_refused(hits, trials, confidence):
    """More hits than pictures, no pictures, and a confidence of 0 or 1."""
    with pytest.raises(ArgumentError):
        upper_rate(hits, trials, confidence)

"""Rates of accounts and predictive values, against enumeration, exact sums and simulation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.accuracy.accounts import log10_rates, mixed_log10_rate, poisson_binomial, ppv, thresholds
from benchmarks.accuracy.intervals import Estimate, clopper_pearson, wilson
from scanner.account_rates import FalseMatches, laws_of
from scanner.errors import ArgumentError

RUNS = 3000  # the standard error of a coverage of 95 % is 0.4 %: 93 to 97 % is 5 of them to each side
RATE = Estimate(1e-4, 5e-5, 2e-4, 0.95, 1000, "told")


def exact_tail(rates, pictures, threshold):
    """P(X >= t) of the Poisson-binomial law, in fractions."""
    law = [Fraction(1)]
    for rate, number in zip(rates, pictures, strict=True):
        for _ in range(number):
            chance = Fraction(rate)
            stay, rise = [*law, Fraction(0)], [Fraction(0), *law]
            law = [a * (1 - chance) + b * chance for a, b in zip(stay, rise, strict=True)]
    return sum(law[threshold:], Fraction(0))


groups = st.lists(st.tuples(st.sampled_from([0.0, 1e-9, 0.003, 0.4, 1.0]), st.integers(0, 6)), min_size=1, max_size=4)


@given(groups, st.integers(0, 14))
def test_poisson_binomial_is_the_exact_sum(given_groups, threshold):
    """The tail of trials with several rates is that of exact fractions, however small."""
    rates, pictures = zip(*given_groups, strict=True)
    exact = exact_tail(rates, pictures, threshold)
    found = poisson_binomial(rates, pictures, threshold)
    if exact == 0:
        assert found == -math.inf
    else:
        assert found == pytest.approx(math.log(exact.numerator) - math.log(exact.denominator), rel=1e-9, abs=1e-9)


def test_poisson_binomial_of_one_rate_is_binomial():
    """With equal rates it is the binomial law, far below what a float can hold."""
    wanted = FalseMatches(0.01, pictures=1000).log_rate(300)
    assert wanted < -1000
    assert poisson_binomial([1e-5, 1e-5], [300, 700], 300) == pytest.approx(wanted, rel=1e-9)


def test_poisson_binomial_lies_below_the_binomial_of_its_mean():
    """Rates that differ among pictures make a threshold above the mean harder to reach than equal ones (Hoeffding)."""
    mixed = poisson_binomial([1e-3, 1e-6], [100, 900], 5)
    assert mixed < FalseMatches(100e-3 + 900e-6, pictures=1000).log_rate(5)


def test_each_law_is_carried_over_end_by_end():
    """Estimate and ends are those of the laws at the rate's own, as log10."""
    found = log10_rates(RATE, 1000, 10, shape=0.5, burst=3)
    assert list(found) == list(laws_of(0.1, shape=0.5, burst=3))
    for name, rate in found.items():
        for end, mean in (("estimate", 0.1), ("low", 0.05), ("high", 0.2)):
            law = laws_of(mean, shape=0.5, burst=3, pictures=1000)[name]
            assert getattr(rate, end) == pytest.approx(law.log_rate(10) / math.log(10))
        assert (rate.level, rate.n) == (0.95, 1000)


def test_threshold_for_one_account_in_a_trillion():
    """The threshold meets the wanted chance and the next lower one does not, at each end of the rate."""
    found = thresholds(RATE, 1000, 1e-12, shape=0.5, burst=3)
    for name, threshold in found.items():
        for end, mean in (("estimate", 0.1), ("high", 0.2)):
            law = laws_of(mean, shape=0.5, burst=3, pictures=1000)[name]
            at = int(getattr(threshold, end))
            assert law.log_rate(at) <= math.log(1e-12) < law.log_rate(at - 1)
    assert found["independent"].high < found["both_vary"].high


def test_no_hit_leaves_the_upper_end():
    """A rate of 0 can reach nothing, but its upper end can."""
    none = clopper_pearson(0, 10_000)
    found = log10_rates(none, 1000, 3, shape=1.0, burst=2)["both_vary"]
    assert found.estimate == found.low == -math.inf
    assert -3 < found.high < 0
    assert log10_rates(none, 1000, 0, shape=1.0, burst=2)["independent"].low == 0


def test_rates_of_accounts_cover():
    """An account's interval holds the truth in 93 to 97 % of 3,000 samples; with pictures in tens, in under 70 %."""
    rng = np.random.default_rng(101)
    truth = log10_rates(Estimate(0.01, 0.01, 0.01, 0.95, 1, ""), 100, 6, shape=1.0, burst=2)["both_vary"].estimate
    held = naive = 0
    known: dict[tuple[int, int], bool] = {}

    def holds(hits, trials):
        if (hits, trials) not in known:
            found = log10_rates(clopper_pearson(hits, trials), 100, 6, shape=1.0, burst=2)["both_vary"]
            known[hits, trials] = found.low <= truth <= found.high
        return known[hits, trials]

    for hits in rng.binomial(20_000, 0.01, RUNS).tolist():
        held += holds(hits, 20_000)
    for hits in rng.binomial(2000, 0.01, RUNS).tolist():
        naive += holds(10 * hits, 20_000)
    assert 0.93 <= held / RUNS <= 0.97
    assert naive / RUNS < 0.7


def test_account_of_several_strata():
    """Each end takes all strata at that end, and a stratum without pictures changes nothing."""
    fpir = {"photo": RATE, "art": Estimate(1e-2, 5e-3, 2e-2, 0.95, 400, "")}
    found = mixed_log10_rate(fpir, {"photo": 900, "art": 100}, 4)
    for end in ("estimate", "low", "high"):
        rates = [getattr(fpir[name], end) for name in ("photo", "art")]
        assert getattr(found, end) == poisson_binomial(rates, [900, 100], 4) / math.log(10)
    assert found.n == 400
    alone = mixed_log10_rate(fpir, {"photo": 900, "art": 0}, 4)
    one = mixed_log10_rate({"photo": RATE}, {"photo": 900}, 4)
    assert (alone.estimate, alone.high) == (one.estimate, one.high)


# Predictive values.


def test_ppv_is_bayes_rule():
    """At each prevalence the estimate is Bayes' rule, and rises with the prevalence."""
    recall = Estimate(0.8, 0.7, 0.9, 0.95, 500, "")
    found = ppv([1e-6, 0.01, 0.5], RATE, recall)
    for share, value in found.items():
        assert value.estimate == pytest.approx(share * 0.8 / (share * 0.8 + (1 - share) * 1e-4))
        assert value.low < value.estimate < value.high
        assert value.n == 500
    assert found[1e-6].high < found[0.01].low


def test_ppv_covers():
    """Its 95 % interval holds the truth in 93 to 97 % of 3,000 samples; with pictures in tens, in under 70 %."""
    rng = np.random.default_rng(102)
    truth = 1e-3 * 0.7 / (1e-3 * 0.7 + 0.999 * 0.01)
    held = naive = 0
    for _ in range(RUNS):
        wrong, right = int(rng.binomial(5000, 0.01)), int(rng.binomial(100, 0.7))
        found = ppv([1e-3], wilson(wrong, 5000), wilson(right, 100))[1e-3]
        held += found.low <= truth <= found.high
        lumps = 10 * int(rng.binomial(500, 0.01))
        if lumps:
            plain = ppv([1e-3], clopper_pearson(lumps, 5000), clopper_pearson(right, 100))[1e-3]
            naive += plain.low <= truth <= plain.high
    assert 0.93 <= held / RUNS <= 0.97
    assert naive / RUNS < 0.7


def test_ppv_with_no_false_match_stands_on_the_worse_ends():
    """With none counted the estimate is 1, and the lower end takes both rates where they are worst."""
    none, recall = clopper_pearson(0, 1000), Estimate(0.8, 0.7, 0.9, 0.95, 500, "")
    found = ppv([0.01], none, recall)[0.01]
    assert (found.estimate, found.high) == (1, 1)
    assert found.low == pytest.approx(0.01 * 0.7 / (0.01 * 0.7 + 0.99 * none.high))
    weak = ppv([0.01], RATE, Estimate(0.1, 0.0, 0.4, 0.95, 5, ""))[0.01]
    assert weak.low == 0
    low = ppv([0.01], Estimate(1e-4, 0.0, 2e-4, 0.95, 5, ""), recall)[0.01]
    assert low.high == 1


SURE = Estimate(0.5, 0.4, 1.5, 0.95, 1, "")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: log10_rates(SURE, 10, 1, shape=1.0, burst=1), "not 0 to 1"),
        (lambda: thresholds(RATE, 0, shape=1.0, burst=1), "under 1"),
        (lambda: poisson_binomial([0.1], [1], 10_001), "not 0 to 10,000"),
        (lambda: poisson_binomial([0.1], [1, 2], 1), "each group"),
        (lambda: poisson_binomial([1.1], [1], 1), "each group"),
        (lambda: mixed_log10_rate({"a": RATE}, {"b": 1}, 1), "different strata"),
        (lambda: mixed_log10_rate({"a": RATE}, {"a": -1}, 1), "-1 pictures"),
        (lambda: ppv([0.0], RATE, RATE), "over 0 and under 1"),
        (lambda: ppv([0.1], RATE, Estimate(0.0, 0.0, 0.1, 0.95, 9, "")), "no recall"),
        (lambda: ppv([0.1], RATE, Estimate(0.5, 0.4, 0.6, 0.9, 9, "")), "levels that differ"),
    ],
)
def test_what_is_no_rate_is_refused(make, reason):
    """Each wrong input is named instead of computed."""
    with pytest.raises(ArgumentError, match=reason):
        make()

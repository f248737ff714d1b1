"""Rates and their intervals against published values, enumeration, slow sums and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.accuracy.intervals import (
    Estimate,
    clopper_pearson,
    rule_of_thirty,
    rule_of_three,
    wilson,
)
from benchmarks.accuracy.rates import (
    degrees_of_freedom,
    false_match_rates,
    fnir,
    fnir_by_edit,
    fpir,
    nested_nearest,
    nested_sizes,
)
from scanner.errors import ArgumentError

RUNS = 3000  # the standard error of a coverage of 95 % is 0.4 %: 93 to 97 % is 5 of them to each side


@given(st.integers(1, 400), st.data())
def test_exact_interval_is_where_the_tails_hold_what_is_left(trials, data):
    """At each end of Clopper and Pearson's interval the count or a farther one has a chance of 2.5 %."""
    hits = data.draw(st.integers(0, trials))
    found = clopper_pearson(hits, trials)
    if hits:
        assert stats.binom.sf(hits - 1, trials, found.low) == pytest.approx(0.025, rel=1e-6)
    if hits < trials:
        assert stats.binom.cdf(hits, trials, found.high) == pytest.approx(0.025, rel=1e-6)
    assert 0 <= found.low <= hits / trials <= found.high <= 1


def enumerated(interval, trials, rate):
    """How often the interval of a binomial count holds its rate, exactly."""
    counts = np.arange(trials + 1)
    held = [(found := interval(int(count), trials)).low <= rate <= found.high for count in counts]
    return float(stats.binom.pmf(counts, trials, rate) @ held)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1, 0.3, 0.5])
def test_intervals_of_a_count_cover_as_they_say(rate):
    """Over all counts of 400 the exact interval never holds less than 95 %, and Wilson's holds 93 to 97 %."""
    assert 0.95 <= enumerated(clopper_pearson, 400, rate) <= 0.98
    assert 0.93 <= enumerated(wilson, 400, rate) <= 0.97


def test_wilson_as_published():
    """81 of 263 has 0.2553 to 0.3662, 15 of 148 has 0.0624 to 0.1605 (Newcombe 1998, Statistics in Medicine 17:857)."""
    for hits, trials, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = wilson(hits, trials)
        assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


@given(st.integers(1, 10**9))
def test_rule_of_three_bounds_a_rate_that_shows_nothing(trials):
    """At the bound no error has a chance of just 5 %, and from 100 trials on it is 3 / n to 1 %."""
    high = rule_of_three(trials).high
    assert trials * math.log1p(-high) == pytest.approx(math.log(0.05), rel=1e-9) if high < 1 else trials == 1
    if trials >= 100:
        assert high == pytest.approx(3 / trials, rel=0.02)


def test_rule_of_thirty_holds():
    """A rate that rests on 30 errors is within 30 % of the truth in 88 to 92 % of 20,000 samples."""
    rng = np.random.default_rng(81)
    trials = 30 + rng.negative_binomial(30, 0.01, 20_000)
    assert 0.88 <= (np.abs(30 / trials - 0.01) <= 0.3 * 0.01).mean() <= 0.92


def test_rule_of_thirty_says_how_many_more():
    """More queries are those that make 30 errors at the rate so far, or at its upper bound if there is none."""
    assert rule_of_thirty(3, 1000).more == 9000
    assert not rule_of_thirty(3, 1000).at_least
    assert rule_of_thirty(30, 1000).more == 0
    none = rule_of_thirty(0, 1000)
    assert none.at_least
    assert none.more == math.ceil(30 / rule_of_three(1000).high) - 1000
    assert "at least" in none.note
    assert rule_of_thirty(1, 20, wanted=2).more == 20


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=20).filter(any))
def test_false_match_rates_are_exact(histogram):
    """FMR at a radius is the share of pairs at it or nearer, and 1 at the end."""
    found = false_match_rates(histogram)
    assert found[-1] == 1
    for radius, rate in enumerate(found):
        assert rate == pytest.approx(sum(histogram[: radius + 1]) / sum(histogram), rel=1e-14)


def test_sizes_of_lists_are_nested_and_end_with_the_whole():
    """Sizes rise evenly on a log axis to the whole list, which is always there."""
    assert nested_sizes(30_000, 100, 2) == [100, 316, 1000, 3162, 10_000, 30_000]
    assert nested_sizes(1000, 100, 1) == [100, 1000]
    assert nested_sizes(50) == [50]
    assert nested_sizes(3, 1, 9) == [1, 2, 3]


def test_nearest_of_nested_lists_is_that_of_a_full_search():
    """From near pairs alone each query has the distance that a search of the first entries finds, or ``beyond``."""
    rng = np.random.default_rng(1)
    far = rng.integers(0, 40, (7, 90))
    query, entry = np.nonzero(far <= 12)
    found = nested_nearest(query, entry, far[query, entry], queries=7, sizes=[10, 30, 90], beyond=13)
    for row, size in zip(found, (10, 30, 90), strict=True):
        assert row.tolist() == np.minimum(far[:, :size].min(axis=1), 13).tolist()


def test_fpir_counts_each_cluster_of_queries_once():
    """The first query stands for its cluster, a distance equal to the radius counts, and larger lists hit no less."""
    near = [[9, 3, 9, 5], [5, 3, 0, 4]]
    found = fpir(near, ["a", "b", "b", "c"], [10, 20], [3, 5])
    rates = {key: (round(rate.estimate * rate.n), rate.n) for key, rate in found.items()}
    assert rates == {(10, 3): (1, 3), (10, 5): (2, 3), (20, 3): (1, 3), (20, 5): (3, 3)}
    exact = clopper_pearson(1, 3)
    assert (found[10, 3].low, found[10, 3].high) == (exact.low, exact.high)


def clustered_queries(rng):
    """Queries against one list: 500 clusters of one to ten near copies, which hit or miss together."""
    labels = np.repeat(np.arange(500), 1 + rng.integers(0, 10, 500))
    return np.where(rng.random(500) < 0.1, 3, 9)[labels], labels


def test_fpir_by_clusters_covers_and_by_pictures_fails():
    """FPIR's 95 % interval holds the truth in 93 to 97 % of 3,000 samples; with pictures as trials in under 70 %.

    With another seed it was 96.5 % of 6,000.
    """
    rng = np.random.default_rng(82)
    held = naive = 0
    for _ in range(RUNS):
        near, labels = clustered_queries(rng)
        found = fpir(near[None], labels, [100], [3])[100, 3]
        held += found.low <= 0.1 <= found.high
        plain = clopper_pearson(int((near <= 3).sum()), len(near))
        naive += plain.low <= 0.1 <= plain.high
    assert 0.93 <= held / RUNS <= 0.97
    assert naive / RUNS < 0.7


def edited_pictures(rng):
    """100 sources with one to six pictures each, which fail with a chance of their own, 0.3 on average."""
    labels = np.repeat(np.arange(100), rng.integers(1, 7, 100))
    return rng.random(len(labels)) < rng.beta(0.9, 2.1, 100)[labels], labels


@pytest.mark.parametrize("method", ["wilson", "clopper"])
def test_fnir_covers_and_with_pictures_as_trials_fails(method):
    """FNIR's 95 % interval holds the truth in 93 to 97 % of 3,000 samples; with pictures as trials in under 88 %.

    With another seed Wilson's held the truth in 94.8 % of 6,000 and the exact one in 96.0 %; with 200 sources that are
    found or not as a whole, of geometric sizes and a rate of 0.1, in 93.9 and 95.3 %.
    """
    rng = np.random.default_rng(83)
    held = naive = 0
    for _ in range(RUNS):
        missed, labels = edited_pictures(rng)
        found = fnir(missed, labels, method=method)
        held += found.low <= 0.3 <= found.high
        plain = clopper_pearson(int(missed.sum()), len(missed))
        naive += plain.low <= 0.3 <= plain.high
    assert 0.93 <= held / RUNS <= 0.97
    assert naive / RUNS < 0.88


def test_fnir_of_unlike_pictures_is_the_plain_interval():
    """With one picture a cluster nothing is taken off; with none missed, clusters are counted and not pictures."""
    missed = np.arange(50) < 10
    assert fnir(missed, np.arange(50)).high == wilson(10, 50).high
    assert fnir(missed, np.arange(50), method="clopper").low == clopper_pearson(10, 50).low
    copies = fnir(np.zeros(50, bool), np.arange(50) // 5, method="clopper")
    assert copies.high == clopper_pearson(0, 10).high
    assert fnir(missed, np.arange(50) // 25, method="clopper").high > fnir(missed, np.arange(50) // 2).high
    assert fnir(missed, np.zeros(50)).n == 1
    assert fnir(missed, np.arange(50) // 25).low < 0.01


def test_fnir_by_edit_is_that_of_its_pictures():
    """Each edit and strength has the figure of its own pictures alone."""
    rng = np.random.default_rng(2)
    edits, strengths = rng.choice(["crop", "blur"], 300), rng.choice([0.1, 0.2], 300)
    missed, clusters = rng.random(300) < 0.4, rng.integers(0, 60, 300)
    found = fnir_by_edit(edits.tolist(), strengths, missed, clusters)
    assert list(found) == [("blur", 0.1), ("blur", 0.2), ("crop", 0.1), ("crop", 0.2)]
    for (edit, strength), rate in found.items():
        own = (edits == edit) & (strengths == strength)
        assert rate == fnir(missed[own], clusters[own])


# Degrees of freedom.


def distances_of(rng, clusters, chances, copies):
    """Hashes whose bits come in equal blocks, with a chance of 1 for each block; and what is known of their pairs."""
    labels = np.repeat(np.arange(clusters), copies)
    width = 64 // len(chances)
    blocks = (rng.random((clusters, len(chances))) < chances)[labels]
    blocks ^= rng.random(blocks.shape) < 0.02 * (copies > 1)
    signs = blocks * 2.0 - 1
    far = np.rint((len(chances) - signs @ signs.T) / 2).astype(np.int64) * width
    apart = labels[:, None] != labels
    by_picture = np.stack([apart.sum(axis=1), (far * apart).sum(axis=1), (far**2 * apart).sum(axis=1)], axis=1)
    by_cluster = by_picture.reshape(clusters, copies, 3).sum(axis=1)
    return np.bincount(far[np.triu(apart)], minlength=65), by_cluster


CHANCES = np.repeat([0.5, 0.6, 0.7, 0.8], 4)


def free_bits(chances):
    """Daugman's figure of independent blocks."""
    differ = 2 * chances * (1 - chances)
    mean = differ.mean()
    return mean * (1 - mean) / ((differ * (1 - differ)).sum() / len(chances) ** 2)


def test_degrees_of_freedom_cover():
    """The 95 % interval of the degrees of freedom holds the truth in 93 to 97 % of 1,500 samples of 150 hashes.

    With another seed it was 93.5 % of 3,000; with 32 blocks of chances 0.35 to 0.65, 95.6 %.
    """
    rng = np.random.default_rng(84)
    truth, held = free_bits(CHANCES), 0
    for _ in range(1500):
        found = degrees_of_freedom(*distances_of(rng, 150, CHANCES, 1))
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 1500 <= 0.97


def test_degrees_of_freedom_of_fair_bits_are_their_number():
    """Sixty-four fair bits have 64 degrees of freedom and sixteen blocks of four 16, near copies or not."""
    rng = np.random.default_rng(3)
    assert degrees_of_freedom(*distances_of(rng, 800, np.full(64, 0.5), 1)).estimate == pytest.approx(64, rel=0.02)
    assert degrees_of_freedom(*distances_of(rng, 300, np.full(16, 0.5), 2)).estimate == pytest.approx(16, rel=0.05)


def test_degrees_of_freedom_of_more_pairs_than_64_bits_can_square():
    """A hundred billion times as many pairs of the same distances have as many degrees of freedom."""
    histogram, sums = distances_of(np.random.default_rng(3), 400, np.full(64, 0.5), 1)
    few = degrees_of_freedom(histogram, sums).estimate
    assert degrees_of_freedom(histogram * 10**11, sums * 10**11).estimate == pytest.approx(few, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: clopper_pearson(3, 2), "can't be"),
        (lambda: wilson(1, 2, 1.0), "over 0 and under 1"),
        (lambda: rule_of_thirty(1, 2, 0), "below 1"),
        (lambda: Estimate(0.5, 0.6, 0.7, 0.95, 1, ""), "no interval of 0.5"),
        (lambda: false_match_rates([0, 0]), "not all 0"),
        (lambda: nested_sizes(0), "at least 1"),
        (lambda: nested_nearest([0], [0], [9], queries=1, sizes=[1], beyond=9), "not below 9"),
        (lambda: fpir([[1, 2]], [0], [1], [1]), "not one a list and query"),
        (lambda: fpir([[1], [2]], [0], [1, 2], [1]), "not nested"),
        (lambda: fpir([[2], [1]], [0], [2, 1], [1]), "not nested"),
        (lambda: fnir([], []), "not empty"),
        (lambda: fnir([True], [0], method="wald"), "not wilson or clopper"),
        (lambda: fnir_by_edit(["a"], [1.0, 2.0], [True], [0]), "differ in length"),
        (lambda: degrees_of_freedom([1, 1], np.zeros((99, 3), int)), "not \\(bits"),
        (lambda: degrees_of_freedom([1, 1], np.zeros((100, 3), int)), "different pairs"),
        (lambda: degrees_of_freedom([0, 50], np.ones((100, 3), int)), "all distances are equal"),
    ],
)
def test_what_is_no_count_is_refused(make, reason):
    """Each wrong input is named instead of counted."""
    with pytest.raises(ArgumentError, match=reason):
        make()

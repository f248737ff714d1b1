"""Fitted tails against worlds whose tail is known, and the refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.accuracy.intervals import clopper_pearson
from benchmarks.accuracy.tails import Refused, Tail, tails, whole_rate
from scanner.errors import ArgumentError

RUNS = 1000  # the standard error of a coverage of 95 % is 0.7 %: 93 to 97 % is 2.9 of them to each side


def pareto_tail(rng, n):
    """A twentieth of distances is a discrete generalised Pareto tail below 60 bits; the rest lies above."""
    below = np.floor(stats.genpareto.rvs(-0.1, scale=4, size=n, random_state=rng)).astype(np.int64)
    return np.where(rng.random(n) < 0.05, 60 - below, 61 + rng.integers(0, 30, n))


def pareto_rate(radius):
    return 0.05 * (1 - 0.1 * (60 - radius) / 4) ** 10


def differing_bits(rng, n):
    """Distances are numbers of differing bits of 256, each with a chance of 0.42: no Pareto law, but near one."""
    return rng.binomial(256, 0.42, n)


def nearest_of_many(rng, n):
    """Each distance is the smallest of 1,000 that are normal, of mean 128 and deviation 16."""
    least = 1 - (1 - rng.random(n)) ** (1 / 1000)
    return np.maximum(np.floor(stats.norm.ppf(least, 128, 16)), 0).astype(np.int64)


def nearest_rate(radius):
    return 1 - (1 - stats.norm.cdf(radius + 1, 128, 16)) ** 1000


def fitted(near):
    found = tails(near, np.zeros(len(near), int))["0"]
    assert isinstance(found, (Tail, Refused))
    return found


def coverage(world, truth, n, radius, runs, seed):
    """Shares of fitted tails whose interval lies above, holds, and lies below the true rate, with the refused ones."""
    rng = np.random.default_rng(seed)
    above = below = refused = 0
    for _ in range(runs):
        tail = fitted(world(rng, n))
        if isinstance(tail, Refused):
            refused += 1
            continue
        low, _, high = tail._ends(radius, 0.95)  # before the cut, which would leave out the lowest estimates
        above += truth < low
        below += truth > high
    kept = runs - refused
    return above / kept, 1 - (above + below) / kept, below / kept, refused / runs


@pytest.mark.parametrize(
    ("world", "truth", "n", "radius"), [(pareto_tail, pareto_rate, 3000, 43), (nearest_of_many, nearest_rate, 5000, 44)]
)
def test_interval_of_an_extrapolated_rate_covers(world, truth, n, radius):
    """Where half a hit is due, the 95 % interval holds the true rate in 93 to 97 % of 1,000 worlds.

    With a seed that had no part in the making, 2,000 worlds each of 3,000, 5,000 and 20,000 queries, it held the truth
    in 94.4, 95.0 and 94.6 % (pareto_tail), 93.4, 93.6 and 93.8 % (differing_bits), and of a world that had no part in
    it either in 93.5, 93.9 and 94.7 % (nearest_of_many). It lay below the truth in 2.0 to 3.5 %; 1 to 2 % were refused.
    """
    assert 0.3 <= truth(radius) * n <= 0.7
    _, held, _, refused = coverage(world, truth(radius), n, radius, RUNS, seed=91)
    assert 0.93 <= held <= 0.97
    assert refused < 0.03


def test_counted_hits_alone_say_less():
    """Beyond the data the fitted interval is narrower than the exact one of no hit, and says "extrapolated"."""
    near = pareto_tail(np.random.default_rng(1), 20_000)
    tail = fitted(near)
    radius = tail.nearest - 1
    assert tail.lowest_radius <= radius
    found = tail.rate(radius)
    assert found.note.startswith("extrapolated")
    assert found.n == 20_000
    assert tail.rate(tail.nearest).note.startswith("fitted to 1 hits")
    assert found.high < clopper_pearson(0, 20_000).high
    assert tail.rate(radius, level=0.5).high < found.high


def test_rate_at_the_threshold_is_the_count():
    """At the threshold a tail has its share of queries; over it they are counted; the rate rises with the radius."""
    near = differing_bits(np.random.default_rng(2), 5000)
    tail = fitted(near)
    counted = int((near <= tail.threshold).sum())
    assert 150 <= counted <= 200
    found = tail.rate(tail.threshold)
    assert found.estimate == pytest.approx(counted / 5000, rel=0.01)
    assert found.low == pytest.approx(clopper_pearson(counted, 5000).low, rel=0.03)
    assert found.high == pytest.approx(clopper_pearson(counted, 5000).high, rel=0.03)
    over = tail.rate(tail.threshold + 1)
    assert over == clopper_pearson(int((near <= tail.threshold + 1).sum()), 5000)
    rates = [tail.rate(radius) for radius in range(tail.lowest_radius, tail.threshold + 1)]
    assert all(one.estimate < two.estimate and one.high < two.high for one, two in itertools.pairwise(rates))


def test_tail_ends_one_decade_below_the_data():
    """The smallest radius has a rate of at least 0.1 / n, and none is given for the next one."""
    tail = fitted(differing_bits(np.random.default_rng(3), 5000))
    assert tail.rate(tail.lowest_radius).estimate >= 0.1 / 5000
    with pytest.raises(ArgumentError, match="more than a decade below"):
        tail.rate(tail.lowest_radius - 1)
    with pytest.raises(ArgumentError, match="below 0"):
        tail.rate(-1)


def test_fit_is_the_likeliest_law():
    """No law drawn near the fitted one makes the counts likelier, by the likelihood written out."""
    near = pareto_tail(np.random.default_rng(4), 20_000)
    tail = fitted(near)
    excess = tail.threshold - near[near <= tail.threshold]

    def likelihood(shape, scale):
        law = stats.genpareto(shape, scale=scale)
        return float(np.log(law.sf(excess) - law.sf(excess + 1)).sum())

    best = likelihood(tail.shape, tail.scale)
    rng = np.random.default_rng(0)
    for _ in range(200):
        shape = float(np.clip(tail.shape + rng.normal(0, 0.1), -0.5, 0.5))
        scale = tail.scale * math.exp(rng.normal(0, 0.1))
        with np.errstate(divide="ignore"):
            assert likelihood(shape, scale) <= best + 0.02


def test_each_stratum_has_its_own_tail():
    """Strata are fitted apart, and one with too few queries is refused by itself."""
    rng = np.random.default_rng(5)
    near = np.concatenate([differing_bits(rng, 5000), differing_bits(rng, 5000) - 20, differing_bits(rng, 300)])
    found = tails(near, ["photo"] * 5000 + ["art"] * 5000 + ["logo"] * 300)
    assert list(found) == ["art", "logo", "photo"]
    art, logo, photo = found.values()
    assert isinstance(art, Tail)
    assert isinstance(photo, Tail)
    assert abs(photo.threshold - art.threshold - 20) <= 1
    assert isinstance(logo, Refused)
    assert "it takes 50" in logo.reason
    radius = photo.lowest_radius
    whole = whole_rate(found, {"photo": 0.25, "art": 0.75}, radius)
    assert whole.estimate == 0.25 * photo.rate(radius).estimate + 0.75 * art.rate(radius).estimate
    assert whole.low < whole.estimate < whole.high < 0.25 * photo.rate(radius).high + 0.75 * art.rate(radius).high
    assert whole_rate(found, {"photo": 1.0}, radius).high == pytest.approx(photo.rate(radius).high)
    with pytest.raises(ArgumentError, match="logo has no tail"):
        whole_rate(found, {"photo": 0.5, "logo": 0.5}, radius)
    with pytest.raises(ArgumentError, match="no query is of it"):
        whole_rate(found, {"photo": 0.5, "text": 0.5}, radius)
    with pytest.raises(ArgumentError, match="do not add up"):
        whole_rate(found, {"photo": 0.5}, radius)


def test_a_near_copy_left_among_the_innocent_is_refused():
    """One distance far below the rest, or a lump of them, is no tail to extrapolate."""
    near = differing_bits(np.random.default_rng(6), 5000)
    one = near.copy()
    one[0] = 4
    found = fitted(one)
    assert isinstance(found, Refused)
    assert "near copy" in found.reason
    lump = near.copy()
    lump[:60] = 30
    found = fitted(lump)
    assert isinstance(found, Refused)
    assert "fits the tail" in found.reason


def test_a_tail_of_few_distances_is_refused():
    """Distances that hardly vary carry no shape."""
    near = np.where(np.arange(2000) < 100, 50, 90) - (np.arange(2000) % 2)
    found = fitted(near)
    assert isinstance(found, Refused)
    assert "under 5 distances" in found.reason
    assert isinstance(fitted(np.full(1000, 7)), Refused)


@pytest.mark.parametrize(
    ("near", "strata", "reason"),
    [
        ([1, 2], ["a"], "expected the same"),
        ([], [], "not empty"),
        ([0.5], ["a"], "whole number"),
        ([-1], ["a"], "from 0"),
    ],
)
def test_what_is_no_distance_is_refused(near, strata, reason):
    """Each wrong input is named instead of fitted."""
    with pytest.raises(ArgumentError, match=reason):
        tails(near, strata)

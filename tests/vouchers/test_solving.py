"""Solving: the real shares and their key at the threshold, nothing below it, and never a wrong one."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import ArgumentError
from scanner.vouchers import _field_kernels as kernels
from scanner.vouchers.sharing import Share, WindowShares, account_key_of, dummy_share
from scanner.vouchers.solving import Group, Outcome, Solution, solve
from tests.vouchers.test_field import reduced
from tests.vouchers.test_sharing import shares_of, through

P = 2**61 - 1


def told(shares: list[Share], threshold: int) -> list[Any]:
    """A solution as plain values."""
    solution = solve(shares, threshold)
    groups = [[list(group.indices), group.distinct, group.account_key.hex()] for group in solution.groups]
    return [str(solution.outcome), solution.complete, groups]


def dependent(shares: list[Share], threshold: int) -> tuple[list[int], int]:
    """Oracle: shares that take part in a dependency of the columns, and the dimension of the kernel."""
    rows = [[pow(share.x, j, P) for share in shares] for j in range(threshold - 1)]
    rows += [list(values) for values in zip(*(share.ys for share in shares), strict=True)]
    echelon, pivots = reduced(rows)
    free = [c for c in range(len(shares)) if c not in pivots]
    involved = {c for f in free for row, c in enumerate(pivots) if echelon[row][f]} | set(free)
    return sorted(involved), len(free)


def together(shares: list[Share], threshold: int) -> bool:
    """Oracle: whether shares are of different x and lie on common polynomials of degree t - 2."""
    if len({share.x for share in shares}) < len(shares):
        return False
    for k in range(len(shares[0].ys)):
        points = [(share.x, share.ys[k]) for share in shares]
        if any(through(points[: threshold - 1], x) != y for x, y in points):
            return False
    return True


def mixed(seed: int, *lots: list[Share]) -> tuple[list[Share], tuple[int, ...]]:
    """Shares in random order, and where those of the first lot are."""
    order = [(share, number == 0) for number, lot in enumerate(lots) for share in lot]
    random.Random(seed).shuffle(order)
    return [share for share, _ in order], tuple(place for place, (_, first) in enumerate(order) if first)


def real(window: WindowShares, count: int, start: int = 0) -> list[Share]:
    return [window.share(content) for content in range(start, start + count)]


def dummies(window: WindowShares, count: int) -> list[Share]:
    return [dummy_share(window.polynomials) for _ in range(count)]


def bent(window: WindowShares, count: int, direction: list[int]) -> list[Share]:
    """Shares by who knows the polynomials: each off them by a multiple of one direction."""
    return [
        Share(share.x, tuple((y + (n + 1) ** 9 * d) % P for y, d in zip(share.ys, direction, strict=True)))
        for n, share in enumerate(real(window, count, start=1_000))
    ]


def only(solution: Solution) -> Group:
    assert solution.outcome is Outcome.FOUND
    (group,) = solution.groups
    return group


@given(
    threshold=st.integers(2, 9),
    extra=st.integers(0, 8),
    junk=st.integers(0, 8),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_real_shares_are_found_from_the_threshold_on(threshold, extra, junk, seed):
    """Exactly they, at t, t + 1 and so on, beside up to P dummies: and the oracle's dependent ones are the same."""
    window = shares_of(seed.to_bytes(32), threshold=threshold)
    shares, places = mixed(seed, real(window, threshold + extra), dummies(window, junk))
    solution = solve(shares, threshold)
    assert only(solution) == Group(places, threshold + extra, window.account_key)
    assert solution.complete
    assert dependent(shares, threshold) == (list(places), extra + 1)  # the dimension is m - t + 1


@given(threshold=st.integers(2, 9), short=st.integers(1, 9), junk=st.integers(0, 8), seed=st.integers(0, 2**32 - 1))
def test_below_the_threshold_nothing_is_found(threshold, short, junk, seed):
    """No dependency at all, beside up to P dummies."""
    window = shares_of(seed.to_bytes(32), threshold=threshold)
    shares, _ = mixed(seed, real(window, max(0, threshold - short)), dummies(window, junk))
    assert solve(shares, threshold) == Solution((), complete=True)
    assert solve(shares, threshold).outcome is Outcome.BELOW_THRESHOLD
    if shares:
        assert dependent(shares, threshold) == ([], 0)


@pytest.mark.parametrize("threshold", [2, 10, 30])
def test_a_full_window_opens_at_exactly_the_threshold(threshold):
    """64 slots, t = 30: from 0 to 64 real ones."""
    window = shares_of(threshold=threshold, polynomials=64)
    for count in range(65):
        shares, places = mixed(count, real(window, count), dummies(window, 64 - count))
        solution = solve(shares, threshold)
        assert solution.complete
        if count < threshold:
            assert solution.outcome is Outcome.BELOW_THRESHOLD
        else:
            assert only(solution) == Group(places, count, window.account_key)


@given(count=st.integers(2, 20), threshold=st.integers(2, 6), lift=st.integers(0, 3), seed=st.integers(0, 2**32 - 1))
def test_the_kernel_has_the_dimension_claimed(count, threshold, lift, seed):
    """m - t + 1 - s at lift s, or nothing; with as many dummies as are allowed."""
    window = shares_of(seed.to_bytes(32), threshold=threshold, polynomials=5)
    shares, _ = mixed(seed, real(window, count), dummies(window, 5 * (lift + 1)))
    xs = np.array([share.x for share in shares], np.uint64)
    ys = np.array([share.ys for share in shares], np.uint64)
    matrix = np.empty((threshold - 1 + lift + 5 * (lift + 1), len(shares)), np.uint64)
    kernels.equations_into(xs, ys, lift, matrix)
    rank = kernels.reduce_rows(matrix, np.empty(min(matrix.shape), np.int64))
    assert len(shares) - rank == max(0, count - threshold + 1 - lift)


def test_the_same_content_counts_once():
    """Fifty times the same picture, and t - 1 others at most, are not t."""
    window = shares_of(threshold=10)
    shares = real(window, 9) + [window.share(3)] * 50
    assert solve(shares, 10).outcome is Outcome.BELOW_THRESHOLD
    assert solve([window.share(3)] * 50, 2).outcome is Outcome.BELOW_THRESHOLD
    group = only(solve([*shares, window.share(77)], 10))
    assert group == Group(tuple(range(60)), 10, window.account_key)  # all fifty can be opened, ten count


def test_no_shares_are_no_group():
    """Nothing sent, nothing found."""
    assert solve([], 2) == Solution((), complete=True)
    assert solve(real(shares_of(), 1), 2) == Solution((), complete=True)


@given(first=st.integers(8, 12), second=st.integers(0, 12), junk=st.integers(0, 4), seed=st.integers(0, 2**32 - 1))
def test_two_accounts_mixed_up_stay_two(first, second, junk, seed):
    """Each gets its own group if it has enough, and no share of the other."""
    ours, theirs = shares_of(threshold=8), shares_of(account=bytes(16), threshold=8)
    shares, places = mixed(seed, real(ours, first), real(theirs, second), dummies(ours, junk))
    solution = solve(shares, 8)
    found = {group.account_key: group for group in solution.groups}
    assert found.keys() <= {ours.account_key, theirs.account_key}
    if solution.complete:
        assert found[ours.account_key].indices == places
        assert (theirs.account_key in found) == (second >= 8)
    if second + junk <= 8 and second < 8:  # the others are as dummies
        assert solution.complete


@pytest.mark.parametrize("polynomials", [8, 64])
@pytest.mark.parametrize("excess", [1, 2, 3])
def test_more_dummies_than_polynomials_take_more_real_ones(polynomials, excess):
    """Up to P (m - t + 1) are told apart: e more real ones than t, (e + 1) P dummies. One dummy more is too many."""
    window = shares_of(threshold=6, polynomials=polynomials)
    most = polynomials * (excess + 1)
    shares, places = mixed(excess, real(window, 6 + excess), dummies(window, most))
    assert only(solve(shares, 6)) == Group(places, 6 + excess, window.account_key)
    hidden = dummies(window, most + 1) + real(window, 6 + excess)  # dummies last would do no harm, by luck
    assert solve(hidden, 6).outcome is Outcome.AMBIGUOUS


def test_two_covered_devices_of_one_account():
    """128 slots and 64 polynomials: at exactly t there are too many dummies, and it is said; one more opens."""
    window = shares_of(threshold=30, polynomials=64)
    for count, outcome in ((0, Outcome.AMBIGUOUS), (30, Outcome.AMBIGUOUS), (31, Outcome.FOUND), (36, Outcome.FOUND)):
        shares, places = mixed(count, real(window, count), dummies(window, 128 - count))
        solution = solve(shares, 30)
        assert solution.outcome is outcome
        if outcome is Outcome.FOUND:
            assert only(solution) == Group(places, count, window.account_key)
        assert not solution.complete


def test_too_many_of_anything_is_ambiguous_and_never_a_key():
    """A thousand dummies may hide real ones: no key is made up."""
    window = shares_of(threshold=5)
    for count in (0, 4, 5, 6):
        shares, _ = mixed(count, real(window, count), dummies(window, 300))
        assert solve(shares, 5) == Solution((), complete=False)


@pytest.mark.parametrize("conflicting", [1, 3, 8, 20])
def test_other_values_at_a_real_place_hide_nothing(conflicting):
    """Junk that takes the x of real shares: the real ones are found, the junk is not."""
    window = shares_of(threshold=6)
    junk = [Share(share.x, dummy_share(8).ys) for share in real(window, conflicting)]
    shares, places = mixed(conflicting, real(window, 26), junk)
    assert only(solve(shares, 6)) == Group(places, 26, window.account_key)


def test_shares_of_one_place_bent_one_way_hide_nothing():
    """Two shares at a real place, off the polynomials in one direction, stay dependent at any lift."""
    window = shares_of(threshold=6)
    direction = list(dummy_share(8).ys)
    share = window.share(0)
    junk = [
        Share(share.x, tuple((y + times * d) % P for y, d in zip(share.ys, direction, strict=True)))
        for times in (1, 2, 3)
    ]
    for seed in range(10):
        shares, places = mixed(seed, real(window, 7), junk)
        assert only(solve(shares, 6)) == Group(places, 7, window.account_key)


def test_a_conflict_does_not_hide_the_only_real_ones():
    """At exactly t, those with a conflict are needed and are used."""
    window = shares_of(threshold=6)
    junk = [Share(share.x, dummy_share(8).ys) for share in real(window, 6)]
    shares, places = mixed(5, real(window, 6), junk)
    assert only(solve(shares, 6)) == Group(places, 6, window.account_key)
    assert solve(shares, 6).complete


@given(excess=st.integers(0, 5), count=st.integers(0, 8), seed=st.integers(0, 2**32 - 1))
def test_junk_by_who_knows_the_polynomials(excess, count, seed):
    """Bent one way, m - t + 1 hide nothing; more of them may, but give no wrong key."""
    window = shares_of(threshold=5)
    junk = bent(window, count, list(dummy_share(8).ys))
    shares, places = mixed(seed, real(window, 5 + excess), junk)
    solution = solve(shares, 5)
    if count <= excess + 1:
        assert window.account_key in {group.account_key for group in solution.groups}
    for group in solution.groups:
        assert together([shares[index] for index in group.indices], 5)
        assert (group.account_key == window.account_key) == (group.indices == places)
    if not solution.groups:
        assert solution.outcome is Outcome.AMBIGUOUS


def test_a_group_made_up_around_real_shares_takes_none_away():
    """Polynomials through t - 2 real shares and two made-up ones: the real group is found, whether that one is or not.

    The caller sees by the key commitments that only two vouchers of the first bear it out.
    """
    window = shares_of(threshold=6)
    held = real(window, 7)
    anchors = held[:4] + dummies(window, 1)  # five points of a polynomial of degree 4
    made_up = [
        Share(x, tuple(through([(share.x, share.ys[k]) for share in anchors], x) for k in range(8)))
        for x in (12_345, 54_321)
    ]
    for seed in range(10):
        shares, places = mixed(seed, held, made_up)
        solution = solve(shares, 6)
        found = {group.account_key: group for group in solution.groups}
        assert found[window.account_key].indices == places
        others = [group for key, group in found.items() if key != window.account_key]
        assert [group.distinct for group in others] in ([6], [6] * solution.complete)
        assert all(together([shares[index] for index in group.indices], 6) for group in others)


def test_junk_all_alike_hides_nothing():
    """Zeros, ones, or a group of its own: as of another account."""
    window = shares_of(threshold=6)
    for value in (0, 1, P - 1):
        junk = [Share(x, (value,) * 8) for x in range(1, 30)]
        shares, places = mixed(value, real(window, 6), junk)
        found = {group.indices for group in solve(shares, 6).groups}
        assert places in found
        assert len(found) == 2


small_shares = st.builds(Share, st.integers(1, 6), st.tuples(st.integers(0, 1), st.integers(0, 1)))


@given(shares=st.lists(small_shares, max_size=9), threshold=st.integers(2, 4))
@settings(max_examples=150)
def test_whatever_is_sent_the_answer_is_true(shares, threshold):
    """Numbers so small that everything happens by accident, against a look at every set of t shares.

    A group is one, whole, and gives its own key; if the answer is complete, no other t shares belong together.
    """
    solution = solve(shares, threshold)
    grouped: set[int] = set()
    for group in solution.groups:
        members = sorted({shares[index] for index in group.indices}, key=lambda share: share.x)
        grouped |= set(group.indices)
        assert len(members) == group.distinct >= threshold
        assert together(members, threshold)
        others = set(shares) - set(members)
        assert not any(together([*members, share], threshold) for share in others)
        assert all(index in group.indices for index, share in enumerate(shares) if share in members)
        points = [[(share.x, share.ys[k]) for share in members[: threshold - 1]] for k in range(2)]
        assert group.account_key == account_key_of([through(part, 0) for part in points])
    assert len({group.indices for group in solution.groups}) == len(solution.groups)
    if solution.complete:
        several = len(solution.groups) > 1
        searched = {share for index, share in enumerate(shares) if not (several and index in grouped)}
        members = {shares[index] for index in grouped}
        for chosen in itertools.combinations(searched, threshold):
            assert set(chosen) <= members or not together(list(chosen), threshold)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_the_order_does_not_matter_for_who_is_honest(seed):
    """The same shares in any order give the same group."""
    window = shares_of(threshold=10, polynomials=64)
    held = real(window, 12) + [Share(number, (number,) * 64) for number in range(1, 8)]
    shares, places = mixed(seed, held[:12], held[12:])
    assert only(solve(shares, 10)) == Group(places, 12, window.account_key)


@pytest.mark.parametrize(
    "bad",
    [
        Share(0, (1, 2)),
        Share(P, (1, 2)),
        Share(2**64, (1, 2)),
        Share(-1, (1, 2)),
        Share(1, (1, P)),
        Share(1, (1, 2**64)),
        Share(1, (-1, 2)),
        Share(1, (1,)),
        Share(1, ()),
    ],
    ids=["x = 0", "x = p", "large x", "x < 0", "y = p", "large y", "y < 0", "one value", "no value"],
)
def test_what_is_no_share_is_refused(bad):
    """Shares come from ``from_bytes``, which lets none of these through."""
    with pytest.raises(ArgumentError, match="share"):
        solve([Share(5, (6, 7)), bad, Share(6, (7, 8))], 2)


def test_shares_without_values_are_refused():
    """There must be something to check."""
    with pytest.raises(ArgumentError, match="at least one value"):
        solve([Share(1, ()), Share(2, ())], 2)


@pytest.mark.parametrize("threshold", [1, 0, -3])
def test_a_threshold_is_at_least_two(threshold):
    """Anything less would open what is no match."""
    with pytest.raises(ArgumentError, match="threshold"):
        solve([], threshold)


def test_the_key_is_not_shown():
    """Not in a log."""
    window = shares_of(threshold=3)
    solution = solve(real(window, 3), 3)
    assert window.account_key in {group.account_key for group in solution.groups}
    assert "account_key" not in repr(solution)
    assert repr(window.account_key) not in repr(solution)

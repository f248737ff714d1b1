"""Opening: what an account's vouchers of one window give, whoever made some of them."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.vouchers import Result, Terms, Voucher
from scanner.vouchers.opening import open_window
from scanner.vouchers.sharing import PRIME
from tests.vouchers.accounts import (
    ACCOUNT,
    BOTH,
    COVERED,
    MATCH_ONLY,
    OPENER,
    OTHER_ACCOUNT,
    OTHER_OPENER,
    WINDOW,
    Device,
    T,
    contents,
    opened,
    policy_of,
)
from tests.vouchers.second_client import through

both = pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.profile)
REALS = {policy.profile: Device(policy).reals(range(T + 6)) for policy in BOTH}
DUMMIES = {number: Device(COVERED, number).dummies(range(64)) for number in (1, 2)}
WRONG = random.Random(0)


def noise(count: int) -> list[int]:
    return [WRONG.randrange(1, PRIME) for _ in range(count)]


@both
@pytest.mark.parametrize("count", [*range(T + 1), T + 1, T + 5])
def test_nothing_below_the_threshold_and_all_from_it_on(policy, count):
    """Exactly t is enough, t - 1 is not; all that are real open, in order."""
    window = opened(REALS[policy.profile][:count], policy)
    assert window.malformed == ()
    if count < T:
        assert (window.result, window.opened) == (Result.BELOW_THRESHOLD, ())
    else:
        assert (window.result, contents(window)) == (Result.OPENED, list(range(count)))


@pytest.mark.parametrize("count", [0, 1, T - 1, T, T + 1, T + 6])
@pytest.mark.parametrize("seed", range(3))
def test_a_full_covered_window_opens_at_exactly_the_threshold(count, seed):
    """64 slots, some real and the rest dummies, whichever they are."""
    device, places = Device(COVERED), random.Random(seed).sample(range(64), count)
    messages = list(DUMMIES[1])
    for content, slot in enumerate(places):
        messages[slot] = device.real(content, slot)
    window = opened(messages, COVERED)
    assert window.malformed == ()
    assert window.result is (Result.OPENED if count >= T else Result.BELOW_THRESHOLD)
    assert {one.index: one.payload.content_id for one in window.opened} == (
        {slot: content for content, slot in enumerate(places)} if count >= T else {}
    )


def test_sixty_four_dummies_beside_the_threshold():
    """As many dummies as a share has values are told apart; from a second device here."""
    window = opened([*REALS["covered"][:T], *DUMMIES[2]], COVERED)
    assert contents(window) == list(range(T))


@pytest.mark.parametrize("threshold", [10, 30, 64])
def test_other_thresholds(threshold):
    """t vouchers of a window of 64, up to all of them."""
    policy = policy_of("covered", threshold)
    device = Device(policy)
    messages = device.reals(range(threshold)) + device.dummies(range(threshold, 64))
    assert contents(opened(messages, policy)) == list(range(threshold))
    fewer = messages[1:] + device.dummies([0])
    assert opened(fewer, policy).result is Result.BELOW_THRESHOLD


@both
def test_the_same_picture_fifty_times_counts_once(policy):
    """Nobody gets nearer the threshold by sending one picture often; once opened, each voucher opens."""
    device = Device(policy)
    messages = [device.real(0, slot) for slot in range(50)]
    assert opened(messages, policy).result is Result.BELOW_THRESHOLD
    almost = messages + device.reals(range(1, T - 1), 50)
    assert opened(almost, policy).result is Result.BELOW_THRESHOLD
    assert contents(opened([*almost, device.real(T, 60)], policy)) == [0] * 50 + [*range(1, T - 1), T]


@both
@given(seed=st.integers(0, 2**32))
@settings(max_examples=5)
def test_order_does_not_matter(policy, seed):
    """The same vouchers in another order tell the same."""
    messages = REALS[policy.profile] + (DUMMIES[2][:20] if policy is COVERED else [])
    random.Random(seed).shuffle(messages)
    window = opened(messages, policy)
    assert sorted(contents(window)) == list(range(T + 6))
    assert all(opened([messages[one.index]], policy).opened == () for one in window.opened)


@both
@pytest.mark.parametrize("count", [T - 1, T])
def test_two_devices_of_one_account_count_together(policy, count):
    """Matches count for the account, whichever device had them; the same picture on both counts once."""
    first, second = Device(policy, 1), Device(policy, 2)
    messages = first.reals(range(count // 2)) + second.reals(range(count // 2, count)) + [second.real(0, 40)]
    window = opened(messages, policy)
    assert contents(window) == ([*range(count), 0] if count == T else [])


@both
def test_two_accounts_do_not_count_together(policy):
    """Whoever files two accounts' vouchers under one gets nothing."""
    other = Device(policy, 2, OTHER_ACCOUNT, bytes([8]) * 32)
    messages = REALS[policy.profile][: T - 1] + other.reals(range(T - 1))
    window = opened(messages, policy)
    assert window.result is not Result.OPENED
    assert window.opened == ()


@both
def test_an_account_filed_under_another_is_refused(policy):
    """t vouchers of another account open, and name it."""
    window = opened(REALS[policy.profile][:T], policy, OTHER_ACCOUNT)
    assert (window.result, window.opened) == (Result.BELOW_THRESHOLD, ())
    assert window.malformed == tuple((index, "other-account") for index in range(T))


@both
def test_half_in_each_of_two_windows_is_not_enough(policy):
    """A window starts anew: t - 1 before its end and t - 1 after open nothing, even thrown together."""
    device = Device(policy)
    before, after = device.reals(range(T - 1)), device.reals(range(T - 1, 2 * T - 2), window=WINDOW + 1)
    assert opened(before, policy).result is Result.BELOW_THRESHOLD
    assert opened(after, policy).result is Result.BELOW_THRESHOLD
    assert opened(before + after, policy).opened == ()


@both
def test_an_update_of_the_list_in_mid_window_keeps_the_count(policy):
    """Vouchers of two policies with one threshold and profile count together, each under its own digest."""
    newer = dataclasses.replace(policy, serial=2, hashset_digest=bytes([8]) * 32)
    assert newer.digest != policy.digest
    assert Terms.of(newer) == Terms.of(policy)
    messages = Device(policy).reals(range(T // 2)) + Device(newer).reals(range(T // 2, T), T // 2)
    window = opened(messages, policy)
    assert contents(window) == list(range(T))
    assert {one.payload.policy_digest for one in window.opened} == {policy.digest, newer.digest}
    again = Device(policy).reals(range(T - 1)) + Device(newer).reals(range(T - 1), T)
    assert opened(again, policy).result is Result.BELOW_THRESHOLD


@both
@pytest.mark.parametrize("change", ["threshold", "profile"])
def test_other_terms_do_not_count_together(policy, change):
    """Shares made under another threshold or profile have nothing in common, not even the key's polynomials."""
    if change == "threshold":
        other = dataclasses.replace(policy, threshold=T + 1)
    else:
        other = COVERED if policy is MATCH_ONLY else MATCH_ONLY
    mine, others = Device(policy).shares(), Device(other).shares()
    assert mine.account_key != others.account_key
    assert not {mine.share(content).shown.x for content in range(50)} & {
        others.share(content).shown.x for content in range(50)
    }
    x = others.share(0).shown.x
    assert mine._keyed.values_at(x) != others._keyed.values_at(x)
    messages = REALS[policy.profile][: T - 1] + Device(other, 2).reals(range(T - 1))
    assert opened(messages, policy).opened == ()


@both
def test_another_openers_key_opens_nothing(policy):
    """Without the opener's key no voucher gives even its share."""
    window = opened(REALS[policy.profile], policy, opener=OTHER_OPENER)
    assert window.opened == ()
    assert {problem for _, problem in window.malformed} == {"does-not-open"}


@both
def test_one_policy_outside_and_another_inside_is_refused(policy):
    """A device can't seal a payload under a policy its header does not name, and the others still open."""
    device = Device(policy)
    wrong = device.crafted(50, device.values(99), payload=device.payload(99, policy_digest=bytes(32)))
    window = opened([wrong, *REALS[policy.profile][:T]], policy)
    assert contents(window) == list(range(T))
    assert window.malformed == ((0, "other-policy"),)


@both
def test_another_account_inside_is_refused(policy):
    """The same for the account; such a voucher does not count."""
    device = Device(policy)
    wrong = device.crafted(50, device.values(99), payload=device.payload(99, account=OTHER_ACCOUNT))
    window = opened([wrong, *REALS[policy.profile][:T]], policy)
    assert contents(window) == list(range(T))
    assert window.malformed == ((0, "other-account"),)
    assert opened([wrong, *REALS[policy.profile][: T - 1]], policy).opened == ()


@both
@pytest.mark.parametrize("change", [lambda share: [], lambda share: share[:-1], lambda share: [*share, 5]])
def test_an_inside_of_another_length_is_refused(policy, change):
    """A number more or less, or no share at all."""
    device = Device(policy)
    window = opened([device.crafted(0, change(device.values(0))), *device.reals(range(1, T + 1), 1)], policy)
    assert contents(window) == list(range(1, T + 1))
    assert window.malformed == ((0, "malformed"),)


@both
@pytest.mark.parametrize(
    ("place", "number"), [(0, 0), *((place, number) for place in (0, 1, -1) for number in (PRIME, 2**64 - 1))]
)
def test_a_number_out_of_range_is_refused_and_spoils_nothing(policy, place, number):
    """x = 0, where the values would be the secrets, and numbers of the prime or more: refused, never reduced."""
    device = Device(policy)
    share = device.values(T)
    share[place] = number
    window = opened([*REALS[policy.profile][:T], device.crafted(T, share)], policy)
    assert contents(window) == list(range(T))
    assert window.malformed == ((T, "malformed"),)


@both
@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("real", [T, T + 2])
def test_shares_that_show_but_do_not_give_the_key_spoil_nothing(policy, real, where):
    """A bad device that knows the polynomials makes up values for the key alone: t honest vouchers still open."""
    honest = [Device(policy, number).reals(range(start, real, 2)) for start, number in enumerate((1, 3))]
    bad = Device(policy, 2)
    shows = 1 + bad.sealer.terms.polynomials
    junk = [bad.crafted(slot, bad.values(slot)[:shows] + noise(5), slot) for slot in range(8)]  # the same places
    junk += [bad.crafted(slot, bad.values(100 + slot)[:shows] + noise(5), 100 + slot) for slot in range(8, 16)]
    messages = [*junk, *honest[0], *honest[1]] if where == "first" else [*honest[0], *junk, *honest[1]]
    window = opened(messages, policy)
    assert window.result is Result.OPENED
    # What it made with the account's key does open, and is told: it could as well have been sent in order.
    assert {one.payload.content_id for one in window.opened} >= set(range(real))


@both
def test_shares_that_fit_in_vouchers_that_do_not_are_not_counted(policy):
    """t shares on the polynomials, one of them around a payload under another key: one short."""
    device = Device(policy)
    wrong = device.crafted(50, device.values(99), key=bytes(32))
    window = opened([wrong, *REALS[policy.profile][: T - 1]], policy)
    assert (window.result, window.opened, window.malformed) == (Result.BELOW_THRESHOLD, (), ((0, "other-key"),))
    window = opened([wrong, *REALS[policy.profile][:T]], policy)
    assert (contents(window), window.malformed) == (list(range(T)), ((0, "other-key"),))


@both
def test_one_content_in_many_places_is_not_enough(policy):
    """t shares of different contents around payloads that all name one: nothing is opened."""
    device = Device(policy)
    messages = [device.crafted(slot, device.values(slot), 77) for slot in range(T)]
    assert opened(messages, policy).opened == ()


@both
def test_a_made_up_group_takes_none_away(policy):
    """A bad device bends other polynomials through real shares: those still open, and are not told as malformed."""
    device = Device(policy, 2)
    count = device.sealer.terms.polynomials
    real = [device.values(content) for content in range(T - 1)]
    values = device.values(500)
    bent = [values[0], *noise(count + 5)]
    points = [[(each[0], each[k]) for each in real[: T - 2]] + [(bent[0], bent[k])] for k in range(1, 1 + count)]
    last = [12_345, *(through(each, 12_345) for each in points), *noise(5)]
    messages = [*REALS[policy.profile][:T], device.crafted(40, bent), device.crafted(41, last)]
    window = opened(messages, policy)
    assert contents(window) == list(range(T))
    assert dict(window.malformed) == {T: "other-key", T + 1: "other-key"}


@pytest.mark.parametrize("junk", [0, 1, 8, 20])
def test_junk_without_cover_hides_nothing_or_is_told(junk):
    """Up to eight random shares are told apart at exactly t; more are said to be too many, or told apart with more."""
    messages = Device(MATCH_ONLY, 2).dummies(range(junk)) + REALS["match-only"][:T]
    window = opened(messages, MATCH_ONLY)
    assert window.result is (Result.OPENED if junk <= 8 else Result.AMBIGUOUS)
    assert contents(window) == (list(range(T)) if junk <= 8 else [])
    more = opened([*messages, *Device(MATCH_ONLY).reals(range(T, T + 3), T)], MATCH_ONLY)
    assert len(more.opened) == T + 3


def test_a_slot_that_cover_does_not_have_is_malformed():
    """With cover a device has 64 vouchers a window, so that nobody makes the opener solve for 65,536."""
    messages = [*REALS["covered"][:T], *Device(COVERED, 2).dummies([63, 64, 65_535])]
    window = opened(messages, COVERED)
    assert contents(window) == list(range(T))
    assert window.malformed == ((T + 1, "malformed"), (T + 2, "malformed"))


@both
def test_a_voucher_under_other_terms_is_malformed(policy):
    """Its share has another length."""
    other = COVERED if policy is MATCH_ONLY else MATCH_ONLY
    window = opened([Device(other, 2).real(50, 1), *REALS[policy.profile][:T]], policy)
    assert contents(window) == list(range(T))
    assert window.malformed == ((0, "malformed"),)


def test_no_vouchers_are_below_the_threshold():
    """Nothing gives nothing."""
    assert open_window([], OPENER, Terms.of(COVERED), ACCOUNT).result is Result.BELOW_THRESHOLD


def test_what_opened_is_what_was_sealed():
    """Payloads come back whole."""
    device = Device(MATCH_ONLY)
    window = open_window(list(map(Voucher.parse, REALS["match-only"])), OPENER, Terms.of(MATCH_ONLY), ACCOUNT)
    assert [one.payload for one in window.opened] == [device.payload(content) for content in range(T + 6)]

"""The protocol's five promises, each as a test that fails if it is broken, and the statistics of cover."""

from __future__ import annotations

import dataclasses
import itertools
import random

import numpy as np
import pytest
from scipy.stats import binom, chi2
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from scanner.errors import ArgumentError, VoucherError
from scanner.types import Action, Outcome, PerceptualHash, Verdict
from scanner.vouchers import DeviceSealer, Payload, Policy, Result, Terms, Voucher, cose, envelope, sharing
from scanner.vouchers.policies import THRESHOLD_FLOOR, PinnedSigners, check_successor, sign
from scanner.vouchers.schedule import slots_due
from scanner.vouchers.solving import Outcome as Solved
from scanner.vouchers.solving import solve
from tests.vouchers import second_client as second
from tests.vouchers.accounts import (
    ACCOUNT,
    BOTH,
    COVERED,
    OPENER,
    OTHER_OPENER,
    WINDOW,
    Device,
    T,
    contents,
    device_key,
    opened,
    policy_of,
)

both = pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.profile)


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


# Promise 1: no match, no voucher; with cover, bytes and times do not depend on what was scanned.


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.MATCH])
def test_no_match_no_payload(outcome):
    """What did not match can't even be written as a payload."""
    verdict = Verdict(outcome, Action.SEND, "", (), PerceptualHash("pdq", bytes(32)), 91)
    with pytest.raises(ValueError, match="only a match"):
        Payload.of_match(verdict, policy_digest=bytes(32), hashset_digest=bytes(32), account=ACCOUNT, now=0)


def test_times_of_cover_depend_on_device_and_clock_alone():
    """No argument tells what was scanned."""
    assert list(slots_due.__annotations__) == ["device_id", "now", "return"]


# Promise 2: with fewer than t matches, intake and opener together learn nothing of any payload.


@both
@pytest.mark.parametrize("count", range(T))
def test_fewer_than_t_tell_nothing(policy, count):
    """The opener's program says below the threshold, and no more: not even which are real."""
    device = Device(policy)
    fill = 64 - count if policy is COVERED else 0
    window = opened(device.reals(range(count)) + device.dummies(range(count, count + fill)), policy)
    assert (window.result, window.opened, window.malformed) == (Result.BELOW_THRESHOLD, (), ())


@both
@pytest.mark.parametrize("seed", range(5))
def test_one_short_every_account_key_is_equally_possible(policy, seed):
    """t - 1 shares, known to be real, fit polynomials with any constant terms: whichever key you name."""
    device = Device(policy)
    known = [device.values(content) for content in range(T - 1)]
    other = [random.Random(seed * 5 + k).randrange(second.P) for k in range(5)]
    points = [[(0, constant)] + [(each[0], each[k - 5]) for each in known] for k, constant in enumerate(other)]
    # t points of x different from each other, 0 among them: one polynomial of degree t - 1 goes through, so the shares
    # are those of an account with this key. With another share of it they are a window that opens.
    content = 1000
    place = device.values(content)
    made = [*place[:-5], *(second.through(each, place[0]) for each in points)]
    key = second.key_of(other)
    assert key != device.shares().account_key
    messages = [
        device.crafted(index, share, number, key)
        for index, (share, number) in enumerate([*zip(known, range(T - 1), strict=True), (made, content)])
    ]
    assert contents(opened(messages, policy)) == [*range(T - 1), content]


@both
def test_one_short_the_real_ones_known_and_guessing_a_degree_less_gives_no_key(policy):
    """The attack that would work on the polynomials that show: plain interpolation through t - 1 real shares."""
    device, account = Device(policy), second.Account(bytes([7]) * 32, WINDOW, ACCOUNT, T, policy.profile)
    known = [device.values(content) for content in range(T - 1)]
    shown = [second.through([(each[0], each[k]) for each in known], 0) for k in range(1, 1 + len(account.showing))]
    assert shown == [each[0] for each in account.showing]  # they do come out, and open nothing:
    keyed = [second.through([(each[0], each[k]) for each in known], 0) for k in range(-5, 0)]
    assert not set(keyed) & {each[0] for each in account.keying}
    for constants in (shown, shown[:5], keyed):
        for content in range(T - 1):
            unsealed = Voucher.parse(device.real(content, content)).unseal(OPENER, Terms.of(policy))
            assert problem_of(unsealed.open, second.key_of(constants)) == "other-key"


@both
def test_one_of_the_next_window_does_not_help(policy):
    """t - 1 in one window and as many in the next stay closed, as keys and polynomials have nothing in common."""
    device = Device(policy)
    first, second_ = device.shares(), device.shares(WINDOW + 1)
    x = first.share(0).shown.x
    assert x != second_.share(0).shown.x
    assert first._keyed.values_at(x) != second_._keyed.values_at(x)
    messages = device.reals(range(T - 1)) + device.reals(range(T - 1), T, WINDOW + 1)
    assert opened(messages, policy).opened == ()


# Promise 3: not forged, moved, replayed or counted twice.


@both
def test_t_minus_one_and_any_forgery_stay_closed(policy):
    """Whatever who lacks the account's secret adds to t - 1 real vouchers, nothing opens."""
    device, stranger = Device(policy), Device(policy, 2, secret=bytes([8]) * 32)
    real = device.reals(range(T - 1))
    values, chance = device.values(0), random.Random(0)
    known = [device.values(content) for content in range(T - 1)]
    guessed = [second.through([(each[0], each[k]) for each in known], 4321) for k in range(1, len(values))]
    forged = {
        "a stranger's matches": stranger.reals(range(T - 1)),
        "dummies": stranger.dummies(range(20)),
        "a share again": [stranger.crafted(0, values)],
        "a share's values elsewhere": [stranger.crafted(0, [values[0] + 1, *values[1:]])],
        "other values at its place": [stranger.crafted(0, [values[0], *(chance.randrange(second.P) for _ in guessed)])],
        "values through those of all": [stranger.crafted(0, [4321, *guessed])],
    }
    for what, messages in forged.items():
        assert opened(real + messages, policy).opened == (), what


@both
def test_moved_replayed_and_changed_vouchers_are_refused(policy):
    """Each with its own problem."""
    device, other = Device(policy), device_key(2)
    message = device.real(0, 3)
    voucher, terms = Voucher.parse(message), Terms.of(policy)
    header = (device.sealer.device_id, WINDOW, 3, policy.digest)
    assert problem_of(
        Voucher.parse(second.signed(other, voucher._protected, voucher._sealed)).verify, device.public
    ) == ("bad-signature")
    assert problem_of(voucher.verify, other.public_key()) == "wrong-device"
    for position, value in enumerate((bytes(16), WINDOW + 1, 4, bytes(32))):
        moved = second.protected_of(*header[:position], value, *header[position + 1 :])
        unsigned = dataclasses.replace(voucher, _protected=moved)
        assert problem_of(unsigned.verify, device.public) == "bad-signature"
        assert problem_of(unsigned.unseal, OPENER, terms) == "does-not-open"
    assert problem_of(Voucher.parse, message[:-1]) == "malformed"


@both
def test_a_match_sent_again_in_another_slot_counts_once(policy):
    """The same picture has the same x in all slots and on all devices of an account."""
    first, second_ = Device(policy, 1), Device(policy, 2)
    messages = first.reals([0] * 20 + list(range(T - 1))) + second_.reals([0] * 20)
    assert opened(messages, policy).result is Result.BELOW_THRESHOLD


# Promise 4: a stolen database opens nothing; a stolen opener key only what has passed the threshold.


@both
def test_a_database_alone_opens_nothing(policy):
    """All that the intake holds of 64 real vouchers, and any other key: not one share."""
    window = opened(Device(policy).reals(range(64)), policy, opener=OTHER_OPENER)
    assert window.opened == ()
    assert window.malformed == tuple((index, "does-not-open") for index in range(64))


@both
def test_a_stolen_opener_key_opens_what_passed_the_threshold_alone(policy):
    """Of two accounts in its database, one at t and one at t - 1, only the first."""
    over, under = Device(policy, 1), Device(policy, 2, bytes(range(16, 32)), bytes([8]) * 32)
    assert contents(opened(over.reals(range(T)), policy)) == list(range(T))
    stolen = under.reals(range(T - 1))
    assert opened(stolen, policy, under.account).opened == ()
    assert opened(over.reals(range(T)) + stolen, policy, under.account).opened == ()
    for message in stolen:
        unsealed = Voucher.parse(message).unseal(OPENER, Terms.of(policy))
        assert problem_of(unsealed.open, over.shares().account_key) == "other-key"


# Promise 5: nobody lowers t.


def test_nobody_lowers_the_threshold():
    """Not under the floor, whoever signs, and not at all without the quorum."""
    assert THRESHOLD_FLOOR == 10
    with pytest.raises(ArgumentError):
        policy_of(threshold=THRESHOLD_FLOOR - 1)
    payload = cose.encode({**cose.decode(policy_of().to_bytes(), "policy"), 3: THRESHOLD_FLOOR - 1})
    assert problem_of(Policy.from_bytes, payload) == "threshold-too-low"
    keys = sorted(map(device_key, (21, 22)), key=lambda key: key.public_key().public_bytes_raw())
    signers = tuple(key.public_key().public_bytes_raw() for key in keys)
    now = policy_of(threshold=30, signers=signers, quorum=2, ordinary=1)
    lower = dataclasses.replace(now, serial=2, threshold=29)
    assert problem_of(check_successor, now, PinnedSigners(signers, 2), sign(lower, keys[:1])) == "not-enough-signatures"
    assert check_successor(now, PinnedSigners(signers, 2), sign(lower, keys)) == lower


@both
def test_an_opener_that_wants_less_gets_nothing(policy):
    """The threshold is in the shares: who solves for fewer finds no more."""
    device = Device(dataclasses.replace(policy, threshold=T + 5))
    messages = device.reals(range(T + 4)) + (device.dummies(range(T + 4, 64)) if policy is COVERED else [])
    for threshold in (2, 5, T, T + 4, T + 5):
        assert opened(messages, dataclasses.replace(policy, threshold=max(threshold, T))).opened == ()
        shares = [Voucher.parse(one).unseal(OPENER, Terms.of(policy)).share.shown for one in messages]
        assert solve(shares, threshold).outcome is not Solved.FOUND


# Cover: 10,000 vouchers, half real and half dummies.

VOUCHERS = 10_000
SHARE, REST = 8 * (1 + 64 + 5), 32 + 272


class Inside(DeviceSealer):
    """Seals as ever and notes what it put inside."""

    inner = b""

    def _enveloped(self, protected: bytes, inner: bytes) -> bytes:
        self.inner = inner
        return super()._enveloped(protected, inner)


@pytest.fixture(scope="module")
def insides():
    """Insides of 5,000 real vouchers, t - 1 an account, and of 5,000 dummies, (10000, 864) u8; lengths of vouchers.

    Random bytes are drawn from a seed, so that chance fails this test always or never.
    """
    draws = np.random.default_rng(1)
    sealer = Inside(device_key(1), COVERED, ACCOUNT)
    payload = Device(COVERED).payload(0)
    rows, lengths = [], set()
    with pytest.MonkeyPatch.context() as patch:
        for module in (sharing.secrets, envelope.secrets):
            patch.setattr(module, "token_bytes", draws.bytes)
        for number in itertools.count():
            if len(rows) >= VOUCHERS // 2:
                break
            shares = sealer.terms.shares(draws.bytes(32), WINDOW, ACCOUNT)
            for content in range(T - 1):
                matched = dataclasses.replace(payload, content_id=content, leaf_index=number)
                lengths.add(len(sealer.seal(matched, shares, content)))
                rows.append(sealer.inner)
        del rows[VOUCHERS // 2 :]
        for number in range(VOUCHERS // 2):
            lengths.add(len(sealer.seal_dummy(WINDOW, number % 64)))
            rows.append(sealer.inner)
    assert {len(row) for row in rows} == {SHARE + REST}
    return np.frombuffer(b"".join(rows), np.uint8).reshape(VOUCHERS, -1), lengths


IS_DUMMY = np.arange(VOUCHERS) >= VOUCHERS // 2


def differing_positions(insides: np.ndarray) -> np.ndarray:
    """Positions whose bytes are spread otherwise in dummies: chi-square, Bonferroni, 0.1 % overall."""
    found = []
    for position, column in enumerate(insides.T):
        counts = np.stack([np.bincount(column[one == IS_DUMMY], minlength=256) for one in (False, True)])
        counts = counts[:, counts.sum(0) > 0]
        expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
        statistic = float(((counts - expected) ** 2 / expected).sum())
        if counts.shape[1] > 1 and chi2.sf(statistic, counts.shape[1] - 1) < 0.001 / insides.shape[1]:
            found.append(position)
    return np.array(found, int)


def told_apart(insides: np.ndarray, model) -> bool:
    """Whether a classifier gets more, or fewer, right than chance in 99.9 % of cases (two-sided)."""
    order = np.random.default_rng(2).permutation(len(insides))
    guessed = cross_val_predict(model, insides[order], IS_DUMMY[order], cv=4)
    right = int((guessed == IS_DUMMY[order]).sum())
    low, high = binom.interval(0.999, len(insides), 0.5)
    return not low <= right <= high


def linear(insides: np.ndarray) -> bool:
    """Told apart by logistic regression on the bytes."""
    return told_apart(StandardScaler().fit_transform(insides), LogisticRegression(C=1e-3, max_iter=200))


def forest(insides: np.ndarray) -> bool:
    """Told apart by randomised trees on the bytes."""
    return told_apart(insides, ExtraTreesClassifier(40, max_depth=8, random_state=3))


def test_real_vouchers_and_dummies_have_one_size(insides):
    """10,000 vouchers, one length."""
    assert insides[1] == {1053}


def test_bytes_inside_are_spread_alike(insides):
    """Even to the holder of the opener's key, at no position of share, commitment and ciphertext."""
    assert differing_positions(insides[0]).size == 0


@pytest.mark.parametrize("classifier", [linear, forest])
def test_no_classifier_tells_real_vouchers_from_dummies(insides, classifier):
    """No better than a coin: within what 10,000 throws give 999 times in 1000."""
    assert not classifier(insides[0])


def with_top_bit(dummies: np.ndarray) -> None:
    """Values of 64 random bits, the fourth highest always set: out of 61 bits they would never be."""
    dummies[:, 8 * 20] |= 0x10


def with_plain_lengths(dummies: np.ndarray) -> None:
    """A payload's zeros, unencrypted."""
    dummies[:, -100:] = 0


def with_a_lazy_commitment(dummies: np.ndarray) -> None:
    """A commitment whose first byte is never over 200."""
    dummies[:, SHARE] %= 200


def with_small_x(dummies: np.ndarray) -> None:
    """An x of 60 bits, not 61."""
    dummies[:, 0] &= 0x0F


@pytest.mark.parametrize("spoil", [with_top_bit, with_plain_lengths, with_a_lazy_commitment, with_small_x])
def test_the_statistics_can_fail(insides, spoil):
    """Dummies that are less than random are told apart."""
    spoilt = insides[0].copy()
    spoil(spoilt[VOUCHERS // 2 :])
    assert differing_positions(spoilt).size
    assert with_a_lazy_commitment is spoil or linear(spoilt)


def test_the_forest_can_fail(insides):
    """The other classifier too."""
    spoilt = insides[0].copy()
    with_top_bit(spoilt[VOUCHERS // 2 :])
    assert forest(spoilt)


def test_an_account_of_t_is_told_apart_by_who_may():
    """What the statistics could not: with t of one account the opener sees the real ones. With t - 1 it does not."""
    device = Device(COVERED)
    for count in (T - 1, T):
        messages = device.reals(range(count)) + device.dummies(range(count, 64))
        shares = [Voucher.parse(one).unseal(OPENER, Terms.of(COVERED)).share.shown for one in messages]
        assert (solve(shares, T).outcome is Solved.FOUND) == (count == T)

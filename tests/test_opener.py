"""The opener's reports: what came of each account's window, and how many vouchers had which problem."""

from __future__ import annotations

import dataclasses

import pytest

from scanner.exports import ExportedWindow
from scanner.opener import Report, open_export
from scanner.vouchers import Result, Voucher
from tests.vouchers import second_client as second
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
    policy_of,
)

both = pytest.mark.parametrize("policy", BOTH, ids=lambda policy: policy.profile)
POLICIES = {policy.digest: policy for policy in BOTH}


def exported(vouchers: list[bytes], *devices: Device, account: bytes = ACCOUNT, window: int = WINDOW) -> ExportedWindow:
    keys = {device.sealer.device_id: device.public.public_bytes_raw() for device in devices}
    return ExportedWindow(account, window, keys, vouchers)


def report_of(window: ExportedWindow, policies=POLICIES, opener=OPENER) -> Report:
    (report,) = open_export([window], opener, policies)
    return report


def contents(report: Report) -> list[int]:
    return [payload.content_id for payload in report.opened]


@both
def test_below_and_at_the_threshold(policy):
    """Account, window and number of vouchers are told of all, contents only from t on."""
    device = Device(policy)
    for count in (0, 1, T - 1, T, T + 3):
        report = report_of(exported(device.reals(range(count)), device))
        expected = list(range(count)) if count >= T else []
        result = Result.OPENED if count >= T else Result.BELOW_THRESHOLD
        assert (report.account, report.window, report.vouchers) == (ACCOUNT, WINDOW, count)
        assert (report.result, contents(report), report.malformed) == (result, expected, {})


def test_each_account_has_its_report():
    """In the order of the export; one account's vouchers tell nothing of another's."""
    one, two = Device(MATCH_ONLY), Device(COVERED, 2, OTHER_ACCOUNT, bytes([8]) * 32)
    windows = [
        exported(one.reals(range(T)), one),
        exported(one.reals(range(3), window=WINDOW + 1), one, window=WINDOW + 1),
        exported(two.reals(range(T)) + two.dummies(range(T, 64)), two, account=OTHER_ACCOUNT),
    ]
    reports = list(open_export(windows, OPENER, POLICIES))
    assert [report.result for report in reports] == ["opened", "below-threshold", "opened"]
    assert [report.vouchers for report in reports] == [T, 3, 64]
    assert [(report.account, report.window) for report in reports] == [
        (ACCOUNT, WINDOW),
        (ACCOUNT, WINDOW + 1),
        (OTHER_ACCOUNT, WINDOW),
    ]


def test_a_content_is_told_once():
    """Though two devices sent it."""
    one, two = Device(MATCH_ONLY), Device(MATCH_ONLY, 2)
    report = report_of(exported(one.reals(range(T)) + two.reals(range(T)), one, two))
    assert contents(report) == list(range(T))
    assert report.vouchers == 2 * T


def test_too_much_junk_is_ambiguous():
    """More than can be told apart is said to be so, not to be too little."""
    one, two = Device(MATCH_ONLY), Device(MATCH_ONLY, 2)
    report = report_of(exported(two.dummies(range(40)) + one.reals(range(T)), one, two))
    assert (report.result, report.opened, report.malformed) == (Result.AMBIGUOUS, (), {})


@both
def test_what_is_malformed_is_counted_by_name_and_spoils_nothing(policy):
    """One or two of each kind beside t real vouchers."""
    device, other, stranger = Device(policy), Device(policy, 2), Device(policy, 3)
    unknown = Device(dataclasses.replace(policy, serial=9), 2)
    good = device.reals(range(T))
    altered = bytearray(good[0])
    altered[-1] ^= 1
    elsewhere = second.protected_of(device.sealer.device_id, WINDOW, 50, policy.digest)
    vouchers = [
        b"", b"no voucher",  # malformed
        bytes(5000),  # too-large
        bytes(altered),  # bad-signature
        stranger.real(0, 0),  # unknown-device
        unknown.real(0, 0), unknown.real(1, 1),  # unknown-policy
        device.real(60, 0, WINDOW + 1), device.real(61, 0, WINDOW - 1),  # wrong-window
        second.signed(device.key, elsewhere, Voucher.parse(good[0])._sealed),  # does-not-open
        device.crafted(51, device.values(70), 70, bytes(32)),  # other-key
        other.crafted(52, device.values(71), payload=other.payload(71, account=OTHER_ACCOUNT)),
        other.crafted(53, device.values(72), payload=other.payload(72, policy_digest=bytes(32))),
        *good,
        good[4], device.real(5, 5), device.real(80, 6),  # repeated: the same bytes, and others in the same place
    ]  # fmt: skip
    report = report_of(exported(vouchers, device, other))
    assert contents(report) == list(range(T))
    assert report.vouchers == len(vouchers)
    assert report.malformed == {
        "malformed": 2, "too-large": 1, "bad-signature": 1, "unknown-device": 1, "unknown-policy": 2, "wrong-window": 2,
        "does-not-open": 1, "other-key": 1, "other-account": 1, "other-policy": 1, "repeated": 3,
    }  # fmt: skip


@both
def test_one_place_counts_once(policy):
    """t matches of which two are in one place are t - 1, though the device signed both."""
    device = Device(policy)
    vouchers = [*device.reals(range(T - 1)), device.real(T, 0)]
    report = report_of(exported(vouchers, device))
    assert (report.result, report.opened, report.malformed) == (Result.BELOW_THRESHOLD, (), {"repeated": 1})


@both
def test_a_wrong_key_in_the_export_is_no_key(policy):
    """A device's id is of its key: whoever writes the export can't put in their own."""
    device, stranger = Device(policy), Device(policy, 2)
    honest = exported(device.reals(range(T)), device)
    for key, problem in {
        stranger.public.public_bytes_raw(): "wrong-device",
        bytes(32): "wrong-device",
        bytes(31): "unknown-device",
        b"": "unknown-device",
    }.items():
        report = report_of(dataclasses.replace(honest, devices={device.sealer.device_id: key}))
        assert (report.result, report.opened, report.malformed) == (Result.BELOW_THRESHOLD, (), {problem: T})
    assert report_of(dataclasses.replace(honest, devices={})).malformed == {"unknown-device": T}


@both
def test_an_account_under_another_name_is_refused(policy):
    """The account stands in the payload: nobody is blamed for another."""
    device = Device(policy)
    report = report_of(exported(device.reals(range(T)), device, account=OTHER_ACCOUNT))
    assert (report.result, report.opened, report.malformed) == (Result.BELOW_THRESHOLD, (), {"other-account": T})


@both
def test_windows_put_together_are_not(policy):
    """Half before and half after the boundary, exported as one."""
    device = Device(policy)
    vouchers = device.reals(range(T // 2)) + device.reals(range(T // 2, T), T // 2, WINDOW + 1)
    report = report_of(exported(vouchers, device))
    assert (report.result, report.malformed) == (Result.BELOW_THRESHOLD, {"wrong-window": T // 2})


@both
def test_a_list_update_keeps_the_count(policy):
    """Two editions of one threshold and profile count together."""
    newer = dataclasses.replace(policy, serial=2, hashset_digest=bytes([8]) * 32)
    before, after = Device(policy), Device(newer)
    vouchers = before.reals(range(T // 2)) + after.reals(range(T // 2, T), T // 2)
    report = report_of(exported(vouchers, before), {policy.digest: policy, newer.digest: newer})
    assert contents(report) == list(range(T))
    assert report_of(exported(vouchers, before)).malformed == {"unknown-policy": T - T // 2}


def test_other_terms_are_opened_by_themselves():
    """One threshold reached and another not: the result is that something opened; only that is told."""
    higher = policy_of(threshold=T + 2)
    one, two = Device(MATCH_ONLY), Device(higher, 2)
    policies = {**POLICIES, higher.digest: higher}
    report = report_of(exported(one.reals(range(T)) + two.reals(range(100, 100 + T + 1)), one, two), policies)
    assert (report.result, contents(report)) == (Result.OPENED, list(range(T)))
    few = report_of(exported(one.reals(range(T - 1)) + two.reals(range(100, 100 + T + 1)), one, two), policies)
    assert (few.result, few.opened) == (Result.BELOW_THRESHOLD, ())
    cover = Device(COVERED, 2)
    mixed = report_of(exported(one.reals(range(T - 1)) + cover.reals(range(50, 50 + T - 1)), one, cover), POLICIES)
    assert (mixed.result, mixed.opened) == (Result.BELOW_THRESHOLD, ())


def test_ambiguous_is_not_forgotten_for_below_the_threshold():
    """Whichever terms come first."""
    one, two, cover = Device(MATCH_ONLY), Device(MATCH_ONLY, 2), Device(COVERED, 3)
    junk = two.dummies(range(40)) + one.reals(range(T))
    few = cover.reals(range(3))
    for vouchers in (junk + few, few + junk):
        assert report_of(exported(vouchers, one, two, cover)).result is Result.AMBIGUOUS


@both
def test_another_openers_key_opens_nothing(policy):
    """All are told as what they are to this key."""
    device = Device(policy)
    report = report_of(exported(device.reals(range(T)), device), opener=OTHER_OPENER)
    assert (report.opened, report.malformed) == ((), {"does-not-open": T})

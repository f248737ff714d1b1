"""The opener's side: from the vouchers of one account and window to what they tell, or to nothing.

Rules: below the threshold nothing is told but that; a payload counts only if it opens with the key that t different
shares gave, under its own header and account; what is malformed is told, and spoils nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scanner.errors import VoucherError
from scanner.vouchers.envelope import Unsealed, Voucher
from scanner.vouchers.payload import Payload
from scanner.vouchers.sharing import Share, account_key_of
from scanner.vouchers.solving import Outcome, solve
from scanner.vouchers.terms import SLOTS_WITH_COVER, Terms


class Result(StrEnum):
    """What came of an account's window."""

    OPENED = "opened"
    BELOW_THRESHOLD = "below-threshold"
    AMBIGUOUS = "ambiguous"


_RESULTS = {
    Outcome.FOUND: Result.OPENED,
    Outcome.BELOW_THRESHOLD: Result.BELOW_THRESHOLD,
    Outcome.AMBIGUOUS: Result.AMBIGUOUS,
}


@dataclass(frozen=True, slots=True)
class OpenedVoucher:
    """A voucher that opened.

    Attributes:
        index: its position in what was given.
        payload: what it tells.
    """

    index: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class OpenedWindow:
    """What the vouchers of one account and window gave.

    Attributes:
        result: opened; below the threshold; or ambiguous: more junk than the shares can be told from.
        opened: vouchers that opened, in order; none unless ``OPENED``.
        malformed: positions of vouchers that can't be what they should be, with the problem's name.
    """

    result: Result
    opened: tuple[OpenedVoucher, ...]
    malformed: tuple[tuple[int, str], ...]


def open_window(
    vouchers: Sequence[Voucher], opener_key: X25519PrivateKey, terms: Terms, account: bytes
) -> OpenedWindow:
    """Open an account's vouchers of one window and one kind of terms, if there are enough.

    Args:
        vouchers: verified, each in a place of its own.
        opener_key: the opener's private key.
        terms: of the policies that the headers name.
        account: the account that the intake has for their devices, 16 bytes.
    """
    unsealed: dict[int, Unsealed] = {}
    malformed: dict[int, str] = {}
    for index, voucher in enumerate(vouchers):
        try:
            if terms.covered and voucher.header.slot >= SLOTS_WITH_COVER:
                raise VoucherError("malformed", f"with cover a window has {SLOTS_WITH_COVER} slots")
            unsealed[index] = voucher.unseal(opener_key, terms)
        except VoucherError as error:
            malformed[index] = error.problem
    positions = list(unsealed)
    solution = solve([unsealed[index].share.shown for index in positions], terms.threshold)
    opened: dict[int, OpenedVoucher] = {}
    for group in solution.groups:
        members = [positions[member] for member in group.indices]
        found, wrong = _opened(members, unsealed, vouchers, terms.threshold, account)
        malformed.update(wrong)
        opened.update((one.index, one) for one in found)
    result = _RESULTS[solution.outcome]
    if not opened and result is Result.OPENED:
        result = Result.BELOW_THRESHOLD  # shares that fit, in vouchers that do not: t of them are not there
    told = sorted((index, problem) for index, problem in malformed.items() if index not in opened)
    return OpenedWindow(result, tuple(opened[index] for index in sorted(opened)), tuple(told))


def _opened(
    members: list[int], unsealed: dict[int, Unsealed], vouchers: Sequence[Voucher], threshold: int, account: bytes
) -> tuple[list[OpenedVoucher], list[tuple[int, str]]]:
    """Payloads of a group, if t of them open with one key, and what is wrong with the others.

    A share that shows among the others may still have made-up values for the key. Members are therefore taken t in a
    row, beginning at each, in the order of their devices: of those some row has none by one bad device.
    """
    order = sorted(members, key=lambda index: (vouchers[index].header.device_id, vouchers[index].header.slot))
    tried = set()
    problems = [(index, "other-key") for index in members]
    for start, first in enumerate(order):
        row = _different([unsealed[index].share.keyed for index in order[start:] + order[:start]], threshold)
        key = _key_of(row)
        if key in tried or not unsealed[first].is_under(key):
            continue
        tried.add(key)
        found, wrong = _payloads(members, unsealed, vouchers, key, account)
        different = {unsealed[one.index].share.shown.x for one in found}, {one.payload.content_id for one in found}
        if min(map(len, different)) >= threshold:
            return found, wrong
        problems = min(wrong, problems, key=lambda each: sum(problem == "other-key" for _, problem in each))
    return [], problems


def _different(shares: list[Share], count: int) -> list[Share]:
    """The first shares of so many different x."""
    chosen: dict[int, Share] = {}
    for share in shares:
        chosen.setdefault(share.x, share)
        if len(chosen) == count:
            break
    return list(chosen.values())


def _key_of(shares: list[Share]) -> bytes:
    """The account's key, from t different shares: their polynomials have degree t - 1."""
    from scanner.vouchers import _field_kernels as kernels

    xs = np.array([share.x for share in shares], np.uint64)
    ys = np.array([share.ys for share in shares], np.uint64)
    polynomials = np.empty_like(ys)
    kernels.interpolate_into(xs, ys, polynomials)
    return account_key_of(polynomials[0].tolist())


def _payloads(
    indices: Sequence[int], unsealed: dict[int, Unsealed], vouchers: Sequence[Voucher], key: bytes, account: bytes
) -> tuple[list[OpenedVoucher], list[tuple[int, str]]]:
    found, wrong = [], []
    for index in indices:
        try:
            payload = unsealed[index].open(key)
            if payload.policy_digest != vouchers[index].header.policy_digest:
                raise VoucherError("other-policy", "the voucher names one policy outside and another inside")
            if payload.account != account:
                raise VoucherError("other-account", "the voucher names another account than its device's")
        except VoucherError as error:
            wrong.append((index, error.problem))
        else:
            found.append(OpenedVoucher(index, payload))
    return found, wrong

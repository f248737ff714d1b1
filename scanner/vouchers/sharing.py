"""The device's side of the threshold: one share a content, of a key that only enough different contents give away.

Rules: the same content gives the same share in a window, so that sending a picture again brings nobody nearer the
threshold; a secret is never turned back into the one of the window before; every derived value depends on window,
account, threshold and number of polynomials, so that shares made under two policies have nothing in common.

What is derived from a window's secret K_w, 32 bytes; ``context`` is window (4 bytes) ‖ account (16) ‖ t (2) ‖ P (2)::

    K_{w+1}       HKDF-SHA256(K_w, no salt, "prescan/v1/next-window"), 32 bytes
    k_x           HKDF-SHA256(K_w, no salt, "prescan/v1/share-x" ‖ context), 32 bytes
    k_p           HKDF-SHA256(K_w, no salt, "prescan/v1/share-polynomials" ‖ context), 32 bytes
    coefficients  SHAKE-256(k_p), 16 bytes each modulo p: the P constant terms, then the P terms of x, and so on
    account key   SHA-512("prescan/v1/account-key" ‖ the P constant terms, 8 bytes each), the first 32 bytes
    x             HMAC-SHA512(k_x, content id, 8 bytes) modulo p; should it be 0, then 1

The polynomials have degree t - 2. Any t - 1 shares are therefore jointly uniform, as dummies are; t of them show (see
:mod:`scanner.vouchers.solving`). But whoever knows *which* t - 1 shares are real can interpolate them; up to t - 2
leave every constant term equally possible. Vouchers therefore take their key from polynomials of a degree more (see
:mod:`scanner.vouchers.terms`).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers.field import ELEMENT_BYTES, PRIME, WIDE_BYTES, spread, to_bytes
from scanner.vouchers.header import WINDOWS

SECRET_BYTES = 32
ACCOUNT_BYTES = 16
POLYNOMIALS_WITH_COVER = 64
POLYNOMIALS_WITHOUT_COVER = 8
FEWEST_POLYNOMIALS = 5
"""Five constant terms hold 305 bits, four not the 256 of a key."""
MOST_STEPS = 1000
"""Windows a secret is stepped at once: 76 years."""

_MOST = (1 << 16) - 1  # thresholds and polynomials; their field has two bytes
_CONTEXT = struct.Struct(">I16sHH")
_NEXT = b"prescan/v1/next-window"
_X = b"prescan/v1/share-x"
_POLYNOMIALS = b"prescan/v1/share-polynomials"
_ACCOUNT_KEY = b"prescan/v1/account-key"


@dataclass(frozen=True, slots=True)
class Share:
    """One point on each of the account's polynomials. What it holds is not shown in logs.

    Attributes:
        x: where; an element of the field, not 0.
        ys: the values of the P polynomials there; elements of the field.
    """

    x: int = field(repr=False)
    ys: tuple[int, ...] = field(repr=False)

    def to_bytes(self) -> bytes:
        """Write x, then the values: 8 bytes each."""
        return b"".join(map(to_bytes, (self.x, *self.ys)))

    @classmethod
    def from_bytes(cls, data: bytes, polynomials: int) -> Share:
        """Read a share of so many polynomials.

        Raises:
            VoucherError: ``malformed``: another length, a number that is no element of the field, or x = 0.
        """
        if len(data) != ELEMENT_BYTES * (1 + polynomials):
            raise VoucherError("malformed", f"a share of {polynomials} polynomials does not have {len(data)} bytes")
        x, *ys = struct.unpack(f">{1 + polynomials}Q", data)
        if not 0 < x < PRIME or max(ys, default=0) >= PRIME:
            raise VoucherError("malformed", "a share holds a number that is out of the field's range")
        return cls(x, tuple(ys))


class WindowShares:
    """Makes the shares of one account in one window. Safe to use from many threads until it is erased.

    Args:
        secret: K_w, 32 bytes. It is not kept.
        window: number of the window.
        account: id of the account, 16 bytes.
        threshold: different contents it takes; at least 2.
        polynomials: values in a share: :data:`POLYNOMIALS_WITH_COVER` or :data:`POLYNOMIALS_WITHOUT_COVER`.

    Raises:
        ArgumentError: a value is of another length or out of range.
    """

    def __init__(
        self, secret: bytes | bytearray, window: int, account: bytes, *, threshold: int, polynomials: int
    ) -> None:
        _check_window(window)
        if len(account) != ACCOUNT_BYTES:
            raise ArgumentError(f"an account id has {ACCOUNT_BYTES} bytes, this has {len(account)}")
        if not 2 <= threshold <= _MOST:
            raise ArgumentError(f"a threshold is 2 to {_MOST}, not {threshold}")
        if not FEWEST_POLYNOMIALS <= polynomials <= _MOST:
            raise ArgumentError(f"a share is of {FEWEST_POLYNOMIALS} to {_MOST} polynomials, not {polynomials}")
        self.window = window
        self.threshold = threshold
        self.polynomials = polynomials
        context = _CONTEXT.pack(window, account, threshold, polynomials)
        self._x_key = bytearray(derive(secret, _X + context))
        stream = hashlib.shake_256(derive(secret, _POLYNOMIALS + context))
        terms = threshold - 1
        self._coefficients = spread(stream.digest(WIDE_BYTES * terms * polynomials)).reshape(terms, polynomials)
        self._account_key = bytearray(account_key_of(self._coefficients[0].tolist()))

    @property
    def account_key(self) -> bytes:
        """The key that payloads are encrypted under, 32 bytes.

        Raises:
            ArgumentError: erased.
        """
        self._check_not_erased()
        return bytes(self._account_key)

    def share(self, content_id: int) -> Share:
        """Make the share of a content: always the same one.

        Args:
            content_id: 0 to ``2**64 - 1``.

        Raises:
            ArgumentError: out of that range, or erased.
        """
        self._check_not_erased()
        if not 0 <= content_id < 1 << 64:
            raise ArgumentError("a content id is from 0 to 2^64 - 1")
        x = x_of(hmac.digest(self._x_key, content_id.to_bytes(8), "sha512"))
        return Share(x, self.values_at(x))

    def values_at(self, x: int) -> tuple[int, ...]:
        """The values of the polynomials at x, an element of the field that is not 0.

        Raises:
            ArgumentError: another x, or erased.
        """
        from scanner.vouchers import _field_kernels as kernels

        self._check_not_erased()
        if not 0 < x < PRIME:
            raise ArgumentError("shares are made at elements of the field that are not 0")
        ys = np.empty(self.polynomials, np.uint64)
        kernels.evaluate_into(self._coefficients, np.uint64(x), ys)
        return tuple(ys.tolist())

    def erase(self) -> None:
        """Overwrite the keys and polynomials held here; nothing can be made afterwards.

        What Python does not let us overwrite: the bytes the secret came in, if they were not a bytearray, and those
        that HKDF and SHAKE gave on the way; keys and shares handed out; copies the allocator or the system made. They
        last until their memory is used again. Erasing is therefore no defence against who reads this process's memory
        soon after, only against later.
        """
        self._x_key[:] = bytes(len(self._x_key))
        self._account_key[:] = bytes(len(self._account_key))
        self._coefficients[:] = 0
        self.polynomials = 0

    def _check_not_erased(self) -> None:
        if not self.polynomials:
            raise ArgumentError("the shares of this window were erased")


def dummy_share(polynomials: int) -> Share:
    """Make a share of nothing, for cover: random elements, as a real share's are to who has fewer than t of them."""
    x, *ys = spread(secrets.token_bytes(WIDE_BYTES * (1 + polynomials))).tolist()
    return Share(x or 1, tuple(ys))


def next_secret(secret: bytes | bytearray) -> bytes:
    """K_{w+1} from K_w. There is no way back; erase K_w afterwards.

    Raises:
        ArgumentError: the secret does not have 32 bytes.
    """
    return derive(secret, _NEXT)


def secret_for(secret: bytes | bytearray, window_from: int, window_to: int) -> bytes:
    """The secret of a later window, or the same one.

    Args:
        secret: that of ``window_from``, 32 bytes.
        window_from: its window.
        window_to: the window wanted; at most :data:`MOST_STEPS` later.

    Raises:
        ArgumentError: the window is an earlier one, too much later or out of range, or the secret has another length.
    """
    _check_secret(secret)
    _check_window(window_from)
    _check_window(window_to)
    if window_to < window_from:
        raise ArgumentError(f"the secret of window {window_from} does not give that of the earlier {window_to}")
    if window_to - window_from > MOST_STEPS:
        raise ArgumentError(f"{window_to} is more than {MOST_STEPS} windows after {window_from}; is the clock right?")
    for _ in range(window_to - window_from):
        secret = next_secret(secret)
    return bytes(secret)


def account_key_of(constant_terms: Sequence[int]) -> bytes:
    """The account key, 32 bytes, from the constant terms of the P polynomials."""
    return hashlib.sha512(_ACCOUNT_KEY + b"".join(map(to_bytes, constant_terms))).digest()[:32]


def x_of(digest: bytes) -> int:
    """A digest as a place to evaluate at: as a big-endian number modulo the prime, and 1 for 0.

    At 0 the values would be the constant terms themselves. One digest in 2^61 is affected; that 1 is then twice as
    likely as other places moves the distribution by 2^-61.
    """
    return int.from_bytes(digest) % PRIME or 1


def derive(secret: bytes | bytearray, info: bytes) -> bytes:
    """Another secret of 32 bytes, by HKDF-SHA256 without salt.

    Raises:
        ArgumentError: the secret does not have 32 bytes.
    """
    _check_secret(secret)
    return HKDF(hashes.SHA256(), SECRET_BYTES, None, info).derive(bytes(secret))


def _check_secret(secret: bytes | bytearray) -> None:
    if len(secret) != SECRET_BYTES:
        raise ArgumentError(f"a window's secret has {SECRET_BYTES} bytes, this has {len(secret)}")


def _check_window(window: int) -> None:
    if not 0 <= window < WINDOWS:
        raise ArgumentError(f"a window is 0 to {WINDOWS - 1}, not {window}")

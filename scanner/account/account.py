"""An account in one window, and the text it is written as.

An account is shared by the devices of one user. Its text, like that of a keyring's entry, is a label, then in base32 a
body, whose first byte is the version, and a checksum.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import struct
from dataclasses import dataclass, field

from scanner.errors import ArgumentError
from scanner.vouchers.header import WINDOWS, window_at
from scanner.vouchers.sharing import ACCOUNT_BYTES, MOST_STEPS, SECRET_BYTES, secret_for

VERSION = 1

_ACCOUNT = "PRESCAN:"
_CHECK_BYTES = 7  # makes an account 60 bytes: base32 without padding
_ACCOUNT_BODY = struct.Struct(f">B{ACCOUNT_BYTES}sI{SECRET_BYTES}s")  # version, account id, window, its secret


@dataclass(frozen=True, slots=True)
class Account:
    """An account in one window. The secret is not shown in logs.

    Attributes:
        account_id: 16 bytes.
        window: number of the window.
        secret: K_w, 32 bytes.

    Raises:
        ArgumentError: a value is of another length or out of range.
    """

    account_id: bytes
    window: int
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.account_id) != ACCOUNT_BYTES:
            raise ArgumentError(f"an account id has {ACCOUNT_BYTES} bytes, this has {len(self.account_id)}")
        if not 0 <= self.window < WINDOWS:
            raise ArgumentError(f"a window is 0 to {WINDOWS - 1}, not {self.window}")
        if len(self.secret) != SECRET_BYTES:
            raise ArgumentError(f"a window's secret has {SECRET_BYTES} bytes, this has {len(self.secret)}")

    def at(self, now: float) -> Account:
        """The account in the window of a moment, in seconds since 1970; itself if that is not a later one.

        Raises:
            ArgumentError: that window is more than :data:`MOST_STEPS` later, or ``now`` is no number.
        """
        window = window_of(now)
        if window <= self.window:
            return self
        if window - self.window > MOST_STEPS:
            raise ArgumentError(
                f"the clock says window {window}, more than {MOST_STEPS} after the stored {self.window}; set it right"
            )
        return Account(self.account_id, window, secret_for(self.secret, self.window, window))

    def to_text(self) -> str:
        """Write all that another device of the account needs: 104 characters, of a QR code's alphanumeric mode.

        Whoever reads this text has the account's secrets of its window and of every later one, for ever: together with
        the opener they read every voucher of the account, below the threshold too. Show it to another device of the
        same user alone; don't send, store or print it. It can't be revoked, only left behind by making a new account.
        """
        return to_text(_ACCOUNT, _ACCOUNT_BODY.pack(VERSION, self.account_id, self.window, self.secret))

    @classmethod
    def from_text(cls, text: str) -> Account:
        """Read the text that another device of the user shows; case and white space don't matter.

        The checksum finds errors, not malice: whoever made the text knows the account's secrets. Take it from a device
        of the user's own alone.

        Raises:
            ArgumentError: it is no account's text, damaged, or of another version.
        """
        body = from_text(_ACCOUNT, "".join(text.split()).upper(), _ACCOUNT_BODY.size, "an account's text")
        _, account_id, window, secret = _ACCOUNT_BODY.unpack(body)
        return cls(account_id, window, secret)


def window_of(now: float) -> int:
    """The window of a moment, in seconds since 1970.

    Raises:
        ArgumentError: ``now`` is no number.
    """
    if not math.isfinite(now):
        raise ArgumentError(f"a moment is a number of seconds since 1970, not {now}")
    return window_at(now)


def _check(label: str, body: bytes) -> bytes:
    return hashlib.sha256(label.encode("ascii") + body).digest()[:_CHECK_BYTES]


def to_text(label: str, body: bytes) -> str:
    """Write a body, whose first byte is the version, with its label and its checksum."""
    return label + base64.b32encode(body + _check(label, body)).decode("ascii").rstrip("=")


def from_text(label: str, text: str, size: int, what: str) -> bytes:
    """The body, whose first byte is the version.

    Args:
        label: what the text begins with.
        text: it, as it was written.
        size: of the body, in bytes.
        what: what it is, for the message.

    Raises:
        ArgumentError: it has another label, version or size, or is damaged.
    """
    if not text.startswith(label):
        raise ArgumentError(f"this is not {what}; it begins with {label}")
    digits = text.removeprefix(label)
    try:
        data = base64.b32decode(digits + "=" * (-len(digits) % 8))
    except (binascii.Error, ValueError):
        raise ArgumentError(f"{what} is damaged; copy it again, whole") from None
    body = data[:-_CHECK_BYTES]
    if not body or data[-_CHECK_BYTES:] != _check(label, body):
        raise ArgumentError(f"{what} is damaged; copy it again, whole")
    if body[0] != VERSION:
        raise ArgumentError(f"{what} is of version {body[0]}; this release reads {VERSION}")
    if len(body) != size:
        raise ArgumentError(f"{what} is damaged; copy it again, whole")
    return body

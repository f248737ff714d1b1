"""What a policy means for shares: how many it takes to show which are real, and how many to have the key.

A voucher holds one x and the values there of two kinds of polynomials, both drawn from the window's secret:

*  P of degree t - 2, 8 without cover and 64 with it. They show which vouchers are real: t of them are dependent, while
   t - 1 look like dummies (scanner.vouchers.solving).
*  5 of degree t - 1, whose constant terms are the account's key. t vouchers give it; t - 1 leave every key equally
   possible, even to who knows, or guessed, which of them are real. They are drawn from another secret for each profile,
   HKDF-SHA256(K_w, no salt, "prescan/v1/share-key" ‖ P, 2 bytes): else few vouchers of one profile and few of the other
   would be points on the same polynomials, and enough together.

=============  ====================================================================================================
profile        what a device sends
=============  ====================================================================================================
match-only     a voucher for each new match and nothing else; their number is seen
covered        one voucher in each of 64 slots a window, real if one waits, else a dummy
=============  ====================================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scanner.vouchers.field import ELEMENT_BYTES
from scanner.vouchers.policy import COVERED, Policy
from scanner.vouchers.sharing import (
    FEWEST_POLYNOMIALS,
    POLYNOMIALS_WITH_COVER,
    POLYNOMIALS_WITHOUT_COVER,
    Share,
    WindowShares,
    derive,
    dummy_share,
)

SLOTS_WITH_COVER = 64
"""Vouchers a device sends in each window when it sends cover."""

KEY_POLYNOMIALS = FEWEST_POLYNOMIALS
_KEY_SECRET = b"prescan/v1/share-key"


@dataclass(frozen=True, slots=True)
class KeyedShare:
    """What a voucher holds of the secret polynomials.

    Attributes:
        shown: a point on the polynomials that show which vouchers are real.
        keyed: the same x on the polynomials that give the key.
    """

    shown: Share
    keyed: Share

    def to_bytes(self) -> bytes:
        """Write x, then both kinds of values: 8 bytes each."""
        return self.shown.to_bytes() + self.keyed.to_bytes()[ELEMENT_BYTES:]

    @classmethod
    def from_bytes(cls, data: bytes, terms: Terms) -> KeyedShare:
        """Read a share of these terms.

        Raises:
            VoucherError: ``malformed``.
        """
        end = ELEMENT_BYTES * (1 + terms.polynomials)
        shown = Share.from_bytes(data[:end], terms.polynomials)
        return cls(shown, Share.from_bytes(data[:ELEMENT_BYTES] + data[end:], KEY_POLYNOMIALS))


class AccountShares:
    """Makes an account's shares in one window, under one kind of terms. Made by :meth:`Terms.shares`.

    Args:
        shown: polynomials of degree t - 2.
        keyed: polynomials of degree t - 1.
        terms: what they are made for.
    """

    def __init__(self, shown: WindowShares, keyed: WindowShares, terms: Terms) -> None:
        self._shown = shown
        self._keyed = keyed
        self.terms = terms
        self.window = shown.window

    @property
    def account_key(self) -> bytes:
        """The key that payloads are encrypted under, 32 bytes; ArgumentError once erased."""
        return self._keyed.account_key

    def share(self, content_id: int) -> KeyedShare:
        """Make the share of a content, always the same one; errors as for :meth:`WindowShares.share`."""
        shown = self._shown.share(content_id)
        return KeyedShare(shown, Share(shown.x, self._keyed.values_at(shown.x)))

    def erase(self) -> None:
        """As :meth:`WindowShares.erase`."""
        self._shown.erase()
        self._keyed.erase()


class Terms(NamedTuple):
    """What shares depend on; vouchers of one account, window and terms are opened together.

    Attributes:
        threshold: different contents it takes to open any.
        covered: whether dummies are among them.
    """

    threshold: int
    covered: bool

    @classmethod
    def of(cls, policy: Policy) -> Terms:
        """The terms of a policy."""
        return cls(policy.threshold, policy.profile == COVERED)

    @property
    def polynomials(self) -> int:
        """How many show which vouchers are real."""
        return POLYNOMIALS_WITH_COVER if self.covered else POLYNOMIALS_WITHOUT_COVER

    @property
    def share_bytes(self) -> int:
        """Length of a share in a voucher."""
        return ELEMENT_BYTES * (1 + self.polynomials + KEY_POLYNOMIALS)

    def shares(self, secret: bytes | bytearray, window: int, account: bytes) -> AccountShares:
        """Make what makes an account's shares in a window; errors as for :class:`WindowShares`."""
        shown = WindowShares(secret, window, account, threshold=self.threshold, polynomials=self.polynomials)
        key_secret = derive(secret, _KEY_SECRET + self.polynomials.to_bytes(2))
        keyed = WindowShares(key_secret, window, account, threshold=self.threshold + 1, polynomials=KEY_POLYNOMIALS)
        return AccountShares(shown, keyed, self)

    def dummy(self) -> KeyedShare:
        """Make a share of nothing, for cover."""
        both = dummy_share(self.polynomials + KEY_POLYNOMIALS)
        return KeyedShare(Share(both.x, both.ys[: self.polynomials]), Share(both.x, both.ys[self.polynomials :]))

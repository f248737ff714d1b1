"""Keys, policies and devices for tests of vouchers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scanner.vouchers import DeviceSealer, OpenedWindow, Payload, Policy, Terms, Voucher, open_window
from tests.vouchers import second_client

OPENER = X25519PrivateKey.from_private_bytes(bytes([3]) * 32)
OTHER_OPENER = X25519PrivateKey.from_private_bytes(bytes([4]) * 32)
ACCOUNT = bytes(range(16))
OTHER_ACCOUNT = bytes(range(16, 32))
SECRET = bytes([7]) * 32
WINDOW = 735
T = 10
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32).public_key().public_bytes_raw()


def policy_of(profile: str = "match-only", threshold: int = T, **changes: object) -> Policy:
    """A policy; each test names only what matters to it."""
    usual = Policy(
        serial=1, threshold=threshold, profile=profile, algorithm="pdq", radius=31, quality_floor=50,
        opener_key=OPENER.public_key().public_bytes_raw(), hashset_digest=bytes([9]) * 32, hashset_name="list",
        not_before=0, signers=(SIGNER,), quorum=1, ordinary=1,
    )  # fmt: skip
    return dataclasses.replace(usual, **changes)


MATCH_ONLY, COVERED = policy_of(), policy_of("covered")
BOTH = (MATCH_ONLY, COVERED)


def device_key(number: int) -> Ed25519PrivateKey:
    """A device's key, another one for each number."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


class Device:
    """A device of an account that matches what it is told to."""

    def __init__(self, policy: Policy, number: int = 1, account: bytes = ACCOUNT, secret: bytes = SECRET) -> None:
        self.key = device_key(number)
        self.public = self.key.public_key()
        self.sealer = DeviceSealer(self.key, policy, account)
        self.policy, self.account, self.secret = policy, account, secret
        self._shares: dict[int, object] = {}

    def shares(self, window: int = WINDOW):
        """The account's shares in a window."""
        if window not in self._shares:
            self._shares[window] = self.sealer.terms.shares(self.secret, window, self.account)
        return self._shares[window]

    def payload(self, content: int, **changes: object) -> Payload:
        """What it would tell of a match."""
        usual = Payload(
            content, 5, self.policy.digest, "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32, self.account,
            b"build",
        )  # fmt: skip
        return dataclasses.replace(usual, **changes)

    def real(self, content: int, slot: int, window: int = WINDOW) -> bytes:
        """The voucher of a match."""
        return self.sealer.seal(self.payload(content), self.shares(window), slot)

    def reals(self, contents: Iterable[int], start: int = 0, window: int = WINDOW) -> list[bytes]:
        """Vouchers of matches in slots from one on."""
        return [self.real(content, slot, window) for slot, content in enumerate(contents, start)]

    def dummies(self, slots: Iterable[int], window: int = WINDOW) -> list[bytes]:
        """Vouchers of nothing."""
        return [self.sealer.seal_dummy(window, slot) for slot in slots]

    def crafted(
        self, slot: int, share: list[int], content: int = 0, key: bytes | None = None, payload: Payload | None = None
    ) -> bytes:
        """A voucher with any share, account key and payload: what a client that keeps no rules can make."""
        protected = second_client.protected_of(self.sealer.device_id, WINDOW, slot, self.policy.digest)
        payload = payload or self.payload(content)
        inner = second_client.inner_of(share, key or self.shares().account_key, protected, payload.to_bytes())
        return second_client.wrapped(self.key, self.policy.opener_key, protected, inner)

    def values(self, content: int) -> list[int]:
        """The numbers of an honest share."""
        share = self.shares().share(content)
        return [share.shown.x, *share.shown.ys, *share.keyed.ys]


def opened(
    messages: Iterable[bytes], policy: Policy, account: bytes = ACCOUNT, opener: X25519PrivateKey = OPENER
) -> OpenedWindow:
    """Open messages, as verified before."""
    return open_window([Voucher.parse(message) for message in messages], opener, Terms.of(policy), account)


def contents(window: OpenedWindow) -> list[int]:
    """What an opened window tells."""
    return [one.payload.content_id for one in window.opened]

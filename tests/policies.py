"""A policy, an account and its secrets, as the tests of devices, intake and opener need them. All keys are fixed."""

from __future__ import annotations

import functools
import hashlib
import threading

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from scanner.hashset import HashSet, LayeredSet
from scanner.vouchers import DeviceSealer, Payload, PinnedSigners, Policy, Terms, Voucher, policies, window_at

NOW = 1_800_000_000.0
WINDOW = window_at(NOW)
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32)
PINNED = PinnedSigners((SIGNER.public_key().public_bytes_raw(),), 1)
OPENER = X25519PrivateKey.from_private_bytes(bytes([3]) * 32)
ACCOUNT = bytes(range(16))
OTHER_ACCOUNT = bytes(range(16, 32))
ROOT = bytes(range(32))


def signed_off(policy: Policy) -> Policy:
    """Sign a policy and accept it as a device does at its first start."""
    return policies.check_successor(None, PINNED, policies.sign(policy, [SIGNER]))


def policy_of(**changes) -> Policy:
    """A policy signed off: threshold 10, without cover, for a list that does not exist."""
    values = {
        "serial": 1,
        "threshold": 10,
        "profile": policies.MATCH_ONLY,
        "algorithm": "pdq",
        "radius": 31,
        "quality_floor": 50,
        "opener_key": OPENER.public_key().public_bytes_raw(),
        "hashset_digest": bytes([9]) * 32,
        "hashset_name": "a list",
        "not_before": 0,
        "signers": PINNED.keys,
        "quorum": 1,
        "ordinary": 1,
    }
    return signed_off(Policy(**values | changes))


def policy_for(known: HashSet | LayeredSet, **changes) -> Policy:
    """A policy signed off for a hash set."""
    header = known.header
    facts = {
        "algorithm": header.algorithm,
        "radius": header.radius,
        "quality_floor": header.quality_floor,
        "hashset_digest": known.digest,
        "hashset_name": header.name,
    }
    return policy_of(**facts | changes)


POLICY = policy_of()
PAYLOAD = Payload(77, 5, POLICY.digest, "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32, ACCOUNT)


class Secrets:
    """An account's window secrets, in memory: as the account store gives them, never of a window before the last."""

    def __init__(self, root: bytes = ROOT) -> None:
        self._root = root
        self._last = 0
        self._lock = threading.Lock()

    def secret(self, now: float) -> tuple[int, bytes]:
        """The window and its secret."""
        with self._lock:
            self._last = max(self._last, window_at(now))
            return self._last, secret_of(self._last, self._root)


def secret_of(window: int, root: bytes = ROOT) -> bytes:
    """The secret of a window."""
    return hashlib.sha256(root + window.to_bytes(8)).digest()


@functools.lru_cache
def shares_of(terms: Terms, window: int = WINDOW, account: bytes = ACCOUNT, root: bytes = ROOT):
    """What makes an account's shares in a window."""
    return terms.shares(secret_of(window, root), window, account)


def seal(sealer: DeviceSealer, window: int, slot: int, payload: Payload = PAYLOAD) -> bytes:
    """A voucher of a device."""
    return sealer.seal(payload, shares_of(sealer.terms, window, sealer.account), slot)


def opened(voucher: bytes, policy: Policy = POLICY, account: bytes = ACCOUNT, root: bytes = ROOT) -> Payload:
    """What one voucher tells to who has the account's secret, which no opener has."""
    parsed, terms = Voucher.parse(voucher), Terms.of(policy)
    key = shares_of(terms, parsed.header.window, account, root).account_key
    return parsed.unseal(OPENER, terms).open(key)

"""Seal a match so that nobody can read it before the account has enough of them, and only this device can have sent it.

From the outside in::

    COSE_Sign1    Ed25519, device key, over the header (scanner.vouchers.header) and
    HPKE          RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305, opener's key; info = LABEL ‖ SHA-256(header); of
    share         x, P values and 5 values of secret polynomials, 8 bytes each (scanner.vouchers.terms)
    commitment    32 bytes } HKDF-SHA256(account key, PAYLOAD_LABEL ‖ SHA-256(header)), 64 bytes:
    payload key   32 bytes } the second half is in the voucher, the first is the key of
    ciphertext    ChaCha20-Poly1305, nonce 0, SHA-256(header) as associated data, of the payload's 256 bytes

Every layer is bound to the header, so nothing moves to another device, window, slot or policy, even if someone signs it
anew. A key is used once, as each header is. A dummy has the same lengths and random bytes in place of all of it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import cose
from scanner.vouchers.header import SLOTS, WINDOWS, VoucherHeader, device_id_of
from scanner.vouchers.payload import PADDED_BYTES, Payload
from scanner.vouchers.policy import Policy
from scanner.vouchers.terms import SLOTS_WITH_COVER, AccountShares, KeyedShare, Terms

LABEL = b"prescan/v1/hpke"
PAYLOAD_LABEL = b"prescan/v1/payload"
LARGEST_VOUCHER = 4096
"""Bytes; more than any voucher of this or the next version has."""

COMMITMENT_BYTES = 32
CIPHERTEXT_BYTES = PADDED_BYTES + 16

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_NONCE = bytes(12)


class DeviceSealer:
    """Seals matches of one device under one policy. Holds no state but its keys.

    Args:
        device_key: the device's signing key.
        policy: the policy the device acts under.
        account: the account's id, 16 bytes.

    Raises:
        ArgumentError: the policy's threshold is more than its cover's slots.
    """

    def __init__(self, device_key: Ed25519PrivateKey, policy: Policy, account: bytes) -> None:
        self._device_key = device_key
        self._opener_key = X25519PublicKey.from_public_bytes(policy.opener_key)
        self.policy = policy
        self.policy_digest = policy.digest
        self.terms = Terms.of(policy)
        if self.terms.covered and self.terms.threshold > SLOTS_WITH_COVER:
            raise ArgumentError(f"with cover a window has {SLOTS_WITH_COVER} slots: a threshold over that never opens")
        self.account = account
        self.device_id = device_id_of(device_key.public_key().public_bytes_raw())

    def seal(self, payload: Payload, shares: AccountShares, slot: int) -> bytes:
        """Make the voucher of a match: 605 bytes without cover, 1,053 with.

        Args:
            payload: what it tells, once it can be opened.
            shares: of the account in the voucher's window, made by ``terms.shares``.
            slot: its place.

        Raises:
            VoucherError: ``window-full``, if all slots of the window are used.
            ArgumentError: the slot is out of range, or the shares are of other terms.
        """
        if shares.terms != self.terms:
            raise ArgumentError("the shares are of other terms than the policy's")
        protected = self._protected(shares.window, slot)
        key, commitment = _payload_keys(shares.account_key, protected)
        ciphertext = ChaCha20Poly1305(key).encrypt(_NONCE, payload.to_bytes(), _digest(protected))
        share = shares.share(payload.content_id)
        return self._enveloped(protected, share.to_bytes() + commitment + ciphertext)

    def seal_dummy(self, window: int, slot: int) -> bytes:
        """Make a voucher of nothing, of the same length, for cover; errors as for :meth:`seal`."""
        noise = secrets.token_bytes(COMMITMENT_BYTES + CIPHERTEXT_BYTES)
        share = self.terms.dummy().to_bytes()
        return self._enveloped(self._protected(window, slot), share + noise)

    def _protected(self, window: int, slot: int) -> bytes:
        if not (0 <= window < WINDOWS and slot >= 0):
            raise ArgumentError(f"a window is 0 to {WINDOWS - 1} and a slot not negative, not {window} and {slot}")
        if slot >= SLOTS:
            raise VoucherError("window-full", f"a window has {SLOTS} slots; all are used")
        return cose.header_of(VoucherHeader(self.device_id, window, slot, self.policy_digest).to_cose())

    def _enveloped(self, protected: bytes, inner: bytes) -> bytes:
        sealed = _SUITE.encrypt(inner, self._opener_key, info=LABEL + _digest(protected))
        return cose.sign1_under(self._device_key, protected, sealed)


@dataclass(frozen=True, slots=True)
class Unsealed:
    """A voucher without its outer encryption: a share, and a payload that only the account's key opens.

    Attributes:
        share: counts towards the threshold; a dummy's looks the same.
    """

    share: KeyedShare
    _protected: bytes
    _commitment: bytes
    _ciphertext: bytes

    def is_under(self, account_key: bytes) -> bool:
        """Whether the payload was encrypted under this key, as far as its commitment says."""
        return hmac.compare_digest(_payload_keys(account_key, self._protected)[1], self._commitment)

    def open(self, account_key: bytes) -> Payload:
        """Decrypt the payload with the key that enough shares gave.

        Raises:
            VoucherError: ``other-key``, if it was made under another key; ``does-not-open`` or ``malformed`` inside.
        """
        key, commitment = _payload_keys(account_key, self._protected)
        if not hmac.compare_digest(commitment, self._commitment):
            raise VoucherError("other-key", "the voucher was made under another key than the account's")
        try:
            plain = ChaCha20Poly1305(key).decrypt(_NONCE, self._ciphertext, _digest(self._protected))
        except InvalidTag as error:
            raise VoucherError("does-not-open", "the voucher's payload does not open with the account's key") from error
        return Payload.from_bytes(plain)


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher taken apart. Nothing in it is to be believed before :meth:`verify`.

    Attributes:
        header: what stands outside the encryption.
        digest: SHA-256 of the voucher's bytes, 32 bytes.
    """

    header: VoucherHeader
    digest: bytes
    _protected: bytes
    _sealed: bytes
    _signature: bytes

    @classmethod
    def parse(cls, message: bytes) -> Voucher:
        """Read a voucher's outside.

        Raises:
            VoucherError: ``malformed``, ``too-large`` or ``unknown-version``.
        """
        if len(message) > LARGEST_VOUCHER:
            raise VoucherError("too-large", f"a voucher has at most {LARGEST_VOUCHER} bytes, this has {len(message)}")
        protected, sealed, signature = cose.split_sign1(message, "voucher")
        header = VoucherHeader.from_bytes(protected)
        return cls(header, hashlib.sha256(message).digest(), protected, sealed, signature)

    def verify(self, device_key: cose.Verifies) -> None:
        """Check that this device signed it.

        Raises:
            VoucherError: ``wrong-device`` or ``bad-signature``.
        """
        if self.header.device_id != device_id_of(device_key.public_bytes_raw()):
            raise VoucherError("wrong-device", "the voucher names another device than the key belongs to")
        cose.verify_sign1(device_key, self._protected, self._sealed, self._signature, "voucher")

    def unseal(self, opener_key: X25519PrivateKey, terms: Terms) -> Unsealed:
        """Take off the outer encryption; verify first.

        Args:
            opener_key: the opener's private key.
            terms: of the policy that the header names.

        Raises:
            VoucherError: ``does-not-open``, or ``malformed`` inside.
        """
        try:
            inner = _SUITE.decrypt(self._sealed, opener_key, info=LABEL + _digest(self._protected))
        except (InvalidTag, ValueError) as error:
            raise VoucherError("does-not-open", "the voucher does not open with this key and header") from error
        end = terms.share_bytes
        if len(inner) != end + COMMITMENT_BYTES + CIPHERTEXT_BYTES:
            raise VoucherError("malformed", "the voucher does not hold what a voucher of its policy holds")
        share = KeyedShare.from_bytes(inner[:end], terms)
        return Unsealed(share, self._protected, inner[end : end + COMMITMENT_BYTES], inner[end + COMMITMENT_BYTES :])


def _payload_keys(account_key: bytes, protected: bytes) -> tuple[bytes, bytes]:
    """The payload's key and the commitment to it."""
    made = HKDF(hashes.SHA256(), 64, None, PAYLOAD_LABEL + _digest(protected)).derive(account_key)
    return made[:32], made[32:]


def _digest(protected: bytes) -> bytes:
    return hashlib.sha256(protected).digest()

"""Seal a payload so that only the opener can read it and only this device can have sent it.

A voucher is COSE_Sign1 (Ed25519, device key) over HPKE (RFC 9180: X25519, HKDF-SHA256, ChaCha20-Poly1305, opener's
key). HPKE's ``info`` is a label and the SHA-256 of the signed header, so a ciphertext moved under another header,
device, window or slot does not open, even if someone signs it anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import cose
from scanner.vouchers.header import SLOTS, WINDOWS, VoucherHeader, device_id_of
from scanner.vouchers.payload import Payload

LABEL = b"prescan/v1/hpke"
LARGEST_VOUCHER = 4096
"""Bytes; more than any voucher of this or the next version has."""

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class DeviceSealer:
    """Seals payloads of one device under one policy. Holds no state but its keys.

    Args:
        device_key: the device's signing key.
        opener_key: the opener's public key.
        policy_digest: 32 bytes naming the policy the device acts under.

    Raises:
        ArgumentError: the digest has another length.
    """

    def __init__(
        self, device_key: Ed25519PrivateKey, opener_key: X25519PublicKey, policy_digest: bytes = bytes(32)
    ) -> None:
        if len(policy_digest) != 32:
            raise ArgumentError(f"a policy digest has 32 bytes, this has {len(policy_digest)}")
        self._device_key = device_key
        self._opener_key = opener_key
        self.policy_digest = policy_digest
        self.device_id = device_id_of(device_key.public_key().public_bytes_raw())

    def seal(self, payload: Payload, window: int, slot: int) -> bytes:
        """Make the voucher for a slot: about 460 bytes.

        Raises:
            VoucherError: ``window-full``, if all slots of the window are used.
            ArgumentError: window or slot is out of range.
        """
        if not (0 <= window < WINDOWS and slot >= 0):
            raise ArgumentError(f"a window is 0 to {WINDOWS - 1} and a slot not negative, not {window} and {slot}")
        if slot >= SLOTS:
            raise VoucherError("window-full", f"a window has {SLOTS} slots; all are used")
        header = VoucherHeader(self.device_id, window, slot, self.policy_digest)
        protected = cose.encode({cose.ALGORITHM: cose.EDDSA, **header.to_cose()})
        sealed = _SUITE.encrypt(payload.to_bytes(), self._opener_key, info=_info(protected))
        return cose.sign1(self._device_key, header.to_cose(), sealed)


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
        protected, fields, sealed, signature = cose.parse_sign1(message, "voucher")
        header = VoucherHeader.from_cose(fields)
        return cls(header, hashlib.sha256(message).digest(), protected, sealed, signature)

    def verify(self, device_key: Ed25519PublicKey) -> None:
        """Check that this device signed it.

        Raises:
            VoucherError: ``wrong-device`` or ``bad-signature``.
        """
        if self.header.device_id != device_id_of(device_key.public_bytes_raw()):
            raise VoucherError("wrong-device", "the voucher names another device than the key belongs to")
        cose.verify_sign1(device_key, self._protected, self._sealed, self._signature, "voucher")

    def open(self, opener_key: X25519PrivateKey) -> Payload:
        """Decrypt the payload; verify first.

        Raises:
            VoucherError: ``does-not-open``, or ``malformed`` inside.
        """
        try:
            plain = _SUITE.decrypt(self._sealed, opener_key, info=_info(self._protected))
        except (InvalidTag, ValueError) as error:
            raise VoucherError("does-not-open", "the voucher does not open with this key and header") from error
        payload = Payload.from_bytes(plain)
        if payload.policy_digest != self.header.policy_digest:
            raise VoucherError("malformed", "the voucher names one policy outside and another inside")
        return payload


def _info(protected: bytes) -> bytes:
    return LABEL + hashlib.sha256(protected).digest()

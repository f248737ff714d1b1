"""The intake's signed word that it holds a voucher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from scanner.errors import VoucherError
from scanner.vouchers import cose

_FIELDS = -70002  # private-use COSE header label
_START = b"\xa2\x01\x27\x3a\x00\x01\x11\x71\x84\x50"
"""How {1: -8, -70002: [device id, window, slot, day]} begins in CBOR: an encoder takes as long as the signature."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a receipt says.

    Attributes:
        device_id, window, slot: which place the voucher took.
        voucher_digest: SHA-256 of the voucher's bytes.
        day: days since 1970 on which it was first received.
    """

    device_id: bytes
    window: int
    slot: int
    voucher_digest: bytes
    day: int

    def sign(self, intake_key: cose.Signs) -> bytes:
        """Write and sign: COSE_Sign1 with the voucher's digest as payload."""
        header = b"".join((_START, self.device_id, *map(cose.number, (self.window, self.slot, self.day))))
        return cose.sign1_under(intake_key, header, self.voucher_digest)

    @classmethod
    def verified(cls, message: bytes, intake_key: Ed25519PublicKey) -> Receipt:
        """Read a receipt and check who signed it.

        Raises:
            VoucherError: ``malformed`` or ``bad-signature``.
        """
        header, fields, digest, signature = cose.parse_sign1(message, "receipt")
        cose.verify_sign1(intake_key, header, digest, signature, "receipt")
        inner: Any = fields.get(_FIELDS)
        if not (isinstance(inner, list) and [type(part) for part in inner] == [bytes, int, int, int]):
            raise VoucherError("malformed", "the receipt does not have the fields of a receipt")
        return cls(inner[0], inner[1], inner[2], digest, inner[3])

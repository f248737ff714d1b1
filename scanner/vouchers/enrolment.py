"""A device shows that it holds the key it enrols, and for which account."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scanner.errors import VoucherError

LABEL = b"prescan/v1/enrol"


def prove_possession(device_key: Ed25519PrivateKey, account: bytes) -> bytes:
    """Sign the label, the public key and the account's id of 16 bytes: 64 bytes."""
    return device_key.sign(LABEL + device_key.public_key().public_bytes_raw() + account)


def check_possession(public_key: bytes, account: bytes, proof: bytes) -> None:
    """Check a proof of possession.

    Raises:
        VoucherError: ``bad-signature``, or ``malformed`` if the key is none.
    """
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
    except ValueError as error:
        raise VoucherError("malformed", "the public key is not an Ed25519 key of 32 bytes") from error
    try:
        key.verify(proof, LABEL + public_key + account)
    except InvalidSignature:
        raise VoucherError("bad-signature", "the proof of possession is not by this key") from None

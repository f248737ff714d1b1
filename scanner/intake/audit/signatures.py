"""Check the receipts that the intake keeps: their bytes are what they must say, signed by the intake."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature

from scanner.intake.audit.comparing import Key
from scanner.intake.ed25519 import VerifyKey
from scanner.vouchers.receipt import Receipt

_SIGNATURE = 64


class Signed(NamedTuple):
    """A receipt as it is kept, what it must say, and the key of its row."""

    key: Key
    receipt: Any
    says: Receipt


class _Signature:
    """Stands in for the key when a receipt is written again: gives the signature that is there, keeps what it is of."""

    __slots__ = ("data", "signature")

    def __init__(self, signature: bytes) -> None:
        self.signature = signature
        self.data = b""

    def sign(self, data: bytes) -> bytes:
        self.data = data
        return self.signature


def forged(receipts: Sequence[Signed], keys: Sequence[VerifyKey]) -> list[Key]:
    """Check receipts.

    Args:
        receipts: the receipts.
        keys: those that may have signed them.

    Returns:
        the rows of receipts that say something else, or that none of the keys signed.
    """
    return [one.key for one in receipts if not _is_good(one, keys)]


def _is_good(one: Signed, keys: Sequence[VerifyKey]) -> bool:
    if not isinstance(one.receipt, bytes):
        return False
    signature = _Signature(one.receipt[-_SIGNATURE:])  # a receipt's last item
    if one.says.sign(signature) != one.receipt:
        return False
    return any(_signed(key, signature) for key in keys)


def _signed(key: VerifyKey, signature: _Signature) -> bool:
    try:
        key.verify(signature.signature, signature.data)
    except InvalidSignature:
        return False
    return True

"""COSE_Sign1 with Ed25519 over deterministic CBOR (RFC 9052, RFC 8949 section 4.2). Nothing else of COSE.

Rules: bytes are accepted only in the one encoding we would write ourselves, so a message has one form and its SHA-256
names it; the signature is checked before anything inside is believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import cbor2
from cryptography.exceptions import InvalidSignature

from scanner.errors import VoucherError


class Signs(Protocol):
    """A private Ed25519 key, of any library."""

    def sign(self, data: bytes, /) -> bytes:
        """Sign: 64 bytes."""
        ...


class Verifies(Protocol):
    """A public Ed25519 key, of any library."""

    def verify(self, signature: bytes, data: bytes, /) -> None:
        """Raise ``cryptography.exceptions.InvalidSignature`` unless this key signed it."""
        ...

    def public_bytes_raw(self) -> bytes:
        """The key, 32 bytes."""
        ...


COSE_SIGN1 = 18  # CBOR tag, RFC 9052 section 2
ALGORITHM = 1  # header label, RFC 9052 section 3.1
KEY_ID = 4
EDDSA = -8  # RFC 9053 section 2.2


def encode(value: Any) -> bytes:
    """Write a value as deterministic CBOR."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes, what: str) -> Any:
    """Read one CBOR value, accepting its deterministic form alone.

    Raises:
        VoucherError: ``malformed``.
    """
    value = _decoded(data, what)
    try:
        canonical = encode(value)
    except Exception as error:
        raise VoucherError("malformed", f"the {what} is not valid CBOR") from error
    if canonical != data:
        raise VoucherError("malformed", f"the {what} is not in deterministic CBOR")
    return value


def header_of(protected: dict[int, Any]) -> bytes:
    """Write protected headers; the algorithm is added to them."""
    return encode({ALGORITHM: EDDSA, **protected})


def sign1(key: Signs, protected: dict[int, Any], payload: bytes) -> bytes:
    """Sign a payload under protected headers; the algorithm is added to them."""
    return sign1_under(key, header_of(protected), payload)


def sign1_under(key: Signs, header: bytes, payload: bytes) -> bytes:
    """Sign a payload under a header that :func:`header_of` wrote."""
    return _sign1_of(header, payload, key.sign(_to_be_signed(header, payload)))


def parse_sign1(message: bytes, what: str) -> tuple[bytes, dict[int, Any], bytes, bytes]:
    """Take a message apart without believing it: protected bytes, protected headers, payload, signature.

    Raises:
        VoucherError: ``malformed``.
    """
    header, payload, signature = split_sign1(message, what)
    return header, fields_of(header, what), payload, signature


def split_sign1(message: bytes, what: str) -> tuple[bytes, bytes, bytes]:
    """Cut a message into protected bytes, payload and signature, none of them believed or looked into.

    Raises:
        VoucherError: ``malformed``.
    """
    tagged = _decoded(message, what)
    if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != COSE_SIGN1:
        raise VoucherError("malformed", f"the {what} is not a COSE_Sign1 message")
    parts = tagged.value
    # cbor2 gives lists and dicts inside a tag as tuples and frozen maps, depending on its version.
    if not (isinstance(parts, (list, tuple)) and len(parts) == 4 and isinstance(parts[1], Mapping) and not parts[1]):
        raise VoucherError("malformed", f"the {what} does not have the four parts of COSE_Sign1")
    header, _, payload, signature = parts
    if not all(isinstance(part, bytes) for part in (header, payload, signature)) or len(signature) != 64:
        raise VoucherError("malformed", f"the {what} has parts of the wrong kind")
    if _sign1_of(header, payload, signature) != message:
        raise VoucherError("malformed", f"the {what} is not in deterministic CBOR")
    return header, payload, signature


def fields_of(header: bytes, what: str) -> dict[int, Any]:
    """Read protected headers.

    Raises:
        VoucherError: ``malformed``.
    """
    fields = decode(header, f"{what}'s header")
    # 1, 1.0 and True are equal in Python and have different encodings: only the first is a label.
    if not isinstance(fields, dict) or any(type(label) is not int for label in fields):
        raise VoucherError("malformed", f"the {what}'s header is not a map of numbered fields")
    if type(fields.get(ALGORITHM)) is not int or fields[ALGORITHM] != EDDSA:
        raise VoucherError("malformed", f"the {what} is not signed with Ed25519")
    return fields


def verify_sign1(key: Verifies, header: bytes, payload: bytes, signature: bytes, what: str) -> None:
    """Check a signature.

    Raises:
        VoucherError: ``bad-signature``.
    """
    try:
        key.verify(signature, _to_be_signed(header, payload))
    except InvalidSignature:
        raise VoucherError("bad-signature", f"the {what}'s signature is not by this key") from None


def _decoded(data: bytes, what: str) -> Any:
    try:
        return cbor2.loads(data)
    except Exception as error:
        raise VoucherError("malformed", f"the {what} is not valid CBOR") from error


# What every voucher and receipt is wrapped in, put together by hand: an encoder takes five times as long, and an intake
# does this for each voucher four times.


def _sign1_of(header: bytes, payload: bytes, signature: bytes) -> bytes:
    """18([header, {}, payload, signature])."""
    return b"".join((b"\xd2\x84", _head(header), header, b"\xa0", _head(payload), payload, _head(signature), signature))


def _to_be_signed(header: bytes, payload: bytes) -> bytes:
    """["Signature1", header, h'', payload] (RFC 9052 section 4.4)."""
    return b"".join((b"\x84\x6aSignature1", _head(header), header, b"\x40", _head(payload), payload))


def _head(data: bytes) -> bytes:
    """The head of a byte string, in its shortest form."""
    length = len(data)
    if length < 24:
        return bytes((0x40 | length,))
    if length < 1 << 8:
        return bytes((0x58, length))
    if length < 1 << 16:
        return b"\x59" + length.to_bytes(2)
    return b"\x5a" + length.to_bytes(4)


def number(value: int) -> bytes:
    """An integer from 0 to 2**64 - 1, in its shortest form."""
    if value < 24:
        return bytes((value,))
    if value < 1 << 8:
        return bytes((0x18, value))
    if value < 1 << 16:
        return b"\x19" + value.to_bytes(2)
    if value < 1 << 32:
        return b"\x1a" + value.to_bytes(4)
    return b"\x1b" + value.to_bytes(8)

"""COSE_Sign1: one form for one message, and no belief before the signature."""

from __future__ import annotations

from contextlib import suppress

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.vouchers import cose

KEY = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
MESSAGE = cose.sign1(KEY, {4: b"key"}, b"payload")


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


@given(payload=st.binary(max_size=300), key_id=st.binary(max_size=40))
@settings(derandomize=True, deadline=None)
def test_what_was_signed_is_what_is_read(payload, key_id):
    """Payload and protected headers come back, and the signature holds."""
    header, fields, read, signature = cose.parse_sign1(cose.sign1(KEY, {4: key_id}, payload), "message")
    assert (fields, read) == ({1: -8, 4: key_id}, payload)
    cose.verify_sign1(KEY.public_key(), header, read, signature, "message")


@given(payload=st.binary(max_size=64))
@settings(derandomize=True, deadline=None)
def test_the_signature_covers_header_and_payload(payload):
    """A signature over one payload or header is none over another."""
    header, _, read, signature = cose.parse_sign1(cose.sign1(KEY, {}, payload), "message")
    other = cose.encode({1: -8, 4: b""})
    assert problem_of(cose.verify_sign1, KEY.public_key(), header, read + b"x", signature, "it") == "bad-signature"
    assert problem_of(cose.verify_sign1, KEY.public_key(), other, read, signature, "it") == "bad-signature"


def test_maps_are_written_in_deterministic_order():
    """RFC 8949 section 4.2: the bytes of a message do not depend on the order fields were given in."""
    assert cose.encode({4: 1, 1: 2, -1: 3}) == cose.encode({-1: 3, 1: 2, 4: 1}) == bytes.fromhex("a3010204012003")


@pytest.mark.parametrize(
    "data",
    [
        "1800",  # 0 in two bytes
        "190001",  # 1 in three
        "1b0000000000000001",  # 1 in nine
        "5f4161ff",  # bytes of indefinite length
        "9f01ff",  # list of indefinite length
        "bf0101ff",  # map of indefinite length
        "a204010102",  # keys out of order
        "a201010102",  # a key twice
        "5801ff",  # bytes with a long length
        "fb3ff0000000000000",  # 1.0 in nine bytes
        "c24101",  # 1 as a big number
        "0000",  # two values
        "",  # none
        "ff",  # a break by itself
        "81",  # a list cut short
        "62c328",  # text that is not UTF-8
    ],
)
def test_other_encodings_are_refused(data):
    """What is CBOR but not the one form we write is malformed, and so is what is no CBOR."""
    assert problem_of(cose.decode, bytes.fromhex(data), "message") == "malformed"


def test_a_message_with_a_long_tag_is_refused():
    """The same content under another encoding has another SHA-256, so it is another message and no message."""
    assert MESSAGE[0] == 0xD2
    assert cbor2.loads(b"\xd8\x12" + MESSAGE[1:]) == cbor2.loads(MESSAGE)
    assert problem_of(cose.parse_sign1, b"\xd8\x12" + MESSAGE[1:], "message") == "malformed"


def test_a_protected_header_in_another_encoding_is_refused():
    """The header is bytes inside bytes; its one form is asked for too."""
    for header in ("a204400127", "bf0127ff", "a1011807", "a1012700"):
        parts = [bytes.fromhex(header), {}, b"payload", bytes(64)]
        message = cbor2.dumps(cbor2.CBORTag(18, parts), canonical=True)
        assert problem_of(cose.parse_sign1, message, "message") == "malformed"


HEADER = cose.encode({1: -8})


@pytest.mark.parametrize(
    "value",
    [
        [HEADER, {}, b"", bytes(64)],
        cbor2.CBORTag(98, [HEADER, {}, b"", bytes(64)]),
        cbor2.CBORTag(18, [HEADER, {}, b""]),
        cbor2.CBORTag(18, [HEADER, {}, b"", bytes(64), b""]),
        cbor2.CBORTag(18, [HEADER, {4: b""}, b"", bytes(64)]),
        cbor2.CBORTag(18, [HEADER, [], b"", bytes(64)]),
        cbor2.CBORTag(18, [HEADER, {}, None, bytes(64)]),
        cbor2.CBORTag(18, [HEADER, {}, "text", bytes(64)]),
        cbor2.CBORTag(18, [HEADER, {}, b"", bytes(63)]),
        cbor2.CBORTag(18, [HEADER, {}, b"", bytes(65)]),
        cbor2.CBORTag(18, [{1: -8}, {}, b"", bytes(64)]),
        cbor2.CBORTag(18, [b"", {}, b"", bytes(64)]),
        cbor2.CBORTag(18, [cose.encode([1, -8]), {}, b"", bytes(64)]),
        cbor2.CBORTag(18, [cose.encode({}), {}, b"", bytes(64)]),
        cbor2.CBORTag(18, [cose.encode({1: -7}), {}, b"", bytes(64)]),
        cbor2.CBORTag(18, {1: HEADER, 2: {}, 3: b"", 4: bytes(64)}),
        cbor2.CBORTag(18, "four"),
    ],
)
def test_other_shapes_are_refused(value):
    """Untagged, of another tag, with parts missing, added or of another kind, or not signed with Ed25519."""
    assert problem_of(cose.parse_sign1, cbor2.dumps(value, canonical=True), "message") == "malformed"


@pytest.mark.parametrize("depth", [100, 1_000, 4_000])
def test_deep_nesting_is_malformed(depth):
    """Lists in lists to any depth end in the named error, not in the interpreter's."""
    assert problem_of(cose.decode, b"\x81" * depth, "message") == "malformed"
    assert problem_of(cose.parse_sign1, b"\x81" * depth + b"\x00", "message") == "malformed"


@given(data=st.binary(max_size=200))
@settings(derandomize=True, deadline=None, max_examples=300)
def test_decoding_is_the_inverse_of_encoding_or_refused(data):
    """Bytes decode to a value that encodes to them again, or raise VoucherError and nothing else."""
    with suppress(VoucherError):
        assert cose.encode(cose.decode(data, "message")) == data


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536, 70_000])
def test_what_is_put_together_by_hand_is_what_the_encoder_writes(length):
    """Message and signed bytes alike, at every length at which the head of a byte string changes its form."""
    payload, header, signature = bytes(length), cose.header_of({4: bytes(16)}), bytes(64)
    for part in (payload, header + payload):
        whole = cose._sign1_of(part, payload, signature)
        assert whole == cbor2.dumps(cbor2.CBORTag(18, [part, {}, payload, signature]), canonical=True)
        signed = cose._to_be_signed(part, payload)
        assert signed == cbor2.dumps(["Signature1", part, b"", payload], canonical=True)


@given(st.one_of(st.integers(0, 2**64 - 1), *(st.integers(end - 1, end) for end in (24, 1 << 8, 1 << 16, 1 << 32))))
def test_numbers_are_as_the_encoder_writes_them(value):
    """At every length, and on both sides of where it changes."""
    assert cose.number(value) == cbor2.dumps(value, canonical=True)

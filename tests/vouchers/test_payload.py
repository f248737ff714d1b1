"""Payloads: eleven fields, one length."""

from __future__ import annotations

import dataclasses

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.types import Action, Match, Outcome, PerceptualHash, Verdict
from scanner.vouchers import Payload

PAYLOAD = Payload(
    77, 5, bytes(32), "pdq", 12, 88, bytes([0xA5]) * 32, 20_600, bytes([9]) * 32, bytes(range(16)), b"build"
)

number = st.integers(0, 2**64 - 1)
payloads = st.builds(
    Payload,
    content_id=number,
    leaf_index=number,
    policy_digest=st.binary(max_size=32),
    algorithm=st.text(max_size=8),
    distance=number,
    quality=number,
    hash=st.binary(max_size=32),
    day=number,
    hashset_digest=st.binary(max_size=32),
    account=st.binary(max_size=16),
    build=st.binary(max_size=32),
)


def framed(body: bytes, declared: int | None = None) -> bytes:
    return ((len(body) if declared is None else declared).to_bytes(2) + body).ljust(256, b"\0")


def refuse(data: bytes) -> None:
    with pytest.raises(VoucherError) as refused:
        Payload.from_bytes(data)
    assert refused.value.problem == "malformed"


@given(payload=payloads)
@settings(derandomize=True, deadline=None)
def test_what_was_written_is_what_is_read(payload):
    """Every payload takes 256 bytes and comes back whole."""
    data = payload.to_bytes()
    assert len(data) == 256
    assert Payload.from_bytes(data) == payload


def test_a_payload_that_does_not_fit_is_not_cut():
    """More than 256 bytes are refused, never shortened: the largest that fits has 254 bytes of CBOR."""
    empty = dataclasses.replace(PAYLOAD, algorithm="")
    room = 256 - 2 - len(cbor2.dumps(dict(enumerate(dataclasses.astuple(empty), 1)))) - 1  # one more length byte
    fits = dataclasses.replace(PAYLOAD, algorithm="a" * room)
    assert Payload.from_bytes(fits.to_bytes()) == fits
    with pytest.raises(ValueError, match="at most 256"):
        dataclasses.replace(PAYLOAD, algorithm="a" * (room + 1)).to_bytes()


def test_every_byte_of_padding_must_be_zero():
    """Padding is no place to hide anything."""
    data = PAYLOAD.to_bytes()
    start = 2 + int.from_bytes(data[:2])
    assert start < 256
    for position in range(start, 256):
        refuse(data[:position] + b"\x01" + data[position + 1 :])


@pytest.mark.parametrize("length", [0, 1, 2, 100, 255, 257, 512])
def test_other_lengths_are_refused(length):
    """A payload has 256 bytes exactly."""
    refuse(PAYLOAD.to_bytes().ljust(512, b"\0")[:length])


def test_a_wrong_length_before_the_body_is_refused():
    """The declared length is that of the body: not one more or less, not beyond the frame."""
    body = cbor2.dumps(dict(enumerate(dataclasses.astuple(PAYLOAD), 1)), canonical=True)
    assert Payload.from_bytes(framed(body)) == PAYLOAD
    for declared in (0, len(body) - 1, len(body) + 1, 255, 256, 65_535):
        refuse(framed(body, declared))


@pytest.mark.parametrize("position", range(11))
@pytest.mark.parametrize("value", [None, True, -1, 2**64, 1.0, "text", b"bytes", [1], {}], ids=repr)
def test_a_field_of_another_kind_is_refused(position, value):
    """Each of the eleven fields has one type, and numbers are unsigned 64-bit."""
    fields = list(dataclasses.astuple(PAYLOAD))
    if type(fields[position]) is type(value) and value not in (-1, 2**64):
        return
    fields[position] = value
    refuse(framed(cbor2.dumps(dict(enumerate(fields, 1)), canonical=True)))


@pytest.mark.parametrize(
    "keys", [range(11), range(1, 11), range(1, 10), range(1, 13), [*range(1, 11), 12], "123456789ab"], ids=repr
)
def test_other_fields_are_refused(keys):
    """The fields are numbered 1 to 11: none missing, none more, none renamed."""
    values = [*dataclasses.astuple(PAYLOAD), 0]
    refuse(framed(cbor2.dumps(dict(zip(keys, values, strict=False)), canonical=True)))


def test_a_list_is_no_payload():
    """Eleven values in a list are not eleven named fields."""
    refuse(framed(cbor2.dumps(list(dataclasses.astuple(PAYLOAD)), canonical=True)))


@given(data=st.binary(max_size=300) | st.binary(min_size=256, max_size=256))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_a_payload_or_malformed(data):
    """Reading bytes raises VoucherError and nothing else."""
    refuse(data)


@given(body=st.binary(max_size=254))
@settings(derandomize=True, deadline=None)
def test_any_framed_bytes_are_a_payload_or_malformed(body):
    """Reading well-framed bytes raises VoucherError and nothing else."""
    refuse(framed(body))


def test_a_payload_tells_of_the_nearest_match():
    """Only the first match, and no finer time than the day."""
    matches = (Match(9, 4, 1234, "nearest"), Match(2, 6, 5678, "further"))
    verdict = Verdict(Outcome.MATCH, Action.HOLD, "", matches, PerceptualHash("pdq", bytes([7]) * 32), 91)
    payload = Payload.of_match(
        verdict,
        policy_digest=b"p" * 32,
        hashset_digest=b"h" * 32,
        account=b"a" * 16,
        now=86_400 * 3 + 86_399.9,
        build=b"1.2",
    )
    assert payload == Payload(1234, 9, b"p" * 32, "pdq", 4, 91, bytes([7]) * 32, 3, b"h" * 32, b"a" * 16, b"1.2")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.MATCH])
def test_without_a_match_there_is_no_payload(outcome):
    """No match, no voucher: not even by mistake."""
    verdict = Verdict(outcome, Action.SEND, "", (), PerceptualHash("pdq", bytes(32)), 91)
    with pytest.raises(ValueError, match="only a match"):
        Payload.of_match(verdict, policy_digest=bytes(32), hashset_digest=bytes(32), account=bytes(16), now=0)

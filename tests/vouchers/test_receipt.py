"""Receipts: the intake's word, and nobody else's."""

from __future__ import annotations

import hashlib

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.vouchers import Receipt, cose

INTAKE = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([6]) * 32)
RECEIPT = Receipt(bytes(16), 735, 3, hashlib.sha256(b"voucher").digest(), 20_600)
SIGNED = RECEIPT.sign(INTAKE)


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


@given(
    device=st.binary(min_size=16, max_size=16),
    window=st.integers(0, 2**32 - 1),
    slot=st.integers(0, 2**16 - 1),
    digest=st.binary(min_size=32, max_size=32),
    day=st.integers(0, 2**32),
)
@settings(derandomize=True, deadline=None)
def test_what_was_signed_is_what_is_read(device, window, slot, digest, day):
    """A receipt comes back whole under the key that signed it."""
    receipt = Receipt(device, window, slot, digest, day)
    assert Receipt.verified(receipt.sign(INTAKE), INTAKE.public_key()) == receipt
    assert receipt.sign(INTAKE) == cose.sign1(INTAKE, {-70002: [device, window, slot, day]}, digest)


def test_the_same_receipt_has_the_same_bytes():
    """Ed25519 and deterministic CBOR leave nothing to chance."""
    assert RECEIPT.sign(INTAKE) == SIGNED


def test_a_second_decoder_reads_the_receipt():
    """A receipt is COSE_Sign1 over the voucher's digest, read with cbor2 and Ed25519 alone."""
    protected, unprotected, digest, signature = cbor2.loads(SIGNED).value
    INTAKE.public_key().verify(signature, cbor2.dumps(["Signature1", protected, b"", digest]))
    assert (unprotected, digest) == ({}, hashlib.sha256(b"voucher").digest())
    assert cbor2.loads(protected) == {1: -8, -70002: [bytes(16), 735, 3, 20_600]}


def test_another_key_is_no_intake():
    """A receipt by anyone but the known intake is refused."""
    assert problem_of(Receipt.verified, RECEIPT.sign(OTHER), INTAKE.public_key()) == "bad-signature"


def test_every_flipped_bit_is_refused():
    """A receipt with one bit changed is none."""
    for position in range(8 * len(SIGNED)):
        changed = bytearray(SIGNED)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(VoucherError):
            Receipt.verified(bytes(changed), INTAKE.public_key())


def test_every_truncation_is_refused():
    """No beginning of a receipt is a receipt."""
    for length in range(len(SIGNED)):
        assert problem_of(Receipt.verified, SIGNED[:length], INTAKE.public_key()) == "malformed"


@given(message=st.binary(max_size=300))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_a_receipt_or_a_named_error(message):
    """Reading bytes from outside raises VoucherError and nothing else."""
    with pytest.raises(VoucherError):
        Receipt.verified(message, INTAKE.public_key())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {-70002: b"bytes"},
        {-70002: [bytes(16), 735, 3]},
        {-70002: [bytes(16), 735, 3, 1, 1]},
        {-70002: ["text", 735, 3, 1]},
        {-70002: [bytes(16), 735, True, 1]},
        {-70002: [bytes(16), 735.5, 3, 1]},
    ],
    ids=repr,
)
def test_signed_fields_of_another_kind_are_refused(fields):
    """Even the intake's own key can't make a receipt of other fields."""
    message = cose.sign1(INTAKE, fields, bytes(32))
    assert problem_of(Receipt.verified, message, INTAKE.public_key()) == "malformed"


def test_a_voucher_is_no_receipt():
    """A message the same key signed for something else does not pass as a receipt."""
    message = cose.sign1(INTAKE, {4: bytes(16), -70001: bytes(39)}, bytes(32))
    assert problem_of(Receipt.verified, message, INTAKE.public_key()) == "malformed"

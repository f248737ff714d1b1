"""Proofs of possession."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import VoucherError
from scanner.vouchers import check_possession, prove_possession

DEVICE = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
ACCOUNT = bytes(range(16))
PUBLIC = DEVICE.public_key().public_bytes_raw()


def problem_of(do, *arguments) -> str:
    with pytest.raises(VoucherError) as refused:
        do(*arguments)
    return refused.value.problem


def test_a_device_can_prove_its_key():
    """The proof is an Ed25519 signature over label, key and account."""
    proof = prove_possession(DEVICE, ACCOUNT)
    check_possession(PUBLIC, ACCOUNT, proof)
    DEVICE.public_key().verify(proof, b"prescan/v1/enrol" + PUBLIC + ACCOUNT)


def test_a_proof_by_another_key_is_refused():
    """Nobody enrols a key that is not theirs."""
    assert problem_of(check_possession, PUBLIC, ACCOUNT, prove_possession(OTHER, ACCOUNT)) == "bad-signature"
    assert (
        problem_of(check_possession, PUBLIC, ACCOUNT, OTHER.sign(b"prescan/v1/enrol" + PUBLIC + ACCOUNT))
        == "bad-signature"
    )


@pytest.mark.parametrize("account", [bytes(16), bytes(range(1, 17)), b"", ACCOUNT[:15], ACCOUNT + b"\0"])
def test_a_proof_for_another_account_is_refused(account):
    """Whoever sees a proof can't enrol the device elsewhere, where its vouchers would count for somebody else."""
    assert problem_of(check_possession, PUBLIC, account, prove_possession(DEVICE, ACCOUNT)) == "bad-signature"


def test_a_signature_over_something_else_is_no_proof():
    """A signature the device gave for another purpose does not enrol it."""
    for message in (
        b"",
        PUBLIC,
        b"prescan/v1/enrol",
        b"prescan/v2/enrol" + PUBLIC + ACCOUNT,
        b"prescan/v1/enrol" + PUBLIC,
    ):
        assert problem_of(check_possession, PUBLIC, ACCOUNT, DEVICE.sign(message)) == "bad-signature"


def test_every_flipped_bit_of_a_proof_is_refused():
    """A proof with one bit changed is none."""
    proof = prove_possession(DEVICE, ACCOUNT)
    for position in range(8 * len(proof)):
        changed = bytearray(proof)
        changed[position // 8] ^= 1 << position % 8
        assert problem_of(check_possession, PUBLIC, ACCOUNT, bytes(changed)) == "bad-signature"


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_malformed(length):
    """An Ed25519 key has 32 bytes."""
    assert problem_of(check_possession, bytes(length), ACCOUNT, bytes(64)) == "malformed"


@given(key=st.binary(max_size=40) | st.binary(min_size=32, max_size=32), proof=st.binary(max_size=70))
@settings(derandomize=True, deadline=None)
def test_any_bytes_are_refused_by_name(key, proof):
    """Bytes from outside raise VoucherError and nothing else."""
    assert problem_of(check_possession, key, ACCOUNT, proof) in {"malformed", "bad-signature"}

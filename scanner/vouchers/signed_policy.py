"""The message that carries a policy and its signatures. Pure: no clock, no file.

Rules: bytes are accepted only in the one encoding we would write; a message with a signature that does not hold is
not read; whether those who signed may decide anything is judged in :mod:`scanner.vouchers.policies` alone.

A message is COSE_Sign (RFC 9052 section 4.1) in deterministic CBOR, so it has no lengths or orders to choose::

    D8 62                         tag 98, COSE_Sign
    84                            four parts:
      58 22 A1 10 78 1E <30>      protected: typ (label 16, RFC 9596) = "application/vnd.prescan.policy"
      A0                          unprotected: empty
      59 <2> or 58 <1> <payload>  the policy
      80 + n, from 24 on 98 <1>   n signatures, key ids ascending, each:
        83                        three parts:
          55 A2 01 27 04 50 <16>  protected: alg = EdDSA, kid = the first 16 bytes of SHA-256 of the signer's key
          A0                      unprotected: empty
          58 40 <64>              Ed25519 over ["Signature", protected, protected of this signature, h'', payload]

The payload is a :class:`~scanner.vouchers.policy.Policy`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import cose
from scanner.vouchers.policy import Policy

LARGEST_POLICY = 1 << 13
"""Bytes; more than MOST_SIGNERS old and as many new signers need."""

_COSE_SIGN = 98  # CBOR tag, RFC 9052 section 2
_TYPE = 16  # header label, RFC 9596
_PROTECTED = cose.encode({_TYPE: "application/vnd.prescan.policy"})
_KEY_ID_BYTES = 16


class SignedPolicy(NamedTuple):
    """A policy and the keys that signed it.

    Whether these keys mean anything, :func:`scanner.vouchers.policies.check_successor` decides.
    """

    policy: Policy
    signed_by: frozenset[bytes]


def sign(policy: Policy, keys: Iterable[Ed25519PrivateKey]) -> bytes:
    """Write a policy and sign it with each key. Signers who never meet: :func:`add_signature`.

    Raises:
        ArgumentError: there is no key.
    """
    payload = policy.to_bytes()
    signatures = dict(_signature(key, payload) for key in keys)
    if not signatures:
        raise ArgumentError("a policy is signed with at least one key")
    return _assemble(payload, signatures)


def add_signature(message: bytes, key: Ed25519PrivateKey) -> bytes:
    """Sign a signed policy once more. Read it before you do: this checks its form, not whether you agree.

    Raises:
        VoucherError: as for :func:`read`, but for ``bad-signature``: other signatures are passed on as they are.
    """
    payload, signatures = take_apart(message)
    Policy.from_bytes(payload)
    return _assemble(payload, {**signatures, **dict([_signature(key, payload)])})


def read(message: bytes, known: Iterable[bytes] = ()) -> SignedPolicy:
    """Read a policy and find out who signed it.

    That says only that the message is whole: a policy names its own signers, so anybody can write one that reads well.
    Act on what :func:`scanner.vouchers.policies.check_successor` returns.

    Args:
        message: as :func:`sign` wrote it.
        known: raw public keys that may have signed it beside its own signers: those of the policy before.

    Raises:
        VoucherError: ``too-large``, ``malformed``, ``unknown-version``, ``unknown-algorithm``, ``threshold-too-low``;
            ``bad-signature`` if any signature is invalid, by a key neither known nor the policy's, or there twice.
    """
    payload, signatures = take_apart(message)
    policy = Policy.from_bytes(payload)
    keys = {_key_id(key): key for key in (*policy.signers, *known)}
    for key_id, signature in signatures.items():
        if key_id not in keys:
            raise VoucherError("bad-signature", f"the policy is signed by a key nobody here knows, {key_id.hex()}")
        try:
            Ed25519PublicKey.from_public_bytes(keys[key_id]).verify(signature, _to_be_signed(key_id, payload))
        except (InvalidSignature, ValueError):
            message_ = f"the policy's signature by {key_id.hex()} does not hold; ask for the policy again"
            raise VoucherError("bad-signature", message_) from None
    return SignedPolicy(policy, frozenset(keys[key_id] for key_id in signatures))


def take_apart(message: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Take a message apart without believing it: payload, and signatures by key id.

    Raises:
        VoucherError: ``too-large``, ``malformed``, or ``bad-signature`` if two are by one key.
    """
    if len(message) > LARGEST_POLICY:
        raise VoucherError("too-large", f"a signed policy has at most {LARGEST_POLICY} bytes, this has {len(message)}")
    tagged = cose.decode(message, "signed policy")
    # cbor2 gives lists and dicts inside a tag as tuples and frozen maps, depending on its version.
    parts = tagged.value if isinstance(tagged, cbor2.CBORTag) and tagged.tag == _COSE_SIGN else None
    if not (isinstance(parts, (list, tuple)) and len(parts) == 4):
        raise VoucherError("malformed", "the signed policy is not a COSE_Sign message of four parts; ask for it again")
    protected, unprotected, payload, listed = parts
    if protected != _PROTECTED or not _is_empty_map(unprotected) or not isinstance(payload, bytes):
        raise VoucherError("malformed", "the COSE_Sign message is not of a policy's type; ask for the policy again")
    if not isinstance(listed, (list, tuple)) or not listed:
        raise VoucherError("malformed", "the signed policy has no list of signatures; ask for it again")
    pairs = [_one_signature(entry) for entry in listed]
    ids = [key_id for key_id, _ in pairs]
    if len(set(ids)) < len(ids):
        raise VoucherError("bad-signature", "the policy has two signatures by one key; ask for it again")
    if ids != sorted(ids):
        raise VoucherError("malformed", "the policy's signatures are not in the order of their keys; ask for it again")
    return payload, dict(pairs)


def _one_signature(entry: Any) -> tuple[bytes, bytes]:
    if isinstance(entry, (list, tuple)) and len(entry) == 3:
        protected, unprotected, signature = entry
        if isinstance(protected, bytes) and _is_empty_map(unprotected) and isinstance(signature, bytes):
            key_id = protected[-_KEY_ID_BYTES:]
            if protected == _signer_header(key_id) and len(key_id) == _KEY_ID_BYTES and len(signature) == 64:
                return key_id, signature
    raise VoucherError("malformed", "the signed policy has a signature of another form; ask for it again")


def _is_empty_map(value: Any) -> bool:
    return isinstance(value, Mapping) and not value


def _assemble(payload: bytes, signatures: Mapping[bytes, bytes]) -> bytes:
    listed = [[_signer_header(key_id), {}, signature] for key_id, signature in sorted(signatures.items())]
    return cose.encode(cbor2.CBORTag(_COSE_SIGN, [_PROTECTED, {}, payload, listed]))


def _signature(key: Ed25519PrivateKey, payload: bytes) -> tuple[bytes, bytes]:
    key_id = _key_id(key.public_key().public_bytes_raw())
    return key_id, key.sign(_to_be_signed(key_id, payload))


def _to_be_signed(key_id: bytes, payload: bytes) -> bytes:
    return cose.encode(["Signature", _PROTECTED, _signer_header(key_id), b"", payload])


def _signer_header(key_id: bytes) -> bytes:
    return cose.header_of({cose.KEY_ID: key_id})


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()[:_KEY_ID_BYTES]

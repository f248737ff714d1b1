"""The signed policy a device acts under, and which signatures it takes to change it. Pure: no clock, no file.

Rules: a threshold under :data:`THRESHOLD_FLOOR` is refused whoever signed it; editions only go forward; a change that
lets anyone see more than before takes the quorum of those the device trusts *now*, whom a new policy can't choose for
itself; bytes are accepted only in the one encoding we would write.

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

The payload is a map (AE) of exactly these keys; its SHA-256 is the policy digest, whoever signed::

     1  version         1
     2  serial          1 to 2^63 - 1
     3  threshold       THRESHOLD_FLOOR to 65535
     4  profile         "match-only" or "covered"
     5  algorithm       one of scanner.profiles.ALGORITHMS
     6  radius          0 to under half of the algorithm's bits
     7  quality_floor   0 to 100
     8  opener_key      32 bytes, X25519, not of small order
     9  hashset_digest  32 bytes
    10  hashset_name    1 to 64 bytes of printable UTF-8, no space at either end
    11  not_before      0 to 2^32 - 1
    12  signers         1 to MOST_SIGNERS times 32 bytes, Ed25519, not of small order; ascending, all different
    13  quorum          1 to the number of signers
    14  ordinary        1 to quorum

What needs which signatures, counted among the signers of the *last accepted* policy:

    =====================================================================  ================================
    the same payload again                                                 none: nothing changes
    list digest, not_before, serial; threshold up, radius down,            ``ordinary``
    quality floor up
    threshold down, radius up, quality floor down, another algorithm,      ``quorum``
    another list name, another opener key, serial up by more than
    MOST_ORDINARY_STEP, another profile: without cover counts show, with
    it t - 1 vouchers are hidden less well (see scanner.vouchers.terms)
    signers, quorum or ordinary                                            ``quorum``, and the new policy's
                                                                           ``quorum`` of its own signers
    the first policy                                                       the pinned signers' quorum, and
                                                                           the same of its own signers
    lower serial; the same serial with another payload                     none is enough: ``rollback``
    threshold under THRESHOLD_FLOOR                                        none: ``threshold-too-low``
    =====================================================================  ================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from scanner.errors import ArgumentError, VoucherError
from scanner.profiles import ALGORITHMS
from scanner.vouchers import cose

THRESHOLD_FLOOR = 10
"""The lowest threshold any device accepts, whoever signed it."""

VERSION = 1
MATCH_ONLY = "match-only"
COVERED = "covered"
MOST_SIGNERS = 32
MOST_ORDINARY_STEP = 1 << 20
"""Editions an ordinary change may skip: with more, one signer could use up the serials and freeze every device."""

LARGEST_POLICY = 1 << 13
"""Bytes; more than MOST_SIGNERS old and as many new signers need."""

_COSE_SIGN = 98  # CBOR tag, RFC 9052 section 2
_TYPE = 16  # header label, RFC 9596
_PROTECTED = cose.encode({_TYPE: "application/vnd.prescan.policy"})
_KEY_ID_BYTES = 16
_LARGEST_SERIAL = (1 << 63) - 1
_LARGEST_THRESHOLD = (1 << 16) - 1  # shares are derived from two bytes of it
_LARGEST_DAY = (1 << 32) - 1
_LONGEST_NAME = 64

_P = (1 << 255) - 19
_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER = frozenset({0, 1, _P - 1, _ORDER_8, _P - _ORDER_8})  # all y of order 1, 2, 4 or 8 on edwards25519


@dataclass(frozen=True, slots=True)
class Policy:
    """One edition of the policy. Ranges are in the module's table.

    Attributes:
        serial: grows with each edition.
        threshold: t, different contents it takes to open an account's vouchers.
        profile: :data:`MATCH_ONLY` or :data:`COVERED`.
        algorithm: of the list's hashes.
        radius: largest distance that counts as a match, bits, inclusive.
        quality_floor: pictures below it are not matched.
        opener_key: raw X25519 public key vouchers are sealed to, 32 bytes.
        hashset_digest: the edition of the list, 32 bytes.
        hashset_name: which list.
        not_before: days since 1970; until then the policy before it stays in force.
        signers: raw Ed25519 public keys of 32 bytes, ascending, all different.
        quorum: signatures by these signers that the next policy needs if it changes what is listed above.
        ordinary: signatures by them that it needs otherwise.

    Raises:
        ArgumentError: a value is of another type or out of its range.
    """

    serial: int
    threshold: int
    profile: str
    algorithm: str
    radius: int
    quality_floor: int
    opener_key: bytes
    hashset_digest: bytes
    hashset_name: str
    not_before: int
    signers: tuple[bytes, ...]
    quorum: int
    ordinary: int

    def __post_init__(self) -> None:
        _check_number("serial", self.serial, 1, _LARGEST_SERIAL)
        _check_number("threshold", self.threshold, THRESHOLD_FLOOR, _LARGEST_THRESHOLD)
        if type(self.profile) is not str or self.profile not in (MATCH_ONLY, COVERED):
            raise ArgumentError(f"a policy's profile is {MATCH_ONLY!r} or {COVERED!r}, not {self.profile!r}")
        if type(self.algorithm) is not str or self.algorithm not in ALGORITHMS:
            raise ArgumentError(f"no algorithm named {self.algorithm!r}; known: {', '.join(ALGORITHMS)}")
        _check_number("radius", self.radius, 0, ALGORITHMS[self.algorithm].bits // 2 - 1)
        _check_number("quality_floor", self.quality_floor, 0, 100)
        _check_opener_key(self.opener_key)
        _check_bytes("hashset_digest", self.hashset_digest)
        _check_name(self.hashset_name)
        _check_number("not_before", self.not_before, 0, _LARGEST_DAY)
        _check_signers(self.signers)
        _check_number("quorum", self.quorum, 1, len(self.signers))
        _check_number("ordinary", self.ordinary, 1, self.quorum)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the payload, whoever signed it: what vouchers name, 32 bytes."""
        return hashlib.sha256(self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Write the payload, which is what gets signed."""
        values = {number: getattr(self, part.name) for number, part in enumerate(fields(self), 2)}
        return cose.encode({1: VERSION, **values})

    @classmethod
    def from_bytes(cls, payload: bytes) -> Policy:
        """Read a payload.

        Raises:
            VoucherError: ``malformed``, ``unknown-version``, ``unknown-algorithm`` or ``threshold-too-low``.
        """
        values = cose.decode(payload, "policy")
        if not isinstance(values, dict) or any(type(label) is not int for label in values):
            raise VoucherError("malformed", "the policy is not a map of numbered fields; ask for it again")
        version = values.get(1)
        if type(version) is not int or version != VERSION:
            raise VoucherError(
                "unknown-version", f"only policies of version {VERSION} are known here; update this program"
            )
        names = [part.name for part in fields(cls)]
        if list(values) != list(range(1, len(names) + 2)):
            raise VoucherError("malformed", "the policy does not have exactly the fields of a policy; ask for it again")
        named: dict[str, Any] = dict(zip(names, list(values.values())[1:], strict=True))
        _refuse_low_threshold(named["threshold"])
        if type(named["algorithm"]) is str and named["algorithm"] not in ALGORITHMS:
            known = ", ".join(ALGORITHMS)
            message = f"the policy is for an algorithm not known here (known: {known}); update this program"
            raise VoucherError("unknown-algorithm", message)
        if isinstance(named["signers"], list):
            named["signers"] = tuple(named["signers"])
        try:
            return cls(**named)
        except ArgumentError as error:
            raise VoucherError("malformed", f"the policy can't be used: {error}") from error


@dataclass(frozen=True, slots=True)
class PinnedSigners:
    """Whom a device trusts before it has any policy; shipped with the program.

    Attributes:
        keys: raw Ed25519 public keys of 32 bytes, ascending, all different.
        quorum: how many of them must have signed the first policy.

    Raises:
        ArgumentError: as for a policy's signers and quorum.
    """

    keys: tuple[bytes, ...]
    quorum: int

    def __post_init__(self) -> None:
        _check_signers(self.keys)
        _check_number("quorum", self.quorum, 1, len(self.keys))


class SignedPolicy(NamedTuple):
    """A policy and the keys that signed it. Whether these keys mean anything, :func:`check_successor` decides."""

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
    payload, signatures = _take_apart(message)
    Policy.from_bytes(payload)
    return _assemble(payload, {**signatures, **dict([_signature(key, payload)])})


def read(message: bytes, known: Iterable[bytes] = ()) -> SignedPolicy:
    """Read a policy and find out who signed it.

    That says only that the message is whole: a policy names its own signers, so anybody can write one that reads well.
    Act on what :func:`check_successor` returns.

    Args:
        message: as :func:`sign` wrote it.
        known: raw public keys that may have signed it beside its own signers: those of the policy before.

    Raises:
        VoucherError: ``too-large``, ``malformed``, ``unknown-version``, ``unknown-algorithm``, ``threshold-too-low``;
            ``bad-signature`` if any signature is invalid, by a key neither known nor the policy's, or there twice.
    """
    payload, signatures = _take_apart(message)
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


def check_successor(current: Policy | None, pinned: PinnedSigners, message: bytes) -> Policy:
    """Decide whether a device accepts a policy after the one it accepted last.

    Args:
        current: the last accepted, whether or not its ``not_before`` has come; None if there never was one. Keep its
            :meth:`Policy.to_bytes` safe: who can delete or exchange it can start the device over.
        pinned: whom to trust if there is none; not used otherwise.
        message: the signed policy.

    Returns:
        the accepted policy; ``current`` itself if it is the same again.

    Raises:
        VoucherError: ``rollback``, ``not-enough-signatures``, or as for :func:`read`.
    """
    if current is None:
        new, signed_by = read(message, pinned.keys)
        _count(new, signed_by, pinned.keys, pinned.quorum, "the pinned signers", "it is the first")
        _count(new, signed_by, new.signers, new.quorum, "its own signers", "it is the first")
        return new
    # An old edition may bear signatures of keys no longer known. That it is old can be told, and refused, without them.
    offered = Policy.from_bytes(_take_apart(message)[0])
    if offered == current:
        return current
    if offered.serial <= current.serial:
        raise VoucherError(
            "rollback",
            f"edition {offered.serial} of the policy came after edition {current.serial} was accepted; get a later one",
        )
    new, signed_by = read(message, current.signers)
    why = what_needs_quorum(current, new)
    needed = current.quorum if why else current.ordinary
    _count(new, signed_by, current.signers, needed, "the current signers", ", ".join(why) or "an ordinary change")
    if _authority(new) != _authority(current):
        _count(new, signed_by, new.signers, new.quorum, "its own signers", "it changes who signs")
    return new


def what_needs_quorum(current: Policy, new: Policy) -> tuple[str, ...]:
    """The changes for which ``ordinary`` signatures are not enough, in words; empty if there are none."""
    same_algorithm = new.algorithm == current.algorithm
    changes = {
        "it changes who signs": _authority(new) != _authority(current),
        "another opener key": new.opener_key != current.opener_key,
        "a lower threshold": new.threshold < current.threshold,
        "another algorithm": not same_algorithm,
        "a larger radius": same_algorithm and new.radius > current.radius,
        "a lower quality floor": new.quality_floor < current.quality_floor,
        "another profile": new.profile != current.profile,
        "a list of another name": new.hashset_name != current.hashset_name,
        f"more than {MOST_ORDINARY_STEP} editions on": new.serial - current.serial > MOST_ORDINARY_STEP,
    }
    return tuple(change for change, happened in changes.items() if happened)


def _authority(policy: Policy) -> tuple[tuple[bytes, ...], int, int]:
    return policy.signers, policy.quorum, policy.ordinary


def _count(
    new: Policy, signed_by: frozenset[bytes], signers: tuple[bytes, ...], needed: int, whose: str, why: str
) -> None:
    count = len(signed_by.intersection(signers))
    if count < needed:
        raise VoucherError(
            "not-enough-signatures",
            f"edition {new.serial} of the policy needs {needed} signatures by {whose} ({why}), it has {count}; get it "
            "signed by more of them, or accept the editions before it first",
        )


def _take_apart(message: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Payload, and signatures by key id, without believing either."""
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


def _refuse_low_threshold(threshold: object) -> None:
    if type(threshold) is int and threshold < THRESHOLD_FLOOR:
        raise VoucherError(
            "threshold-too-low",
            f"the policy's threshold is {threshold}, none under {THRESHOLD_FLOOR} is accepted; keep the one before",
        )


def _check_number(name: str, value: object, least: int, most: int) -> None:
    # True and 1.0 equal 1 and have other encodings.
    if type(value) is not int or not least <= value <= most:
        raise ArgumentError(f"a policy's {name} is a whole number from {least} to {most}, not {value!r}")


def _check_bytes(name: str, value: object) -> None:
    if type(value) is not bytes or len(value) != 32:
        raise ArgumentError(f"a policy's {name} has 32 bytes")


def _check_name(name: object) -> None:
    if type(name) is not str or not name.isprintable() or name != name.strip():
        raise ArgumentError("a policy's hashset_name is printable text without space at either end")
    if not 1 <= len(name.encode()) <= _LONGEST_NAME:
        raise ArgumentError(f"a policy's hashset_name has 1 to {_LONGEST_NAME} bytes of UTF-8")


def _check_opener_key(key: bytes) -> None:
    """Nothing can be sealed to a point of small order; that shows in an exchange with any private key."""
    _check_bytes("opener_key", key)
    try:
        X25519PrivateKey.from_private_bytes(bytes(32)).exchange(X25519PublicKey.from_public_bytes(key))
    except ValueError as error:
        raise ArgumentError("a policy's opener_key is no X25519 public key that can be sealed to") from error


def _check_signers(keys: object) -> None:
    """Anyone can sign for a key of small order; a key in two encodings (RFC 8032 section 5.1.3) would count twice."""
    if type(keys) is not tuple or not 1 <= len(keys) <= MOST_SIGNERS:
        raise ArgumentError(f"there are 1 to {MOST_SIGNERS} signers")
    for key in keys:
        _check_bytes("signer's key", key)
        y = int.from_bytes(key, "little") & ((1 << 255) - 1)
        if y >= _P or y in _SMALL_ORDER:
            raise ArgumentError("a signer's key is one that anyone can sign for, or not in its one encoding")
    if list(keys) != sorted(set(keys)):
        raise ArgumentError("the signers' keys are all different and in ascending order")

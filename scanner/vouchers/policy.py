"""What a policy is: the ranges of its fields, and the bytes that get signed. Pure: no clock, no file.

Rules: a threshold under :data:`THRESHOLD_FLOOR` is refused whoever signed it; no value out of its range is written or
read; bytes are accepted only in the one encoding we would write.

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
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

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
        quorum: signatures by these signers that the next policy needs if it changes what is listed in
            :mod:`scanner.vouchers.policies`.
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

"""What stands outside a voucher's encryption, and the calendar of windows."""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Any

from scanner.errors import VoucherError
from scanner.vouchers import cose

VERSION = 1
"""Version 1 holds a share and a payload that only enough shares open; nothing else is accepted."""

WINDOW_SECONDS = 28 * 24 * 3600
SLOTS = 1 << 16
WINDOWS = 1 << 32

_FIELDS = -70001  # private-use COSE header label
_PLACE = struct.Struct(">BIH32s")  # version, window, slot, policy digest: of one length whatever the numbers
_BYTES = re.compile(rb"\xa3\x01\x27\x04\x50(.{16})\x3a\x00\x01\x11\x70\x58\x27(\x01.{38})", re.DOTALL)
"""A header of this version as CBOR: {1: -8, 4: device id, -70001: place}."""


@dataclass(frozen=True, slots=True)
class VoucherHeader:
    """The voucher's protected header; all of it is signed and bound into the encryption.

    Attributes:
        device_id: first 16 bytes of SHA-256 over the device's public key.
        window: number of the 28-day window since 1970.
        slot: position in the window; a device uses each once.
        policy_digest: 32 bytes naming the policy the device acted under.
        version: of what is inside.
    """

    device_id: bytes
    window: int
    slot: int
    policy_digest: bytes
    version: int = VERSION

    def to_cose(self) -> dict[int, Any]:
        """The header as COSE protected fields."""
        place = _PLACE.pack(self.version, self.window, self.slot, self.policy_digest)
        return {cose.KEY_ID: self.device_id, _FIELDS: place}

    @classmethod
    def from_bytes(cls, header: bytes) -> VoucherHeader:
        """Read and check protected bytes.

        Raises:
            VoucherError: ``malformed``, or ``unknown-version``.
        """
        if found := _BYTES.fullmatch(header):  # all that are good; an intake reads each voucher's, so not by a decoder
            version, window, slot, policy = _PLACE.unpack(found[2])
            return cls(found[1], window, slot, policy, version)
        return cls.from_cose(cose.fields_of(header, "voucher"))

    @classmethod
    def from_cose(cls, fields: dict[int, Any]) -> VoucherHeader:
        """Read and check protected fields.

        Raises:
            VoucherError: ``malformed``, or ``unknown-version``.
        """
        if set(fields) != {cose.ALGORITHM, cose.KEY_ID, _FIELDS}:
            raise VoucherError("malformed", "the voucher's header does not have the fields of a voucher")
        device, place = fields[cose.KEY_ID], fields[_FIELDS]
        if not (isinstance(device, bytes) and len(device) == 16 and isinstance(place, bytes)):
            raise VoucherError("malformed", "the voucher's device id or place is of the wrong kind")
        if len(place) != _PLACE.size:
            raise VoucherError("malformed", f"the voucher's place has {len(place)} bytes, not {_PLACE.size}")
        version, window, slot, policy = _PLACE.unpack(place)
        if version != VERSION:
            raise VoucherError("unknown-version", f"voucher version {version} is not known here, only {VERSION}")
        return cls(device, window, slot, policy, version)


def device_id_of(public_key: bytes) -> bytes:
    """A device's id: 16 bytes of SHA-256 over its raw Ed25519 public key, 32 bytes."""
    return hashlib.sha256(public_key).digest()[:16]


def window_at(now: float) -> int:
    """Number of the window a moment, in seconds since 1970, falls in."""
    return max(0, int(now)) // WINDOW_SECONDS


def day_at(now: float) -> int:
    """Number of the day since 1970."""
    return max(0, int(now)) // 86400

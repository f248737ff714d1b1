"""What a voucher tells, and nothing more: never the picture."""

from __future__ import annotations

from dataclasses import dataclass, fields

from scanner.errors import VoucherError
from scanner.types import Verdict
from scanner.vouchers import cose
from scanner.vouchers.header import day_at

PADDED_BYTES = 256
"""Every payload is padded to this, so that lengths tell nothing."""

_LENGTH_BYTES = 2
_LARGEST_NUMBER = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Payload:
    """What the opener learns of one match.

    Attributes:
        content_id: cluster of the nearest entry.
        leaf_index: position of that entry in the hash set.
        policy_digest: policy the device acted under.
        algorithm: of the hash.
        distance: bits between the picture's hash and the entry's.
        quality: the picture's.
        hash: the picture's.
        day: days since 1970; nothing finer.
        hashset_digest: the edition of the list that was searched.
        account: the account's id, 16 bytes.
        build: names the client's build, up to 32 bytes; what it holds is the client's choice.
    """

    content_id: int
    leaf_index: int
    policy_digest: bytes
    algorithm: str
    distance: int
    quality: int
    hash: bytes
    day: int
    hashset_digest: bytes
    account: bytes = bytes(16)
    build: bytes = b""

    @classmethod
    def of_match(
        cls,
        verdict: Verdict,
        *,
        policy_digest: bytes,
        hashset_digest: bytes,
        account: bytes,
        now: float,
        build: bytes = b"",
    ) -> Payload:
        """Describe the nearest match of a verdict; ``now`` in seconds since 1970.

        Raises:
            ValueError: the verdict has no match.
        """
        if not verdict.matches or verdict.hash is None or verdict.quality is None:
            raise ValueError("only a match makes a payload")
        nearest = verdict.matches[0]
        return cls(
            content_id=nearest.cluster,
            leaf_index=nearest.index,
            policy_digest=policy_digest,
            algorithm=verdict.hash.algorithm,
            distance=nearest.distance,
            quality=verdict.quality,
            hash=verdict.hash.data,
            day=day_at(now),
            hashset_digest=hashset_digest,
            account=account,
            build=build,
        )

    def to_bytes(self) -> bytes:
        """Write as a deterministic CBOR map, keys 1 to 11 in the order above, length before, zeros after: 256 bytes."""
        body = cose.encode({number: getattr(self, part.name) for number, part in enumerate(fields(self), 1)})
        framed = len(body).to_bytes(_LENGTH_BYTES) + body
        if len(framed) > PADDED_BYTES:
            raise ValueError(f"a payload has at most {PADDED_BYTES} bytes, this has {len(framed)}")
        return framed.ljust(PADDED_BYTES, b"\0")

    @classmethod
    def from_bytes(cls, data: bytes) -> Payload:
        """Read a padded payload.

        Raises:
            VoucherError: ``malformed``.
        """
        end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES])
        if len(data) != PADDED_BYTES or end > PADDED_BYTES or any(data[end:]):
            raise VoucherError("malformed", "the payload is not framed as it should be")
        values = cose.decode(data[_LENGTH_BYTES:end], "payload")
        parts = fields(cls)
        if not isinstance(values, dict) or list(values) != list(range(1, len(parts) + 1)):
            raise VoucherError("malformed", "the payload does not have the eleven fields of a match")
        for part, value in zip(parts, values.values(), strict=True):
            if type(value).__name__ != part.type or (isinstance(value, int) and not 0 <= value <= _LARGEST_NUMBER):
                raise VoucherError("malformed", f"the payload's {part.name} is of the wrong kind")
        return cls(*values.values())

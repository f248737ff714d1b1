"""The frozen values that travel between the stages.

Rules: no stage is imported here; every value is immutable and hashable; text forms are the field's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from scanner.errors import HashFormatError, HashShapeError

_HEX = re.compile(r"[0-9a-fA-F]*")


@dataclass(frozen=True, slots=True)
class PerceptualHash:
    """One perceptual hash.

    Attributes:
        algorithm: name of the algorithm and lineage, such as ``"pdq"``. Hashes compare only within one.
        data: the bits, first bit of the text form highest; ``bits // 8`` bytes.

    The text form is lower-case hexadecimal, first bit first: what ``pdqhash`` callers get by packing its vector,
    what ThreatExchange exchanges, and what ``str(imagehash.ImageHash)`` prints.
    """

    algorithm: str
    data: bytes

    @property
    def bits(self) -> int:
        """Length in bits."""
        return 8 * len(self.data)

    @property
    def hex(self) -> str:
        """The field's text form, lower case."""
        return self.data.hex()

    @classmethod
    def from_hex(cls, text: str, algorithm: str = "pdq", *, bits: int = 256) -> PerceptualHash:
        """Read the text form; upper case and surrounding white space are accepted, nothing else is.

        Raises:
            HashFormatError: wrong length or a character that is not hexadecimal.
        """
        digits = text.strip()
        if len(digits) != bits // 4:
            raise HashFormatError(f"a {algorithm} hash has {bits // 4} hexadecimal digits, this has {len(digits)}")
        if not _HEX.fullmatch(digits):
            raise HashFormatError(f"a {algorithm} hash is written in hexadecimal digits only")
        return cls(algorithm, bytes.fromhex(digits))

    def distance(self, other: PerceptualHash) -> int:
        """Count the bits in which two hashes of one algorithm differ.

        Raises:
            HashShapeError: the algorithms or lengths differ.
        """
        if (self.algorithm, len(self.data)) != (other.algorithm, len(other.data)):
            raise HashShapeError(
                f"a {self.bits}-bit {self.algorithm} hash has no distance to a {other.bits}-bit {other.algorithm} hash"
            )
        return (int.from_bytes(self.data) ^ int.from_bytes(other.data)).bit_count()

    def __str__(self) -> str:
        return self.hex


class HashedPicture(NamedTuple):
    """What hashing a picture yields.

    Attributes:
        hash: the perceptual hash.
        quality: PDQ's gradient measure of the picture, 0 (flat) to 100; the same for every algorithm.
    """

    hash: PerceptualHash
    quality: int


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of the hash set within the radius.

    Attributes:
        index: position of the entry in the hash set.
        distance: bits in which the two hashes differ.
        cluster: number shared by entries that show the same picture; what a voucher names.
        label: what the list's maker says of the entry.
    """

    index: int
    distance: int
    cluster: int
    label: str


class Outcome(StrEnum):
    """What a scan found out; each has its own action in a profile."""

    MATCH = "match"
    NO_MATCH = "no-match"
    LOW_QUALITY = "low-quality"
    UNSCANNABLE = "unscannable"
    TIMEOUT = "timeout"
    ERROR = "error"


class Action(StrEnum):
    """What the client should do with the picture."""

    SEND = "send"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one scan.

    Attributes:
        outcome: what was found out.
        action: what the profile says to do about it.
        reason: one line for a person; names no hash.
        matches: the nearest entries within the radius, nearest first, ties by lowest index, at most 1,000; empty unless
            ``MATCH``.
        hash: the picture's hash, where one was computed. It stays on the device unless there is a match.
        quality: the picture's quality, 0 to 100, where one was computed.
    """

    outcome: Outcome
    action: Action
    reason: str
    matches: tuple[Match, ...] = ()
    hash: PerceptualHash | None = None
    quality: int | None = None

    @property
    def matched(self) -> bool:
        """True if at least one entry is within the radius."""
        return self.outcome is Outcome.MATCH

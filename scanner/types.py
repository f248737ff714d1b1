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


class HashedFrame(NamedTuple):
    """One frame of an animation or a video, hashed.

    Attributes:
        hash, quality: as of a picture.
        seconds: when it is first shown.
    """

    hash: PerceptualHash
    quality: int
    seconds: float


@dataclass(frozen=True, slots=True)
class HashedMedia:
    """What hashing a picture, an animation or a video yields.

    Attributes:
        frames: at least one; no two with the same hash, in the order they are shown.
        moving: whether they are shown one after the other: a video, or an animation of more than one frame.
        complete: False if frames were left out because there were too many, or because one is damaged.
    """

    frames: tuple[HashedFrame, ...]
    moving: bool = False
    complete: bool = True


@dataclass(frozen=True, slots=True)
class VideoMatch:
    """How much of a known video and of what is sent have in common.

    Attributes:
        sent: share of the sent frames that are near a frame of the known video, 0 to 1.
        known: share of the known video's frames that are near a sent frame, 0 to 1.
    """

    sent: float
    known: float


@dataclass(frozen=True, slots=True)
class Match:
    """One entry of the hash set within the radius.

    Attributes:
        index: position of the entry in the hash set.
        distance: bits in which the two hashes differ.
        cluster: number shared by entries that show the same picture; what a voucher names.
        label: what the list's maker says of the entry.
        seconds: when the frame that matched is shown; 0 for pictures.
        video: of an entry that is a video's frame: how much matched. The entry is the nearest one of the video.
    """

    index: int
    distance: int
    cluster: int
    label: str
    seconds: float = 0.0
    video: VideoMatch | None = None


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
        hash: the picture's hash, where one was computed; of several frames the one that is nearest. It stays on the
            device unless there is a match.
        quality: the picture's, or that frame's, quality, 0 to 100, where one was computed.
        frames: how many different frames were looked at; 1 for a picture.
    """

    outcome: Outcome
    action: Action
    reason: str
    matches: tuple[Match, ...] = ()
    hash: PerceptualHash | None = None
    quality: int | None = None
    frames: int = 0

    @property
    def matched(self) -> bool:
        """True if at least one entry is within the radius."""
        return self.outcome is Outcome.MATCH

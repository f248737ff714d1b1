"""What goes between the process that holds keys and the one that decodes: fixed fields, nothing to be parsed.

Layout, little-endian::

    hello     4s magic, u32 protections in force (bits of scanner.sandbox.confine)
    request   4s magic, u8 accuracy, u64 max_pixels, u32 max_frames, u64 max_total_pixels, u64 length; then the media,
              unless it lies in memory that both share
    step      4s magic, u16 0, u32 millionths of a video that are hashed; once a frame at most, before the answer
    answer    4s magic, u8 fault (0 for none), u8 flags, u32 count
              no fault: count frames, each the hash, u8 quality, f64 seconds
              a fault:  count bytes of message, printable ASCII

An answer comes from a process that hostile bytes may have taken over: every field is checked for range.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from enum import IntFlag

from scanner.errors import MediaError, MediaFault
from scanner.media import Accuracy, Limits
from scanner.types import HashedFrame, HashedMedia, PerceptualHash

MAGIC = b"PSW1"
HELLO = struct.Struct("<4sI")
REQUEST = struct.Struct("<4sBQIQQ")
ANSWER = struct.Struct("<4sBBI")
STEP_MAGIC = b"PSP1"
LONGEST_MESSAGE = 300

_FRAME_TAIL = struct.Struct("<Bd")
_WHOLE = 1_000_000
_ACCURACIES = tuple(Accuracy)
_FAULTS = (None, *MediaFault)

Read = Callable[[int], bytes]
"""Gives exactly so many bytes, or raises."""


class Flags(IntFlag):
    """What an answer says besides its frames."""

    MOVING = 1
    COMPLETE = 2


def request(length: int, accuracy: Accuracy, limits: Limits) -> bytes:
    """Write what comes before media of so many bytes."""
    return REQUEST.pack(
        MAGIC, _ACCURACIES.index(accuracy), limits.max_pixels, limits.max_frames, limits.max_total_pixels, length
    )


def read_request(head: bytes) -> tuple[int, Accuracy, Limits]:
    """Read it again: length, accuracy, limits."""
    _, accuracy, max_pixels, max_frames, max_total_pixels, length = REQUEST.unpack(head)
    limits = Limits(max_bytes=length, max_pixels=max_pixels, max_frames=max_frames, max_total_pixels=max_total_pixels)
    return length, _ACCURACIES[accuracy], limits


def step(share: float) -> bytes:
    """Write how much of a video is hashed, 0 to 1."""
    return ANSWER.pack(STEP_MAGIC, 0, 0, round(share * _WHOLE))


def answer(media: HashedMedia) -> bytes:
    """Write what was found in media."""
    flags = Flags.MOVING * media.moving | Flags.COMPLETE * media.complete
    frames = (frame.hash.data + _FRAME_TAIL.pack(frame.quality, frame.seconds) for frame in media.frames)
    return ANSWER.pack(MAGIC, 0, flags, len(media.frames)) + b"".join(frames)


def fault(error: MediaError) -> bytes:
    """Write why media can't be decoded."""
    message = _printable(str(error).encode("ascii", "replace"))[:LONGEST_MESSAGE].encode()
    return ANSWER.pack(MAGIC, _FAULTS.index(error.fault), 0, len(message)) + message


def read_answer(
    read: Read, algorithm: str, bits: int, limits: Limits, progress: Callable[[float], None] | None = None
) -> HashedMedia:
    """Read an answer, believing nothing.

    ``progress`` is told of each step before the answer, as a share of 1.

    Raises:
        MediaError: the media's fault, as the answer has it.
        ValueError: a field is out of range.
    """
    steps = 0
    while True:
        magic, fault_number, flags, count = ANSWER.unpack(read(ANSWER.size))
        if magic != STEP_MAGIC:
            break
        steps += 1
        if fault_number or flags or count > _WHOLE or steps > max(1, limits.max_frames):
            raise ValueError("no step, or too many")
        if progress is not None:
            progress(count / _WHOLE)
    if magic != MAGIC or fault_number >= len(_FAULTS) or flags > Flags.MOVING | Flags.COMPLETE:
        raise ValueError("no answer")
    why = _FAULTS[fault_number]
    if why is not None:
        if count > LONGEST_MESSAGE:
            raise ValueError("a message too long")
        raise MediaError(why, _printable(read(count)))
    if not 1 <= count <= max(1, limits.max_frames):
        raise ValueError("too many frames, or none")
    size = bits // 8
    frames = []
    for _ in range(count):
        record = read(size + _FRAME_TAIL.size)
        quality, seconds = _FRAME_TAIL.unpack(record[size:])
        if quality > 100 or not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError("a quality or a time out of range")
        frames.append(HashedFrame(PerceptualHash(algorithm, record[:size]), quality, seconds))
    return HashedMedia(tuple(frames), moving=bool(flags & Flags.MOVING), complete=bool(flags & Flags.COMPLETE))


def _printable(message: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in message)

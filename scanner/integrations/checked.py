"""What the gate answers, and what it tells meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from scanner.errors import ArgumentError
from scanner.integrations.notices import Notice
from scanner.types import Verdict

PIECE = 1 << 20
"""Bytes of a piece; encrypting takes a few threads' turns for each, so small pieces are slow."""


class Decision(StrEnum):
    """What the client does: send, send and tell the sender, or hold and tell the sender."""

    SEND = "send"
    NOTIFY = "notify"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Progress:
    """A check that takes longer than the soft budget.

    Attributes:
        seconds: since it began.
        limit: seconds the scan may take by its profile, from when it runs.
        running: False while it waits for other checks.
        video: whether it is a video.
        share: of a video, that is hashed, 0 to 1; None for all else, and until its first frame is.
    """

    seconds: float
    limit: float
    running: bool
    video: bool
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """The answer to one check.

    Attributes:
        decision: what to do.
        verdict: what was found out; holds the picture's hash, so it is not for logs.
        data: exactly what was scanned, to be sent; None if it is held, or was not read because it can't be or is too
            large. Media that was not read and is not held is sent from where it is.
        notice: what to show the sender; None after ``SEND``.
        seconds: how long it took.
    """

    decision: Decision
    verdict: Verdict = field(repr=False)
    data: bytes | None = field(repr=False)
    notice: Notice | None
    seconds: float

    @property
    def held(self) -> bool:
        """Whether it must not be sent."""
        return self.decision is Decision.HOLD

    def pieces(self, size: int = PIECE) -> Iterator[memoryview]:
        """The data in pieces, from the beginning at each call; the same bytes each time.

        Raises:
            ArgumentError: there is no data.
        """
        if self.data is None:
            raise ArgumentError("media that is held or was not read has no pieces")
        whole = memoryview(self.data)
        return (whole[at : at + size] for at in range(0, len(whole), size))

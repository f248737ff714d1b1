"""Every error this package raises on purpose, in one tree.

    ScannerError
    ├── LocalError                 the caller or this machine is at fault
    │   ├── ArgumentError          a value is outside what the docstring allows
    │   ├── HashFormatError        text is not a hash of the algorithm it is said to be
    │   ├── HashShapeError         an array has another shape or dtype than the docstring asks
    │   ├── UnknownNameError       no algorithm, engine or profile of that name
    │   ├── KeyFileError           a key file is missing, unreadable, too open or of another kind
    │   ├── SandboxError           the process that decodes media can't be started
    │   └── StorageError           a file or database here can't be read or written
    └── RemoteError                data or answers from outside are at fault
        ├── MediaError             bytes are not a picture we can and may decode
        ├── HashListError          a list of hashes, or a line of it, can't be read
        ├── HashSetError           a hash-set file is corrupt, cut, or of another version
        ├── VoucherError           a voucher or receipt is malformed, forged or moved
        └── DeliveryError          the intake can't be reached or answers wrongly
            └── RefusedError       the intake understood and said no: sending again won't help

Messages name what was wrong, where, and what to do. They never hold a hash of scanned media or a secret.
"""

from __future__ import annotations

from enum import StrEnum


class ScannerError(Exception):
    """Root of the tree; catch this to catch everything raised on purpose."""


class LocalError(ScannerError):
    """The caller or this machine is at fault."""


class RemoteError(ScannerError):
    """Data or answers from outside are at fault."""


class ArgumentError(LocalError, ValueError):
    """A value is outside what the docstring allows."""


class HashFormatError(LocalError, ValueError):
    """Text is not a hash of the algorithm it is said to be."""


class HashShapeError(LocalError, ValueError):
    """An array has another shape or dtype than the docstring asks."""


class UnknownNameError(LocalError, KeyError):
    """No algorithm, engine or profile of that name."""

    def __init__(self, kind: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no {kind} named {name!r}; known: {', '.join(known)}")

    def __str__(self) -> str:
        return str(self.args[0])


class KeyFileError(LocalError):
    """A key file is missing, unreadable, too open or of another kind."""


class StorageError(LocalError):
    """A file or database on this machine can't be read or written."""


class SandboxError(LocalError):
    """The process that decodes media can't be started on this machine."""


class MediaFault(StrEnum):
    """Why media can't be decoded; stable names for counting and for policy.

    ``TIMED_OUT`` and ``CRASHED`` are of the process that decodes: it was killed for being late, or ended or answered
    wrongly.
    """

    UNREADABLE = "unreadable"
    NOT_A_PICTURE = "not-a-picture"
    UNSUPPORTED = "unsupported"
    DAMAGED = "damaged"
    TOO_LARGE = "too-large"
    TIMED_OUT = "timed-out"
    CRASHED = "crashed"


class MediaError(RemoteError):
    """Bytes are not a picture we can and may decode; ``fault`` says in which way."""

    def __init__(self, fault: MediaFault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


class HashListError(RemoteError):
    """A list of hashes, or a line of it, can't be read."""


class HashSetError(RemoteError):
    """A hash-set file is corrupt, cut, of another version, or lacks the evidence that was asked for."""


class VoucherError(RemoteError):
    """A voucher or receipt is malformed, forged or moved; ``problem`` is a stable short name."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


class DeliveryError(RemoteError):
    """The intake can't be reached or answers wrongly; sending again later may help.

    Args:
        message: what happened.
        retry_after: seconds the intake asked to be left alone, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RefusedError(DeliveryError):
    """The intake understood and said no: sending the same bytes again won't help."""

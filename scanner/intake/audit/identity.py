"""The audit log's name and key: both stay for its whole life, so whoever would write to it is checked first."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.notes import Verifier


def log_name(origin: str | None) -> str:
    """The log's name in its checkpoints: the origin without its scheme."""
    return (origin or "localhost").removeprefix("https://").removeprefix("http://")


def agreed_name(note: str, origin: str | None, signing_key: Ed25519PrivateKey) -> str:
    """The name under which a log may be written on.

    Args:
        note: its newest checkpoint; empty for a log without entries.
        origin: how the intake is reached; None leaves a log that has begun its name.
        signing_key: what would sign.

    Raises:
        ArgumentError: the log is signed by another key, or has another name.
    """
    name = log_name(origin)
    if not note:
        return name
    begun = note.partition("\n")[0]
    if origin is not None and begun != name:
        raise ArgumentError(
            f"the audit log is named {begun}, not {name}; give the origin that the intake is served with"
        )
    try:
        Checkpoint.parse(note, Verifier(begun, signing_key.public_key().public_bytes_raw()))
    except VoucherError as error:
        raise ArgumentError(
            "the audit log is signed by another key than this; give the one that the intake is served with"
        ) from error
    return begun

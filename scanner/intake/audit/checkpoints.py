"""Checkpoints: the log's word on its size and root at one time (C2SP tlog-checkpoint).

Rules: a checkpoint is read only out of a note that a known key signed; it is of the log that was asked for, or refused;
every checkpoint has one text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import ArgumentError, VoucherError
from scanner.intake.audit.merkle import EMPTY_ROOT, HASH_SIZE
from scanner.intake.audit.notes import Signer, Verifier, from_base64, is_plain, open_note, sign_note, to_base64
from scanner.intake.audit.places import check_size

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree of a log.

    Attributes:
        origin: which log, such as ``intake.example/audit``.
        size: leaves in the tree.
        root: the tree's root, 32 bytes.
        extensions: further lines; logs of others may have them, ours has none.

    Raises:
        ArgumentError: a field can't be that of a checkpoint.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_size(self.size)
        if len(self.root) != HASH_SIZE:
            raise ArgumentError(f"a checkpoint's root has {HASH_SIZE} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise ArgumentError("an empty tree has another root")
        if not all(line and "\n" not in line and is_plain(line) for line in (self.origin, *self.extensions)):
            raise ArgumentError("a checkpoint's origin and extensions are lines of text, none of them empty")

    @property
    def text(self) -> str:
        """What is signed."""
        return "".join(f"{line}\n" for line in (self.origin, self.size, to_base64(self.root), *self.extensions))

    def sign(self, key: Ed25519PrivateKey, name: str | None = None) -> str:
        """Write it as a signed note.

        Args:
            key: the log's.
            name: the key's name; the origin if not given.

        Raises:
            ArgumentError: the name can't be that of a key.
        """
        return sign_note(self.text, Signer(self.origin if name is None else name, key))

    @classmethod
    def parse(cls, message: bytes | str, *verifiers: Verifier, origin: str | None = None) -> Checkpoint:
        """Check a signed checkpoint and read it.

        Args:
            message: the whole note.
            verifiers: the log's keys, such as the old and the new one.
            origin: which log it must be of; if not given, it must be one named as a key that signed it is.

        Raises:
            VoucherError: ``malformed``; ``bad-signature``; ``other-log`` if it is of another log.
            ArgumentError: two of the keys have the same name and id.
        """
        note = open_note(message, verifiers)
        checkpoint = cls._of_text(note.text)
        if checkpoint.origin not in ({signer.name for signer in note.signers} if origin is None else {origin}):
            raise VoucherError("other-log", f"the checkpoint is of another log, {checkpoint.origin!r}")
        return checkpoint

    @classmethod
    def _of_text(cls, text: str) -> Checkpoint:
        origin, *rest = text[:-1].split("\n")
        if len(rest) < 2 or not _SIZE.fullmatch(rest[0]):
            raise VoucherError("malformed", "the checkpoint does not have an origin, a size and a root, a line each")
        try:
            return cls(origin, int(rest[0]), from_base64(rest[1]), tuple(rest[2:]))
        except ArgumentError as error:
            raise VoucherError("malformed", f"the checkpoint can't be one: {error}") from error

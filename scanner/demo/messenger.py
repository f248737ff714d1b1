"""A stand-in for a messenger: asks the checkpoint, then encrypts, then "sends"."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from scanner.checkpoint import Checkpoint
from scanner.types import Action, Verdict


@dataclass
class Messenger:
    """Sends pictures end to end encrypted; the server sees what is in ``wire``.

    Attributes:
        checkpoint: asked before anything is encrypted.
        wire: the ciphertexts that left.
    """

    checkpoint: Checkpoint
    wire: list[bytes] = field(default_factory=list)
    _key: bytes = field(default_factory=ChaCha20Poly1305.generate_key, repr=False)

    def send(self, picture: bytes) -> tuple[Verdict, float]:
        """Check one picture and, if it may go, encrypt and send exactly the bytes that were checked.

        Returns:
            the verdict, and the milliseconds the check took.
        """
        started = time.perf_counter()
        verdict = self.checkpoint.check(picture)
        milliseconds = 1000 * (time.perf_counter() - started)
        if verdict.action is Action.SEND:
            nonce = os.urandom(12)
            self.wire.append(nonce + ChaCha20Poly1305(self._key).encrypt(nonce, picture, None))
        return verdict, milliseconds

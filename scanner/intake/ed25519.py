"""Ed25519 by libsodium: verifies and signs in about half of OpenSSL's time, and lets other threads run meanwhile.

It refuses what OpenSSL refuses, and keys and signatures of small order besides.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

_SIGNATURE = 64


class VerifyKey:
    """A public key; stands in where ``cryptography``'s own only verifies.

    Args:
        public_key: 32 bytes.
    """

    __slots__ = ("_public_key",)

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key

    def public_bytes_raw(self) -> bytes:
        """The key, 32 bytes."""
        return self._public_key

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check a signature of 64 bytes.

        Raises:
            InvalidSignature: it is not by this key.
        """
        try:
            crypto_sign_open(signature + data, self._public_key)
        except (CryptoError, ValueError):
            raise InvalidSignature from None


class SigningKey:
    """A private key; stands in where ``cryptography``'s own only signs. The signatures are the same bytes."""

    __slots__ = ("_secret",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        _, self._secret = crypto_sign_seed_keypair(key.private_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """Sign: 64 bytes."""
        return crypto_sign(data, self._secret)[:_SIGNATURE]

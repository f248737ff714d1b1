"""Key files: PEM (PKCS #8, SubjectPublicKeyInfo), private ones of mode 600 and refused if others can read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from scanner.errors import KeyFileError

PrivateKey = Ed25519PrivateKey | X25519PrivateKey
PublicKey = Ed25519PublicKey | X25519PublicKey
_Private = TypeVar("_Private", Ed25519PrivateKey, X25519PrivateKey)
_Public = TypeVar("_Public", Ed25519PublicKey, X25519PublicKey)

_NAMES: dict[type, str] = {
    Ed25519PrivateKey: "an Ed25519 private key (device or intake)",
    X25519PrivateKey: "an X25519 private key (opener)",
    Ed25519PublicKey: "an Ed25519 public key (device or intake)",
    X25519PublicKey: "an X25519 public key (opener)",
}


def write_key_pair(path: str | os.PathLike[str], key: PrivateKey) -> Path:
    """Write a private key, and its public half beside it with the suffix ``.pub``.

    Returns:
        the public key's path.

    Raises:
        KeyFileError: either file exists already or can't be written. No key is ever overwritten.
    """
    private = Path(path)
    public = private.with_name(private.name + ".pub")
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    if public.exists():
        raise KeyFileError(f"{public} exists already; keys are never overwritten")
    _write_new(private, secret, 0o600)
    _write_new(public, public_pem(key.public_key()), 0o644)
    return public


def public_pem(key: PublicKey) -> bytes:
    """Write a public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_private_key(path: str | os.PathLike[str], kind: type[_Private]) -> _Private:
    """Read a private key of a kind.

    Raises:
        KeyFileError: missing, unreadable, readable by others, or of another kind.
    """
    key = read_any_private_key(path)
    if not isinstance(key, kind):
        raise KeyFileError(f"{path} does not hold {_NAMES[kind]}")
    return key


def read_any_private_key(path: str | os.PathLike[str]) -> PrivateKey:
    """Read a private key of either kind; errors as for :func:`read_private_key`."""
    data = _read(path, private=True)
    try:
        key = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no private key in PEM without a password") from error
    if not isinstance(key, (Ed25519PrivateKey, X25519PrivateKey)):
        raise KeyFileError(f"{path} holds neither an Ed25519 nor an X25519 key")
    return key


def read_public_key(path: str | os.PathLike[str], kind: type[_Public]) -> _Public:
    """Read a public key of a kind.

    Raises:
        KeyFileError: missing, unreadable, or of another kind.
    """
    data = _read(path, private=False)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no public key in PEM; is it the file that ends in .pub?") from error
    if not isinstance(key, kind):
        raise KeyFileError(f"{path} does not hold {_NAMES[kind]}")
    return key


def _read(path: str | os.PathLike[str], *, private: bool) -> bytes:
    try:
        with Path(path).open("rb") as file:
            if private and os.fstat(file.fileno()).st_mode & 0o077:
                raise KeyFileError(f"{path} can be read by others; run: chmod 600 {path}")
            return file.read(1 << 16)
    except OSError as error:
        raise KeyFileError(f"can't read the key {path}: {error.strerror or error}") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeyFileError(f"{path} exists already; keys are never overwritten") from None
    except OSError as error:
        raise KeyFileError(f"can't write the key {path}: {error.strerror or error}") from error

"""Signed notes: text, and the signatures of those who vouch for it (C2SP signed-note, Ed25519).

Rules: a key is known by its name and id together; a signature by an unknown key says nothing, good or bad; one bad
signature by a known key spoils the note, and so does the lack of a good one; text is handed out only after that. Base64
and key ids are accepted in the one form we would write ourselves.

    This is the text.
    <an empty line>
    — name.example/log Base64OfKeyIdAndSignature=
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from scanner.errors import ArgumentError, VoucherError

ED25519 = b"\x01"  # the signature type's byte
KEY_ID_SIZE = 4
LARGEST_NOTE = 1_000_000  # bytes
MOST_SIGNATURES = 100

_PREFIX = "— "  # em dash, U+2014, and a space
# All below U+0020 but the newline; and the surrogates, for which UTF-8 has no bytes.
_NEVER = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")
_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key that signs notes, as those who check them know it.

    Attributes:
        name: whose key it is, such as ``intake.example/audit``; no spaces and no plus.
        public_key: the Ed25519 public key, 32 bytes.

    Raises:
        ArgumentError: the name or the key can't be one.
    """

    name: str
    public_key: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public_key) != 32:
            raise ArgumentError("an Ed25519 public key has 32 bytes")

    @property
    def key_id(self) -> bytes:
        """The first 4 bytes of SHA-256 over name, newline, signature type and public key."""
        material = self.name.encode() + b"\n" + ED25519 + self.public_key
        return hashlib.sha256(material).digest()[:KEY_ID_SIZE]

    def __str__(self) -> str:
        """The verifier key in writing: ``name+id+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{to_base64(ED25519 + self.public_key)}"

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read a verifier key.

        Raises:
            VoucherError: ``malformed``; also for other kinds of keys than Ed25519.
        """
        name, _, rest = text.partition("+")
        key_id, _, encoded = rest.partition("+")
        material = from_base64(encoded)
        if material[:1] != ED25519:
            raise VoucherError("malformed", "the verifier key is not an Ed25519 key")
        try:
            verifier = cls(name, material[1:])
        except ArgumentError as error:
            raise VoucherError("malformed", f"the verifier key can't be one: {error}") from error
        if key_id != verifier.key_id.hex():
            raise VoucherError("malformed", "the verifier key's id is not that of its name and key")
        return verifier

    def verifies(self, text: bytes, signature: bytes) -> bool:
        """Tell whether the key's owner signed this text."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, text)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs notes, as its owner holds it.

    Attributes:
        name: whose key it is, such as ``intake.example/audit``; no spaces and no plus.
        key: the private key.

    Raises:
        ArgumentError: the name can't be one.
    """

    name: str
    key: Ed25519PrivateKey

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def verifier(self) -> Verifier:
        """What those who check need to know."""
        return Verifier(self.name, self.key.public_key().public_bytes_raw())


@dataclass(frozen=True, slots=True)
class Note:
    """A note with at least one good signature and no bad one.

    Attributes:
        text: what was signed, with its last newline.
        signers: the known keys that signed it, in the order of their signatures, each once.
    """

    text: str
    signers: tuple[Verifier, ...]


def sign_note(text: str, *signers: Signer) -> str:
    """Sign a text.

    Args:
        text: ends in a newline and has no other control characters.
        signers: one or more, such as an old key and the new one.

    Raises:
        ArgumentError: the text can't be that of a note, or nobody signs it.
    """
    if not text.endswith("\n") or not is_plain(text):
        raise ArgumentError("the text of a note ends in a newline and has no control characters but newlines")
    if not 0 < len(signers) <= MOST_SIGNATURES:
        raise ArgumentError(f"a note has 1 to {MOST_SIGNATURES} signatures, not {len(signers)}")
    signed = text.encode()
    lines = [
        f"{_PREFIX}{signer.name} {to_base64(signer.verifier.key_id + signer.key.sign(signed))}\n" for signer in signers
    ]
    note = text + "\n" + "".join(lines)
    if len(note.encode()) > LARGEST_NOTE:
        raise ArgumentError(f"a note has at most {LARGEST_NOTE} bytes")
    return note


def open_note(message: bytes | str, verifiers: Iterable[Verifier]) -> Note:
    """Check a note's signatures and give its text.

    Args:
        message: the whole note.
        verifiers: the keys that are known.

    Raises:
        VoucherError: ``malformed``; or ``bad-signature``, if a known key's does not verify or no known key signed.
        ArgumentError: two of the known keys have the same name and id.
    """
    known: dict[tuple[str, bytes], Verifier] = {}
    for verifier in verifiers:
        if known.setdefault((verifier.name, verifier.key_id), verifier) != verifier:
            raise ArgumentError(f"two keys of {verifier.name} have the same id; leave one of them out")
    text, lines = _taken_apart(message)
    signed = text.encode()
    found: dict[Verifier, None] = {}
    for name, key_id, signature in map(_read_signature, lines):
        signer = known.get((name, key_id))
        if signer is None:
            continue
        if not signer.verifies(signed, signature):
            raise VoucherError("bad-signature", f"the note's signature in the name of {name} is not by that key")
        found[signer] = None
    if not found:
        raise VoucherError("bad-signature", "the note is not signed by any key known here")
    return Note(text, tuple(found))


def to_base64(data: bytes) -> str:
    """Standard Base64, RFC 4648 section 4."""
    return base64.b64encode(data).decode()


def from_base64(text: str) -> bytes:
    """Read standard Base64, in its one canonical form.

    Raises:
        VoucherError: ``malformed``.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        data = b""
    if to_base64(data) != text:
        raise VoucherError("malformed", "this is not canonical Base64")
    return data


def is_plain(text: str) -> bool:
    """Tell whether a text has only characters that a note may have."""
    return not _NEVER.search(text)


def _taken_apart(message: bytes | str) -> tuple[str, list[str]]:
    """The text and the signature lines of a note, nothing of it checked but its form."""
    try:
        data = message.encode() if isinstance(message, str) else message
        if len(data) > LARGEST_NOTE:
            raise VoucherError("malformed", f"the note has more than {LARGEST_NOTE} bytes")
        note = data.decode()
    except UnicodeError:
        raise VoucherError("malformed", "the note is not valid UTF-8") from None
    if not is_plain(note):
        raise VoucherError("malformed", "the note has control characters other than newlines")
    end = note.rfind(_SEPARATOR)
    signatures = note[end + len(_SEPARATOR) :]
    if end < 0 or not signatures.endswith("\n"):
        raise VoucherError(
            "malformed", "the note does not have text, an empty line, and signatures that end in a newline"
        )
    lines = signatures[:-1].split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise VoucherError("malformed", f"the note has more than {MOST_SIGNATURES} signatures")
    return note[: end + 1], lines


def _read_signature(line: str) -> tuple[str, bytes, bytes]:
    """The key's name, its id and the signature on a line."""
    name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not _is_name(name):
        raise VoucherError("malformed", "a line among the note's signatures is not a dash, a name and a signature")
    data = from_base64(encoded)
    if len(data) <= KEY_ID_SIZE:
        raise VoucherError("malformed", "a signature of the note is too short to be one")
    return name, data[:KEY_ID_SIZE], data[KEY_ID_SIZE:]


def _is_name(name: str) -> bool:
    return bool(name) and is_plain(name) and not any(char.isspace() or char == "+" for char in name)


def _check_name(name: str) -> None:
    if not _is_name(name):
        raise ArgumentError("a key's name is not empty and has no spaces, control characters or plus signs")

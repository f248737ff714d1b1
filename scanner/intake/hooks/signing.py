"""Sign webhooks, and check them at the receiver, as Standard Webhooks has it (standardwebhooks.com, ``v1a``: Ed25519).

Rules: what is signed is the id, the time of the attempt and the body's bytes, so that none can be exchanged; the key is
made from the intake's own by HKDF (RFC 5869), so that no other secret is kept and neither key tells of the other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from scanner.errors import VoucherError

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"
TOLERANCE = 300.0
"""Seconds that a receiver's clock may differ; that of the reference libraries."""

_LABEL = b"prescan intake webhook signing key v1"
_PUBLIC = "whpk_"
_VERSION = "v1a,"
_MOST_SIGNATURES = 8


def hook_key(intake_key: Ed25519PrivateKey) -> Ed25519PrivateKey:
    """Make the key that signs webhooks from the intake's signing key."""
    seed = HKDF(hashes.SHA256(), 32, None, _LABEL).derive(intake_key.private_bytes_raw())
    return Ed25519PrivateKey.from_private_bytes(seed)


def public_text(key: Ed25519PrivateKey) -> str:
    """The public half in the text form of Standard Webhooks, ``whpk_…``."""
    return _PUBLIC + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def signed_headers(key: Ed25519PrivateKey, message_id: str, at: float, body: bytes) -> dict[str, str]:
    """The three headers of one attempt.

    Args:
        key: of :func:`hook_key`.
        message_id: the same for every attempt; receivers know a message by it.
        at: of this attempt, in seconds since 1970.
        body: as it is sent.
    """
    timestamp = str(int(at))
    signature = key.sign(_content(message_id, timestamp, body))
    return {
        ID: message_id,
        TIMESTAMP: timestamp,
        SIGNATURE: _VERSION + base64.b64encode(signature).decode(),
    }


def verify(
    public_key: str, headers: Mapping[str, str], body: bytes, now: float, *, tolerance: float = TOLERANCE
) -> str:
    """Check, at a receiver, that a webhook is the intake's and new.

    Args:
        public_key: ``whpk_…``, from the intake's ``/v1/hooks/key``; known beforehand, not asked for with each webhook.
        headers: of the request; the case of their names does not matter.
        body: the request's, as it came.
        now: seconds since 1970.
        tolerance: seconds that the time may differ.

    Returns:
        the message's id. The receiver keeps it as long as the tolerance lasts and answers a repeated one with 200
        without doing anything.

    Raises:
        VoucherError: ``malformed``, ``wrong-time`` or ``bad-signature``.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or "." in message_id or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 16):
        raise VoucherError("malformed", f"the webhook has no valid {ID} and {TIMESTAMP}")
    if abs(now - int(timestamp)) > tolerance:
        raise VoucherError("wrong-time", f"the webhook is more than {tolerance:g} seconds old, or from the future")
    key = _public_key(public_key)
    content = _content(message_id, timestamp, body)
    for text in signatures.split(" ")[:_MOST_SIGNATURES]:
        if text.startswith(_VERSION) and _signed(key, text.removeprefix(_VERSION), content):
            return message_id
    raise VoucherError("bad-signature", "the webhook is not signed by this key")


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _public_key(text: str) -> Ed25519PublicKey:
    try:
        raw = base64.b64decode(text.removeprefix(_PUBLIC), validate=True)
        if text.startswith(_PUBLIC):
            return Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        pass
    raise VoucherError("malformed", f"the webhooks' public key is not {_PUBLIC} and 32 bytes of base64")


def _signed(key: Ed25519PublicKey, text: str, content: bytes) -> bool:
    try:
        key.verify(base64.b64decode(text, validate=True), content)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True

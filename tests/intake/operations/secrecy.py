"""Search a log for what must never be in one, in every spelling it could take."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote


def spellings(secret: bytes | str) -> set[str]:
    """The ways in which a secret could stand in a text: as it is, hexadecimal, base64, escaped."""
    raw = secret.encode() if isinstance(secret, str) else secret
    texts = {raw.hex(), raw.hex().upper(), raw.hex(":"), repr(raw)[2:-1], quote(raw), str(list(raw))[1:-1]}
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode, base64.b85encode):
        texts.add(encode(raw).rstrip(b"=").decode())
    if isinstance(secret, str):
        texts |= {secret, json.dumps(secret)[1:-1], secret.lower(), secret.upper()}
    assert all(len(text) >= 6 for text in texts), "too short a secret to search for"
    return texts


def found_in(text: str, secrets: Iterable[bytes | str]) -> list[bytes | str]:
    """The secrets that stand in a text in any spelling."""
    return [secret for secret in secrets if any(spelling in text for spelling in spellings(secret))]


def assert_silent(text: str, secrets: Iterable[bytes | str]) -> None:
    """Fail if a text holds any of the secrets; the text must not be empty, or nothing was shown."""
    assert text, "nothing was captured"
    secrets = list(secrets)
    assert secrets, "nothing was searched for"
    found = found_in(text, secrets)
    assert not found, f"the log holds {found}"

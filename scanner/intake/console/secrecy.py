"""Secrets and pseudonyms that all workers make alike, out of the intake's key.

Rules: each purpose has a key of its own; a form's token is of one session, and looks different on each page, so that a
compressing proxy can't leak it (BREACH); what a token is compared with takes the same time whatever it is.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

from scanner.intake.api.context import Service

_MASK = 32


def pseudonym(service: Service, account: bytes) -> str:
    """A name for an account: the same in all cases, and nobody without the intake's key can tell whose it is."""
    return hmac.digest(_key(service, "account"), account, "sha256").hex()[:12]


def form_token(service: Service, cookie: str) -> str:
    """A token for forms on a page that a browser with this cookie gets."""
    mask = secrets.token_bytes(_MASK)
    return base64.urlsafe_b64encode(mask + _masked(mask, _proof(service, cookie))).decode()


def is_form_token(service: Service, cookie: str, token: str) -> bool:
    """Whether a token was made for this cookie."""
    try:
        given = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(_masked(given[:_MASK], given[_MASK:]), _proof(service, cookie))


def _proof(service: Service, cookie: str) -> bytes:
    return hmac.digest(_key(service, "form"), cookie.encode(), "sha256")


def _masked(mask: bytes, data: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(mask, data, strict=False))


def _key(service: Service, purpose: str) -> bytes:
    return hmac.digest(
        service.writer.signing_key.private_bytes_raw(), b"prescan/v1/console/" + purpose.encode(), "sha256"
    )

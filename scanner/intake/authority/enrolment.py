"""Who may enrol. No I/O in here.

Rules: a token is for one account, until its time, and for the first device that brings it; a device is of one account
for ever, and revoked for ever; the same device with the same token gets the same answer, even past the token's time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from http import HTTPStatus

from scanner.intake.problems import ProblemError


@dataclass(frozen=True, slots=True)
class Applicant:
    """A device that asks to be enrolled and has shown that it holds its key.

    Attributes:
        device_id: 16 bytes.
        public_key: 32 bytes.
        account: the account it signed for, 16 bytes.
        token_hash: SHA-256 of the token it brings, or None.
    """

    device_id: bytes
    public_key: bytes
    account: bytes
    token_hash: bytes | None


@dataclass(frozen=True, slots=True)
class Token:
    """A token that the provider registered.

    Attributes:
        account: for which account.
        expires_at: seconds since 1970 from which it is worth nothing.
        device_id: of the device that used it, or None.
    """

    account: bytes
    expires_at: int
    device_id: bytes | None


@dataclass(frozen=True, slots=True)
class Known:
    """A device that was enrolled before.

    Attributes:
        account: whose.
        is_revoked: whether it was revoked since.
    """

    account: bytes
    is_revoked: bool


def is_new(who: Applicant, known: Known | None, token: Token | None, at: int) -> bool:
    """Decide on an application: whether the device is to be enrolled now, or was before.

    Args:
        who: who asks.
        known: the device of that id, if there is one.
        token: the token that was brought, if it is registered.
        at: seconds since 1970.

    Raises:
        ProblemError: 401 ``unauthorized``, ``token-used`` or ``token-expired``; 403 ``wrong-account``: the token is for
            another; then 403 ``revoked``; then 409 ``other-account``: the device is of another.
    """
    if token is None:
        title = "Enrolment needs a token of the provider, as a bearer token"
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "unauthorized", title)
    if token.device_id is None:
        if at >= token.expires_at:
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "token-expired", "The token is past its time; get another one")
        if not hmac.compare_digest(token.account, who.account):
            raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-account", "The token is for another account")
    elif not hmac.compare_digest(token.device_id, who.device_id):
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "token-used", "Another device used the token; get another one")
    return is_stranger(who, known)


def is_stranger(who: Applicant, known: Known | None) -> bool:
    """Decide on an application where nobody needs a token: whether the device was never enrolled.

    Raises:
        ProblemError: 403 ``revoked``, or 409 ``other-account``.
    """
    if known is None:
        return True
    if known.is_revoked:
        raise ProblemError(HTTPStatus.FORBIDDEN, "revoked", "The device was revoked; enrol with a new key")
    if not hmac.compare_digest(known.account, who.account):
        raise ProblemError(HTTPStatus.CONFLICT, "other-account", "The device is enrolled for another account")
    return False

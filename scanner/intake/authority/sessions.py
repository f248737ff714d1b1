"""Sessions of the console: an operator logged in by token goes on with a cookie.

Rules: the cookie holds 32 random bytes and the database only their SHA-256; a session ends when it is unused for the
settings' ``session_seconds``, and in any case after ``LONGEST_SECONDS``; it never outlives its operator; login and
logout are in the audit log.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from scanner.intake.authority.operators import Operator, operator_from, operator_of, unauthorized
from scanner.intake.store.tables import OPERATORS, SESSIONS

if TYPE_CHECKING:
    from scanner.intake.api.context import Service

LONGEST_SECONDS = 8 * 3_600
"""OWASP's Session Management Cheat Sheet: 4 to 8 hours where people work in it all day."""

_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_STEPS = 15  # an expiry is written anew when a fifteenth of its time is gone: not for each request


async def log_in(service: Service, token: str, address: str) -> tuple[str, Operator]:
    """Begin a session.

    Args:
        service: the intake.
        token: the operator's.
        address: where it comes from; failures are counted for it.

    Returns:
        what the cookie is to hold, another one each time; and who it is.

    Raises:
        ProblemError: 401, 429 or 503, as :func:`~scanner.intake.authority.operators.operator_of`.
        StorageError: there is no session.
    """
    operator = await operator_of(service, token, address=address)
    cookie = secrets.token_urlsafe(32)
    session = _hash(cookie)
    async with service.writer.change(service.clock()) as change:
        query = select(OPERATORS.c.revoked_at).where(OPERATORS.c.operator_id == operator.operator_id)
        if (await change.db.execute(query)).scalar_one() is not None:
            raise unauthorized()
        began = change.at
        values = {"began_at": began, "expires_at": _expiry(service, began, began)}
        await change.db.execute(
            insert(SESSIONS).values(session_hash=session, operator_id=operator.operator_id, **values)
        )
        change.log("login", operator=operator.operator_id, session=session)
    return cookie, operator


async def session_of(service: Service, cookie: str) -> Operator | None:
    """Find whose session it is, and have it last longer; None if it is none or at its end.

    Raises:
        StorageError: the database fails.
    """
    if not _COOKIE.fullmatch(cookie):
        return None
    session, now = _hash(cookie), int(service.clock())
    columns = SESSIONS.c
    query = (
        select(OPERATORS, columns.began_at, columns.expires_at)
        .join_from(SESSIONS, OPERATORS)
        .where(columns.session_hash == session, columns.ended_at.is_(None), OPERATORS.c.revoked_at.is_(None))
    )
    async with service.store.reading() as db:
        row = (await db.execute(query)).one_or_none()
    if row is None or now >= min(row.expires_at, row.began_at + LONGEST_SECONDS):
        return None
    expiry = _expiry(service, row.began_at, now)
    if expiry - row.expires_at >= service.settings.session_seconds / _STEPS:
        async with service.writer.change(now) as change:
            same = update(SESSIONS).where(columns.session_hash == session, columns.expires_at < expiry)
            await change.db.execute(same.values(expires_at=expiry))
    return operator_from(row)


async def log_out(service: Service, cookie: str) -> None:
    """End a session; one that isn't there, or is at its end, is no error.

    Raises:
        StorageError: it isn't ended.
    """
    if not _COOKIE.fullmatch(cookie):
        return
    session = _hash(cookie)
    async with service.writer.change(service.clock()) as change:
        this = SESSIONS.c.session_hash == session, SESSIONS.c.ended_at.is_(None)
        operator_id = (await change.db.execute(select(SESSIONS.c.operator_id).where(*this))).scalar_one_or_none()
        if operator_id is not None:
            await change.db.execute(update(SESSIONS).where(*this).values(ended_at=change.at))
            change.log("logout", operator=operator_id, session=session)


def _expiry(service: Service, began: int, now: int) -> int:
    return min(now + int(service.settings.session_seconds), began + LONGEST_SECONDS)


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()

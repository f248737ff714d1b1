"""Devices and their tokens in the database.

Rules: a token is used up in the change that enrols the device; whether a device may is asked before a change is begun,
so that who may not makes nobody wait, and again inside of it; what is done is told to the audit log and the webhooks.
"""

from __future__ import annotations

from http import HTTPStatus

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.authority.enrolment import Applicant, Known, Token, is_new, is_stranger
from scanner.intake.hooks.outbox import tell
from scanner.intake.problems import ProblemError
from scanner.intake.store.change import Writer
from scanner.intake.store.tables import DEVICES, TOKENS


async def enrol(writer: Writer, who: Applicant, at: float, *, unsafe_open: bool = False) -> bool:
    """Enrol a device; whether it is new.

    Args:
        writer: makes the change.
        who: who asks.
        at: seconds since 1970.
        unsafe_open: let in who brings no token; none is looked at then.

    Raises:
        ProblemError: it may not, as :func:`is_new` says. StorageError: it isn't stored.
    """
    token_hash = None if unsafe_open else who.token_hash
    async with writer.store.reading() as db:
        if not await _decided(db, who, int(at), unsafe_open):
            return False
    async with writer.change(at) as change:
        if not await _decided(change.db, who, change.at, unsafe_open):
            return False
        values = {"device_id": who.device_id, "public_key": who.public_key, "account": who.account}
        await change.db.execute(insert(DEVICES).values(**values, enrolled_at=change.at))
        if token_hash is not None:
            this = update(TOKENS).where(TOKENS.c.token_hash == token_hash)
            await change.db.execute(this.values(device_id=who.device_id, used_at=change.at))
        change.log("enrolment", device=who.device_id, account=who.account, public_key=who.public_key, token=token_hash)
        await tell(change, "device.enrolled", {"device": who.device_id, "account": who.account})
    return True


async def _decided(db: AsyncConnection, who: Applicant, at: int, unsafe_open: bool) -> bool:
    device = select(DEVICES.c.account, DEVICES.c.revoked_at).where(DEVICES.c.device_id == who.device_id)
    found = (await db.execute(device)).one_or_none()
    known = None if found is None else Known(found.account, found.revoked_at is not None)
    if unsafe_open:
        return is_stranger(who, known)
    if who.token_hash is None:
        return is_new(who, known, None, at)
    token = select(TOKENS).where(TOKENS.c.token_hash == who.token_hash)
    row = (await db.execute(token)).one_or_none()
    return is_new(who, known, None if row is None else Token(row.account, row.expires_at, row.device_id), at)


async def register_token(
    writer: Writer, token_hash: bytes, account: bytes, expires_at: int, at: float, *, by: str
) -> bool:
    """Let one device of an account enrol; whether the token is new.

    Args:
        writer: makes the change.
        token_hash: SHA-256 of the token.
        account: 16 bytes.
        expires_at: seconds since 1970, later than ``at`` for a new one.
        at: seconds since 1970.
        by: id of the operator who does it.

    Raises:
        ProblemError: 409 ``other-token`` if it is registered otherwise; 409 ``in-the-past``. StorageError: not stored.
    """
    async with writer.change(at) as change:
        query = select(TOKENS.c.account, TOKENS.c.expires_at).where(TOKENS.c.token_hash == token_hash)
        row = (await change.db.execute(query)).one_or_none()
        if row is not None:
            if (row.account, row.expires_at) != (account, expires_at):
                title = "The token is registered with another account or expiry"
                raise ProblemError(HTTPStatus.CONFLICT, "other-token", title)
            return False
        if expires_at <= change.at:
            raise ProblemError(HTTPStatus.CONFLICT, "in-the-past", "The token would be expired from the start")
        values = {"token_hash": token_hash, "account": account, "expires_at": expires_at}
        await change.db.execute(insert(TOKENS).values(**values, registered_by=by, registered_at=change.at))
        change.log("token", token=token_hash, account=account, expires=expires_at, by=by)
    return True


async def revoke_device(writer: Writer, device_id: bytes, at: float, *, by: str) -> int | None:
    """Have a device's vouchers refused from now on, at every worker; again is no error.

    Returns:
        when it was revoked, in seconds since 1970; None if there is no such device.

    Raises:
        StorageError: it isn't revoked.
    """
    async with writer.change(at) as change:
        query = select(DEVICES.c.account, DEVICES.c.revoked_at).where(DEVICES.c.device_id == device_id)
        row = (await change.db.execute(query)).one_or_none()
        if row is None or row.revoked_at is not None:
            return None if row is None else int(row.revoked_at)
        this = update(DEVICES).where(DEVICES.c.device_id == device_id)
        await change.db.execute(this.values(revoked_at=change.at))
        change.log("revocation", device=device_id, by=by)
        await tell(change, "device.revoked", {"device": device_id, "account": row.account})
    return change.at

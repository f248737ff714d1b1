"""Forget a case when its time is over. What the audit log says of it stays: ids and digests."""

from __future__ import annotations

from sqlalchemy import delete

from scanner.intake.store.change import Change
from scanner.intake.store.tables import CASE_DECISIONS, CASE_MATCHES, CASE_NOTES, CASES


async def forget_case(change: Change, case_id: str) -> None:
    """Delete a case with its matches, notes and decisions, and have the log say so.

    Nothing happens if there is no such case.

    Args:
        change: to write in.
        case_id: of a closed case; the caller knows that its time is over.
    """
    for table in (CASE_MATCHES, CASE_NOTES, CASE_DECISIONS):
        await change.db.execute(delete(table).where(table.c.case_id == case_id))
    gone = await change.db.execute(delete(CASES).where(CASES.c.case_id == case_id))
    if gone.rowcount:
        change.log("case-expiry", case=case_id)

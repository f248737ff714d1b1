"""What the opener found comes back: a record, and a case if it opened anything.

Rules: a window can be reported on only as it was exported, with as many vouchers; the same report under the same id
changes nothing; the record, the vouchers' step, the case and the log's entries are one change.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.cases.opening import open_case
from scanner.intake.hooks.outbox import tell
from scanner.intake.store.change import Change
from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import EXPORTED_WINDOWS, OPENINGS
from scanner.intake.windows.faults import WindowError
from scanner.intake.windows.moving import move
from scanner.intake.windows.reports import Opened, Report, to_bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """The record of a report.

    Attributes:
        opening_id: 32 hexadecimal digits.
        account: the account's id, 16 bytes.
        window: number of the window.
        operator_id: who reported it; None: at the machine.
        reported_at: seconds since 1970.
        result: of :class:`scanner.vouchers.Result`.
        vouchers: how many the window had in the export that was opened.
    """

    opening_id: str
    account: bytes
    window: int
    operator_id: str | None
    reported_at: int
    result: str
    vouchers: int

    @classmethod
    def of_row(cls, row: Any) -> Opening:
        """Read a row of OPENINGS."""
        return cls(
            row.opening_id,
            row.account,
            row.window_number,
            row.operator_id,
            row.reported_at,
            row.result,
            row.vouchers,
        )


async def report_opening(
    change: Change, opening_id: str, report: Report, by: str | None = None
) -> tuple[Opening, bool]:
    """Write down what the opener found, unless it is there under that id.

    Args:
        change: to write in.
        opening_id: 32 hexadecimal digits that whoever reports has chosen.
        report: what the opener said.
        by: the operator who reports; None: at the machine.

    Returns:
        the record, and whether it is new.

    Raises:
        WindowError: ``id-taken``: something else was reported under that id; ``not-exported``: the window was never
            exported with so many vouchers, or was deleted since.
        StorageError: the database fails.
    """
    account, body = bytes.fromhex(report.account), to_bytes(report)
    found = (await change.db.execute(select(OPENINGS).where(OPENINGS.c.opening_id == opening_id))).one_or_none()
    if found is not None:
        if found.report != body:
            raise WindowError("id-taken", f"something else was reported as opening {opening_id}; choose another id")
        return Opening.of_row(found), False
    await _check_exported(change.db, account, report)
    opening = Opening(opening_id, account, report.window, by, change.at, report.result, report.vouchers)
    row = {
        "opening_id": opening_id,
        "account": account,
        "window_number": report.window,
        "operator_id": by,
        "reported_at": change.at,
        "result": report.result,
        "vouchers": report.vouchers,
        "report": body,
    }
    await change.db.execute(insert(OPENINGS).values(row))
    change.log(
        "opening",
        opening=opening_id,
        by=by,
        account=account,
        window=report.window,
        result=report.result,
        vouchers=report.vouchers,
        digest=hashlib.sha256(body).digest(),
    )
    data = {"opening": opening_id, "window": report.window, "result": report.result, "matches": len(report.matches)}
    await tell(change, "opening.reported", data)
    if isinstance(report, Opened):
        await move(change, Step.OPEN, account, report.window)
        matches = [match.model_dump() for match in report.matches]
        await open_case(change, account=account, window=report.window, opening_id=opening_id, matches=matches)
    return opening, True


async def is_reported(db: AsyncConnection, opening_id: str) -> bool:
    """Whether there is an opening of an id."""
    query = select(OPENINGS.c.opening_id).where(OPENINGS.c.opening_id == opening_id)
    return (await db.execute(query)).one_or_none() is not None


async def exported_vouchers(db: AsyncConnection, account: bytes, window: int) -> int:
    """How many vouchers an account's window had in its newest export; 0 if it was never exported."""
    given = EXPORTED_WINDOWS.c
    query = select(func.coalesce(func.max(given.vouchers), 0))
    number: int = (await db.execute(query.where(given.account == account, given.window_number == window))).scalar_one()
    return number


async def _check_exported(db: AsyncConnection, account: bytes, report: Report) -> None:
    given = EXPORTED_WINDOWS.c
    query = select(given.export_id).where(
        given.account == account, given.window_number == report.window, given.vouchers == report.vouchers
    )
    if (await db.execute(query.limit(1))).one_or_none() is None or len(report.matches) > report.vouchers:
        raise WindowError(
            "not-exported", "the account's window was never exported with so many vouchers, or was deleted since"
        )

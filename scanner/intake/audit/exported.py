"""Compare which windows each export names with what the log says of it.

Rules: of each window an export has all vouchers that were received before its end and not deleted before it was made;
windows are taken from it only when their vouchers are deleted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.audit.comparing import Key, Row, as_stored, pieces_of
from scanner.intake.audit.courses import Courses
from scanner.intake.audit.findings import Findings
from scanner.intake.audit.replaying import Place
from scanner.intake.store.tables import EXPORTED_WINDOWS

Named = dict[str, list[tuple[Place, Any]]]
"""Of each export's id, the windows that the database has of it, and the vouchers it says for each."""


async def read_named(db: AsyncConnection) -> Named:
    """Read the table."""
    named: Named = {}
    async for rows in pieces_of(db, as_stored(EXPORTED_WINDOWS)):
        for row in rows:
            named.setdefault(row.export_id, []).append(((row.account, row.window_number), row.vouchers))
    return named


def check_exported(
    named: Named,
    exports: Mapping[Key, Row],
    courses: Courses,
    received: Mapping[tuple[Place, int], int],
    findings: Findings,
) -> None:
    """Compare.

    Args:
        named: the table.
        exports: by id, what the log says of each export.
        courses: of the whole log.
        received: by window and an export's end, the receipts given below that end.
        findings: told what differs.
    """
    for export_id, windows in named.items():
        if (export_id,) not in exports:
            for place, _ in windows:
                findings.add(EXPORTED_WINDOWS.name, (export_id, *place), "the log does not know its export")
    for place, course in courses.of.items():
        for given in course.given:
            key = (given.export_id, *place)
            if courses.made[given.export_id] < courses.last_expiries.get(place, -1):
                findings.add(EXPORTED_WINDOWS.name, key, "the log says that its vouchers were deleted")
            elif given.vouchers != received.get((place, given.through), 0) - given.deleted:
                findings.add(EXPORTED_WINDOWS.name, key, "vouchers is not what the log says")
    _check_totals(named, exports, courses, findings)


def _check_totals(named: Named, exports: Mapping[Key, Row], courses: Courses, findings: Findings) -> None:
    last = sorted(courses.last_expiries.values())
    first = sorted(courses.of[place].first for place in courses.last_expiries)
    for (export_id,), row in exports.items():
        windows = named.get(export_id, [])
        made = courses.made.get(export_id, -1)
        deleted_since = bisect_right(first, made) - bisect_right(last, made)  # windows that were there, and are not
        lacking = row["windows"] - len(windows)
        vouchers = row["vouchers"] - _sum(windows)
        if not 0 <= lacking <= deleted_since or (vouchers < lacking if lacking else vouchers != 0):
            findings.add(EXPORTED_WINDOWS.name, (export_id,), "the rows of this export are not as many as the log says")


def _sum(windows: Sequence[tuple[Place, Any]]) -> int:
    return sum(vouchers for _, vouchers in windows if type(vouchers) is int)

"""Compare which windows each export names with what the log says of it.

Rules: of each window an export has all vouchers that were received before its end and not deleted before it was made;
windows are taken from it only when their vouchers are deleted, and the log says so; those that it names still and those
that it named are together what the log has the digest of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.errors import VoucherError
from scanner.intake.audit.comparing import as_stored, pieces_of
from scanner.intake.audit.courses import Courses
from scanner.intake.audit.decoding import decoded
from scanner.intake.audit.entries import listed_bytes
from scanner.intake.audit.findings import Findings
from scanner.intake.audit.replaying import Place
from scanner.intake.store.tables import EXPORTED_WINDOWS, LOG_ENTRIES


@dataclass(slots=True)
class Named:
    """Which windows exports name.

    Attributes:
        rows: of each export's id, by account and window, the vouchers that the database says.
        gone: of each export's id, those that the log says it names no more.
    """

    rows: dict[str, dict[Place, Any]] = field(default_factory=dict)
    gone: dict[str, set[Place]] = field(default_factory=dict)

    def windows(self, export_id: str) -> set[Place]:
        """All that an export ever named."""
        return {*self.rows.get(export_id, ()), *self.gone.get(export_id, ())}


async def read_named(db: AsyncConnection) -> Named:
    """Read the table, and what the log says was taken from it."""
    named = Named()
    async for rows in pieces_of(db, as_stored(EXPORTED_WINDOWS)):
        for row in rows:
            named.rows.setdefault(row.export_id, {})[row.account, row.window_number] = row.vouchers
    async for rows in pieces_of(db, as_stored(LOG_ENTRIES).where(LOG_ENTRIES.c.kind == "expiry")):
        for row in rows:
            with suppress(VoucherError):  # found when all entries are read
                told = decoded(row.body).fields
                for export_id in told["exports"]:
                    named.gone.setdefault(export_id, set()).add((told["account"], told["window"]))
    return named


def check_exported(
    named: Named,
    listed: Mapping[str, bytes],
    courses: Courses,
    received: Mapping[tuple[Place, int], int],
    findings: Findings,
) -> None:
    """Compare.

    Args:
        named: the table, and what was taken from it.
        listed: by id, the digest that the log has of each export's windows.
        courses: of the whole log.
        received: by window and an export's end, the receipts given below that end.
        findings: told what differs.
    """
    for export_id, rows in named.rows.items():
        for place in rows if export_id not in listed else ():
            findings.add(EXPORTED_WINDOWS.name, (export_id, *place), "the log does not know its export")
    windows: dict[str, list[tuple[bytes, int, int]]] = {export_id: [] for export_id in listed}
    for place, course in courses.of.items():
        for given in course.given:
            vouchers = received.get((place, given.through), 0) - given.deleted
            if isinstance(place[0], bytes) and type(place[1]) is int and vouchers > 0:
                windows.setdefault(given.export_id, []).append((*place, vouchers))
            _check_row(named, given.export_id, place, vouchers, findings)
    for export_id, digest in listed.items():
        listing = hashlib.sha256(b"".join(listed_bytes(*window) for window in sorted(windows[export_id])))
        if listing.digest() != digest:
            findings.add(EXPORTED_WINDOWS.name, (export_id,), "the windows of this export are not what the log says")


def _check_row(named: Named, export_id: str, place: Place, vouchers: int, findings: Findings) -> None:
    rows, gone = named.rows.get(export_id, {}), named.gone.get(export_id, set())
    if place in rows and place in gone:
        what = "the log says that its vouchers were deleted"
        findings.add(EXPORTED_WINDOWS.name, (export_id, *place), what)
    elif place in rows and rows[place] != vouchers:
        findings.add(EXPORTED_WINDOWS.name, (export_id, *place), "vouchers is not what the log says")

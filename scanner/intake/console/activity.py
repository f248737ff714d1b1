"""What was done: the audit log's entries, the newest first.

Rules: accounts are shown by their pseudonyms; what someone decided on a case that is open is not shown, so that the
next to decide doesn't lean on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from scanner.intake.api.context import Service, Serving
from scanner.intake.audit.entries import KINDS, Entry
from scanner.intake.cases.lifecycle import CaseState
from scanner.intake.console.context import Showing
from scanner.intake.console.secrecy import pseudonym
from scanner.intake.console.totals import NO_RECEIPT
from scanner.intake.console.visiting import Auditing
from scanner.intake.paging import Cursor, cut, read_cursor
from scanner.intake.problems import ProblemError
from scanner.intake.store.tables import CASES, LOG_ENTRIES, OPERATORS

router = APIRouter()

PAGE = 50
WITHHELD = "shown when the case is closed"
_LISTED = 3
_PEOPLE = frozenset({"by", "operator"})

ALL = "all"

Kind = Annotated[str, Query(max_length=24)]


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """One entry of the log.

    Attributes:
        position: in the log.
        kind: what was done.
        at: seconds since 1970.
        fields: name and value, as written for people.
    """

    position: int
    kind: str
    at: int
    fields: tuple[tuple[str, str], ...]


@router.get("/activity")
async def activity(
    service: Serving, console: Showing, visitor: Auditing, kind: Kind = "", cursor: Cursor = None
) -> Response:
    """Entries of the log; receipts only if they are asked for, since they are most of it."""
    if kind not in {"", ALL, *KINDS}:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "unknown-kind", "The log has no entries of that kind")
    query = select(LOG_ENTRIES).order_by(LOG_ENTRIES.c.position.desc()).limit(PAGE + 1)
    if kind not in {ALL, "receipt"}:
        query = query.where(NO_RECEIPT)
    if kind in KINDS:
        query = query.where(LOG_ENTRIES.c.kind == kind)
    if cursor is not None:
        (position,) = read_cursor(cursor, int)
        query = query.where(LOG_ENTRIES.c.position < position)
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), PAGE, "position")
        entries = [(row, Entry.from_bytes(row.body)) for row in rows]
        names = await _names(db, [entry for _, entry in entries])
        still_open = await _open(db, [entry for _, entry in entries])
    return console.page(
        "activity",
        visitor=visitor,
        here="activity",
        entries=[_shown(service, row, entry, names, still_open) for row, entry in entries],
        kind=kind,
        kinds=sorted(KINDS),
        first=cursor is None,
        following=following,
    )


async def _names(db: AsyncConnection, entries: Iterable[Entry]) -> dict[str, str]:
    """Operators' names, by id."""
    ids = {value for entry in entries for name, value in entry.fields.items() if name in _PEOPLE and value}
    query = select(OPERATORS.c.operator_id, OPERATORS.c.name).where(OPERATORS.c.operator_id.in_(ids))
    return {row.operator_id: row.name for row in await db.execute(query)}


async def _open(db: AsyncConnection, entries: Iterable[Entry]) -> set[str]:
    """Cases among the entries that aren't closed."""
    ids = {entry.fields["case"] for entry in entries if "outcome" in entry.fields}
    query = select(CASES.c.case_id).where(CASES.c.case_id.in_(ids), CASES.c.state != CaseState.CLOSED.value)
    return set((await db.execute(query)).scalars())


def _shown(
    service: Service, row: Row[Any], entry: Entry, names: dict[str, str], still_open: set[str]
) -> ShownEntry:  # fmt: skip
    fields = []
    for name, value in sorted(entry.fields.items()):
        if name == "account":
            text = pseudonym(service, value)
        elif name in _PEOPLE:
            text = "at the machine" if value is None else names.get(value, value)
        elif name == "outcome" and entry.fields["case"] in still_open:
            text = WITHHELD
        else:
            text = _written(value)
        fields.append((name, text))
    return ShownEntry(row.position, entry.kind, entry.at, tuple(fields))


def _written(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Sequence) and not isinstance(value, str):
        first = ", ".join(_written(each)[:16] for each in value[:_LISTED])
        return f"{len(value)}: {first}{', …' if len(value) > _LISTED else ''}"
    return "–" if value is None else str(value)

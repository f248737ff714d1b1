"""The queue of cases, and those that are closed."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from scanner.intake.api.context import Serving
from scanner.intake.cases.leasing import take_next
from scanner.intake.cases.lifecycle import CaseState
from scanner.intake.cases.reading import Case, closed_cases, count_open, open_cases
from scanner.intake.console.context import DONE, HOME, Done, Showing
from scanner.intake.console.secrecy import pseudonym
from scanner.intake.console.visiting import Acting, Auditing, Reviewing
from scanner.intake.paging import Cursor, cut, read_cursor

router = APIRouter()

PAGE = 50


@router.get("/")
async def queue(
    service: Serving, console: Showing, visitor: Auditing, cursor: Cursor = None, done: Done = ""
) -> Response:
    """Cases to decide on, the oldest first; who doesn't review goes on to what was done."""
    if not visitor.reviews:
        return RedirectResponse("/console/activity", HTTPStatus.SEE_OTHER)
    after = None if cursor is None else read_cursor(cursor, int, str)
    me, at = visitor.operator.operator_id, int(service.clock())
    async with service.store.reading() as db:
        found = await open_cases(db, me, PAGE + 1, after)
        counts = await count_open(db)
    cases, following = cut(found, PAGE, "opened_at", "case_id")
    return console.page(
        "queue",
        visitor=visitor,
        here="queue",
        message=DONE.get(done),
        cases=_shown(service, cases),
        at=at,
        me=me,
        counts={state: counts.get(state, 0) for state in CaseState if state is not CaseState.CLOSED},
        first=cursor is None,
        following=following,
    )


@router.get("/closed")
async def closed(service: Serving, console: Showing, visitor: Reviewing, cursor: Cursor = None) -> Response:
    """Cases that are decided, the newest first."""
    after = None if cursor is None else read_cursor(cursor, int, str)
    async with service.store.reading() as db:
        found = await closed_cases(db, visitor.operator.operator_id, PAGE + 1, after)
    cases, following = cut(found, PAGE, "closed_at", "case_id")
    return console.page(
        "closed",
        visitor=visitor,
        here="closed",
        cases=_shown(service, cases),
        first=cursor is None,
        following=following,
    )


@router.post("/next")
async def take(service: Serving, visitor: Acting) -> Response:
    """Take the oldest case there is to decide on."""
    async with service.writer.change(service.clock()) as change:
        case_id = await take_next(change, visitor.operator.operator_id)
    way = f"{HOME}?done=nothing-left" if case_id is None else f"/console/cases/{case_id}"
    return RedirectResponse(way, HTTPStatus.SEE_OTHER)


def _shown(service: Serving, cases: Sequence[Case]) -> list[dict[str, Any]]:
    return [{"case": case, "account": pseudonym(service, case.account)} for case in cases]

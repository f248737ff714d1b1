"""One case: look at it, write notes, decide, get the report."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Path, Query
from starlette.responses import RedirectResponse, Response

from scanner.intake.api.context import Serving
from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import check_held, give_back, take_case
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.cases.noting import add_note
from scanner.intake.cases.reading import MATCHES_AT_ONCE, find_case, read_case
from scanner.intake.cases.reporting import ReportFormat, write_report
from scanner.intake.cases.words import MOST_CHARACTERS, checked
from scanner.intake.console.context import DONE, HOME, Done, Showing
from scanner.intake.console.matches import shown_match
from scanner.intake.console.secrecy import pseudonym
from scanner.intake.console.visiting import Acting, Reviewing

router = APIRouter(prefix="/cases/{case}")

CaseId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
NoteId = Annotated[str, Form(pattern="^[0-9a-f]{32}$")]
Words = Annotated[str, Form(max_length=2 * MOST_CHARACTERS)]
Outcome = Annotated[CaseOutcome, Form()]
First = Annotated[int, Query(ge=0, lt=2**31)]
Seen = Annotated[int, Form(ge=0, lt=2**31)]

_TYPES = {ReportFormat.JSON: "application/json", ReportFormat.XML: "application/xml"}


@router.get("")
async def show(
    case: CaseId, service: Serving, console: Showing, visitor: Reviewing, done: Done = "", first: First = 0
) -> Response:
    """The case, as far as the reviewer may see it."""
    me, at = visitor.operator.operator_id, int(service.clock())
    async with service.store.reading() as db:
        sight = await read_case(db, case, me, at, first=first)
    matches = None if sight.matches is None else [shown_match(match) for match in sight.matches]
    return console.page(
        "case",
        visitor=visitor,
        here="case",
        message=DONE.get(done),
        sight=sight,
        case=sight.case,
        matches=matches,
        first=first,
        at_once=MATCHES_AT_ONCE,
        account=pseudonym(service, sight.case.account),
        at=at,
        me=me,
        holder=sight.case.holder(at),
        note_id=secrets.token_hex(16),
        most=MOST_CHARACTERS,
    )


@router.post("/take")
async def take(case: CaseId, service: Serving, visitor: Acting) -> Response:
    """Take the case, or have it for longer."""
    async with service.writer.change(service.clock()) as change:
        await take_case(change, case, visitor.operator.operator_id)
    return _back(case)


@router.post("/give-back")
async def release(case: CaseId, service: Serving, visitor: Acting) -> Response:
    """Let others have the case."""
    async with service.writer.change(service.clock()) as change:
        await give_back(change, case, visitor.operator.operator_id)
    return RedirectResponse(f"{HOME}?done=given-back", HTTPStatus.SEE_OTHER)


@router.post("/notes")
async def note(case: CaseId, service: Serving, visitor: Acting, note_id: NoteId, text: Words = "") -> Response:
    """Write a note, and have the case for longer."""
    me = visitor.operator.operator_id
    async with service.writer.change(service.clock()) as change:
        await add_note(change, case, me, note_id, text)
        await take_case(change, case, me)
    return _back(case, "noted", "#notes")


@router.post("/decision")
async def ask(
    case: CaseId, service: Serving, console: Showing, visitor: Acting, outcome: Outcome, seen: Seen, reason: Words = ""
) -> Response:
    """Show what is about to be decided; nothing is decided yet, but the case is held for longer."""
    me = visitor.operator.operator_id
    words = checked(reason)
    async with service.writer.change(service.clock()) as change:
        found = await find_case(change.db, case, me)
        check_held(found, me, change.at)
        await take_case(change, case, me)
    return console.page("confirm", visitor=visitor, here="case", case=found, outcome=outcome, reason=words, seen=seen)


@router.post("/decision/confirmed")
async def confirm(
    case: CaseId, service: Serving, visitor: Acting, outcome: Outcome, seen: Seen, reason: Words = ""
) -> Response:
    """Decide."""
    async with service.writer.change(service.clock()) as change:
        await decide(change, case, visitor.operator.operator_id, outcome, reason, seen=seen)
    return _back(case, "decided")


@router.post("/report")
async def report(
    case: CaseId, service: Serving, visitor: Acting, form: Annotated[ReportFormat, Form(alias="format")]
) -> Response:
    """Hand out the report as a file; each time is logged, so it is no plain link."""
    async with service.writer.change(service.clock()) as change:
        content = await write_report(change, case, visitor.operator.operator_id, form)
    name = f"case-{case[:8]}.{form}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=_TYPES[form])


def _back(case: str, done: str = "", place: str = "") -> Response:
    query = f"?done={done}" if done else ""
    return RedirectResponse(f"/console/cases/{case}{query}{place}", HTTPStatus.SEE_OTHER)

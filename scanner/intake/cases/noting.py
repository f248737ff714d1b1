"""Write notes on a case. A note is never changed; a mistake is put right by another note."""

from __future__ import annotations

import hashlib

from sqlalchemy import insert, select

from scanner.intake.cases.leasing import check_held, conflict
from scanner.intake.cases.reading import find_case
from scanner.intake.cases.words import checked
from scanner.intake.store.change import Change
from scanner.intake.store.tables import CASE_NOTES


async def add_note(change: Change, case_id: str, by: str, note_id: str, text: str) -> None:
    """Write a note; the same again changes nothing.

    Args:
        change: to write in.
        case_id: of the case.
        by: the reviewer, who holds the lease.
        note_id: 32 hexadecimal digits, chosen when the form was made, so that sending it twice makes one note.
        text: what to say.

    Raises:
        ProblemError: 404; 409 if the reviewer doesn't hold the case or the id is of another note; 422 for the text.
    """
    words = checked(text)
    case = await find_case(change.db, case_id, by)
    there = (await change.db.execute(select(CASE_NOTES).where(CASE_NOTES.c.note_id == note_id))).one_or_none()
    if there is not None:
        if (there.case_id, there.operator_id, there.text) != (case_id, by, words):
            raise conflict("note-taken", "This note is written already", "Open the case again and write another one.")
        return
    check_held(case, by, change.at)
    row = {"note_id": note_id, "case_id": case_id, "operator_id": by, "written_at": change.at, "text": words}
    await change.db.execute(insert(CASE_NOTES).values(**row))
    change.log("note", note=note_id, case=case_id, by=by, digest=hashlib.sha256(words.encode()).digest())

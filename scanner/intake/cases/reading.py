"""Read cases, and only what the reader may see of each.

Rules: matches are seen by who holds the lease, by who has decided, and by all reviewers once the case is closed; what
others decided and noted is seen by nobody before their own decision, so that nobody leans on it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from scanner.intake.cases.lifecycle import CaseOutcome, CaseState, round_of
from scanner.intake.problems import ProblemError
from scanner.intake.store.tables import CASE_DECISIONS, CASE_MATCHES, CASE_NOTES, CASES, OPERATORS

GONE = "a former reviewer"
MATCHES_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Case:
    """A case without what is in it.

    Attributes:
        case_id: 32 hexadecimal digits.
        account: the account's id, 16 bytes.
        window: number of the window.
        opening_id: the newest opening that brought matches.
        state: where it is in its life.
        opened_at: seconds since 1970.
        lease_by: who took it last and has not given it back, or None.
        lease_until: when that lease runs out, or None.
        outcome: what two people said, or None while it is open.
        closed_at: seconds since 1970, or None.
        matches: how many.
        decided: whether the reader decided in this round.
    """

    case_id: str
    account: bytes
    window: int
    opening_id: str
    state: CaseState
    opened_at: int
    lease_by: str | None
    lease_until: int | None
    outcome: CaseOutcome | None
    closed_at: int | None
    matches: int
    decided: bool

    def holder(self, at: int) -> str | None:
        """Who holds the lease at a time."""
        return self.lease_by if self.lease_until is not None and self.lease_until > at else None


@dataclass(frozen=True, slots=True)
class Decision:
    """What one reviewer decided in a round."""

    round: int
    operator_id: str
    name: str
    outcome: CaseOutcome
    reason: str
    decided_at: int


@dataclass(frozen=True, slots=True)
class Note:
    """What one reviewer wrote down."""

    note_id: str
    operator_id: str
    name: str
    written_at: int
    text: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What one reader may see of a case.

    Attributes:
        case: the case.
        round: the round it is in.
        matches: what the vouchers told, in order, MATCHES_AT_ONCE at most, or None if they may not be seen.
        notes: the reader's own, and those of others if they may be seen.
        decisions: likewise.
        hidden_notes: how many there are besides.
    """

    case: Case
    round: int
    matches: tuple[dict[str, Any], ...] | None
    notes: tuple[Note, ...]
    decisions: tuple[Decision, ...]
    hidden_notes: int


async def read_case(db: AsyncConnection, case_id: str, reader: str, at: int, *, first: int = 0) -> Sight:
    """What a reviewer may see of a case.

    Args:
        db: to read from.
        case_id: as the reviewer gave it.
        reader: the reviewer's operator id.
        at: the time.
        first: number of the first match to be shown, from 0.

    Raises:
        ProblemError: 404, there is no such case.
    """
    case = await find_case(db, case_id, reader)
    decisions, notes = await decisions_of(db, case_id), await notes_of(db, case_id)
    all_of_it = case.decided or case.state is CaseState.CLOSED
    seen_notes = tuple(note for note in notes if all_of_it or note.operator_id == reader)
    may_see = all_of_it or case.holder(at) == reader
    return Sight(
        case,
        round_of(case.state, max((each.round for each in decisions), default=None)),
        await matches_of(db, case_id, first, MATCHES_AT_ONCE) if may_see else None,
        seen_notes,
        tuple(each for each in decisions if all_of_it or each.operator_id == reader),
        len(notes) - len(seen_notes),
    )


async def find_case(db: AsyncConnection, case_id: str, reader: str) -> Case:
    """A case without what is in it.

    Raises:
        ProblemError: 404, there is no such case.
    """
    row = (await db.execute(cases_for(reader).where(CASES.c.case_id == case_id))).one_or_none()
    if row is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-case", "There is no such case", "Its time may be over.")
    return _case(row)


async def open_cases(db: AsyncConnection, reader: str, limit: int, after: tuple[int, str] | None = None) -> list[Case]:
    """Cases that aren't closed, the oldest first.

    Args:
        db: to read from.
        reader: the reviewer's operator id.
        limit: at most so many.
        after: time of opening and id of the last case of the page before.
    """
    query = cases_for(reader).where(CASES.c.state != CaseState.CLOSED.value)
    if after is not None:
        at, case_id = after
        query = query.where(or_(CASES.c.opened_at > at, and_(CASES.c.opened_at == at, CASES.c.case_id > case_id)))
    rows = await db.execute(query.order_by(CASES.c.opened_at, CASES.c.case_id).limit(limit))
    return [_case(row) for row in rows]


async def closed_cases(
    db: AsyncConnection, reader: str, limit: int, after: tuple[int, str] | None = None
) -> list[Case]:
    """Cases that are closed, the newest first; ``after`` has the time of closing."""
    query = cases_for(reader).where(CASES.c.state == CaseState.CLOSED.value)
    if after is not None:
        at, case_id = after
        query = query.where(or_(CASES.c.closed_at < at, and_(CASES.c.closed_at == at, CASES.c.case_id < case_id)))
    rows = await db.execute(query.order_by(CASES.c.closed_at.desc(), CASES.c.case_id.desc()).limit(limit))
    return [_case(row) for row in rows]


async def count_open(db: AsyncConnection) -> dict[CaseState, int]:
    """How many cases that aren't closed are in each state."""
    query = select(CASES.c.state, func.count()).where(CASES.c.state != CaseState.CLOSED.value).group_by(CASES.c.state)
    return {CaseState(state): number for state, number in await db.execute(query)}


async def matches_of(
    db: AsyncConnection, case_id: str, first: int = 0, limit: int | None = None
) -> tuple[dict[str, Any], ...]:
    """What a case's vouchers told, in order, from one number on."""
    query = select(CASE_MATCHES.c.match).where(CASE_MATCHES.c.case_id == case_id, CASE_MATCHES.c.number >= first)
    query = query.order_by(CASE_MATCHES.c.number).limit(limit)
    return tuple(json.loads(match) for match in (await db.execute(query)).scalars())


async def decisions_of(db: AsyncConnection, case_id: str) -> Sequence[Decision]:
    """Every decision on a case, in order."""
    query = (
        select(CASE_DECISIONS, OPERATORS.c.name)
        .outerjoin(OPERATORS, OPERATORS.c.operator_id == CASE_DECISIONS.c.operator_id)
        .where(CASE_DECISIONS.c.case_id == case_id)
        .order_by(CASE_DECISIONS.c.round, CASE_DECISIONS.c.decided_at, CASE_DECISIONS.c.operator_id)
    )
    return [
        Decision(
            row.round, row.operator_id, row.name or GONE, CaseOutcome(row.outcome), row.reason, row.decided_at
        )
        for row in await db.execute(query)
    ]  # fmt: skip


async def notes_of(db: AsyncConnection, case_id: str) -> Sequence[Note]:
    """Every note on a case, in order."""
    query = (
        select(CASE_NOTES, OPERATORS.c.name)
        .outerjoin(OPERATORS, OPERATORS.c.operator_id == CASE_NOTES.c.operator_id)
        .where(CASE_NOTES.c.case_id == case_id)
        .order_by(CASE_NOTES.c.written_at, CASE_NOTES.c.note_id)
    )
    return [
        Note(row.note_id, row.operator_id, row.name or GONE, row.written_at, row.text)
        for row in await db.execute(query)
    ]  # fmt: skip


def cases_for(reader: str) -> Select[Any]:
    """Query cases as a reader meets them."""
    of_case = CASE_MATCHES.c.case_id == CASES.c.case_id
    matches = select(func.count()).select_from(CASE_MATCHES).where(of_case).scalar_subquery()
    return select(CASES, matches.label("matches"), decided_by(reader).label("decided"))


def decided_by(reader: str) -> ColumnElement[bool]:
    """Whether a reader has decided on a case in the round it is in; nobody has in a round that waits."""
    mine, others = CASE_DECISIONS.alias(), CASE_DECISIONS.alias()
    last = (
        select(func.max(others.c.round)).where(others.c.case_id == CASES.c.case_id).correlate(CASES).scalar_subquery()
    )
    said = exists().where(mine.c.case_id == CASES.c.case_id, mine.c.operator_id == reader, mine.c.round == last)
    return and_(CASES.c.state != CaseState.WAITING.value, said)


def _case(row: Row[Any]) -> Case:
    return Case(
        row.case_id,
        row.account,
        row.window_number,
        row.opening_id,
        CaseState(row.state),
        row.opened_at,
        row.lease_by,
        row.lease_until,
        None if row.outcome is None else CaseOutcome(row.outcome),
        row.closed_at,
        row.matches,
        bool(row.decided),
    )

"""Give each reviewer one case to work on, for a while.

Rules: a case is with one reviewer at a time, and a reviewer has one case at a time; a lease that ran out is free for
anyone; who has decided on a case has nothing left to do there.
"""

from __future__ import annotations

from http import HTTPStatus

from sqlalchemy import and_, not_, or_, select, update

from scanner.intake.cases.lifecycle import LEASE_SECONDS, CaseState
from scanner.intake.cases.reading import Case, decided_by, find_case
from scanner.intake.problems import ProblemError
from scanner.intake.store.change import Change
from scanner.intake.store.tables import CASES


async def take_case(change: Change, case_id: str, by: str) -> int:
    """Take a case's lease, or renew it; gives the time it runs out.

    Args:
        change: to write in.
        case_id: of the case.
        by: the reviewer's operator id.

    Raises:
        ProblemError: 404; or 409 if it is closed, another has it, the reviewer has another case, or has decided on it.
    """
    case = await find_case(change.db, case_id, by)
    if case.state is CaseState.CLOSED:
        raise conflict("closed", "The case is closed")
    if case.decided:
        raise conflict("decided", "You have decided on this case", "The next step is another reviewer's.")
    if case.holder(change.at) not in {None, by}:
        raise conflict("leased", "Another reviewer works on this case", "Take the next one from the queue.")
    held = await held_by(change, by)
    if held not in {None, case_id}:
        raise conflict("holds-another", "You hold another case", "Decide on it or give it back first.")
    until = change.at + LEASE_SECONDS
    await change.db.execute(update(CASES).where(CASES.c.case_id == case_id).values(lease_by=by, lease_until=until))
    return until


async def take_next(change: Change, by: str) -> str | None:
    """Take the case that is oldest of those the reviewer can work on; gives its id, or None if there is none.

    Who holds one already gets that one.
    """
    case_id = await held_by(change, by)
    if case_id is None:
        free = or_(CASES.c.lease_until.is_(None), CASES.c.lease_until <= change.at)
        query = select(CASES.c.case_id).where(and_(CASES.c.state != CaseState.CLOSED.value, free, not_(decided_by(by))))
        oldest = query.order_by(CASES.c.opened_at, CASES.c.case_id).limit(1)
        case_id = (await change.db.execute(oldest)).scalar_one_or_none()
    if case_id is not None:
        await take_case(change, case_id, by)
    return case_id


async def give_back(change: Change, case_id: str, by: str) -> None:
    """Give up a lease; nothing happens if the reviewer has it no longer."""
    await change.db.execute(
        update(CASES)
        .where(CASES.c.case_id == case_id, CASES.c.lease_by == by)
        .values(lease_by=None, lease_until=None)
    )  # fmt: skip


async def held_by(change: Change, by: str) -> str | None:
    """The case that a reviewer holds."""
    query = select(CASES.c.case_id).where(CASES.c.lease_by == by, CASES.c.lease_until > change.at)
    return (await change.db.execute(query)).scalar_one_or_none()


def check_held(case: Case, by: str, at: int) -> None:
    """Refuse who doesn't hold the lease.

    Raises:
        ProblemError: 409.
    """
    if case.holder(at) != by:
        raise conflict("no-lease", "You don't hold this case", "Your time with it ran out. Take it again.")


def conflict(name: str, title: str, detail: str | None = None) -> ProblemError:
    """The state of a case doesn't allow it."""
    return ProblemError(HTTPStatus.CONFLICT, name, title, detail)

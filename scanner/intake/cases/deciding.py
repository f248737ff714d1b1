"""Decide on a case: four eyes.

Rules: a case is closed when two different people said the same of the same matches; nobody decides twice in a round;
who decides holds the lease and has seen all there is; closing a case closes its vouchers in the same change.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import insert, update

from scanner.intake.cases.leasing import check_held, conflict
from scanner.intake.cases.lifecycle import TRANSITIONS, CaseOutcome, CaseState, round_of, step_of
from scanner.intake.cases.reading import Case, decisions_of, find_case
from scanner.intake.cases.words import checked
from scanner.intake.hooks.outbox import tell
from scanner.intake.store.change import Change
from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import CASE_DECISIONS, CASES
from scanner.intake.windows.moving import move


async def decide(
    change: Change, case_id: str, by: str, outcome: CaseOutcome, reason: str, *, seen: int
) -> CaseState:  # fmt: skip
    """Write a reviewer's decision, and close the case if another said the same; gives the state after.

    The same decision again changes nothing.

    Args:
        change: to write in.
        case_id: of the case.
        by: the reviewer, who holds the lease.
        outcome: what the reviewer decides.
        reason: why.
        seen: how many matches the reviewer was shown.

    Raises:
        ProblemError: 404; 409 if the reviewer doesn't hold the case, decided otherwise already, or has not seen all of
            it, or it is closed; 422 for the reason.
    """
    words = checked(reason)
    case = await find_case(change.db, case_id, by)
    decisions = await decisions_of(change.db, case_id)
    number = round_of(case.state, max((each.round for each in decisions), default=None))
    of_round = [each for each in decisions if each.round == number]
    if case.decided:
        if (by, outcome) not in [(each.operator_id, each.outcome) for each in of_round]:
            raise conflict("decided", "You have decided on this case", "A decision can't be changed.")
        return case.state
    if case.state is CaseState.CLOSED:
        raise conflict("closed", "The case is closed")
    check_held(case, by, change.at)
    if seen != case.matches:
        raise conflict("new-matches", "The case has got new matches", "Look at them before you decide.")
    row = {"case_id": case_id, "round": number, "operator_id": by, "outcome": outcome.value, "reason": words}
    await change.db.execute(insert(CASE_DECISIONS).values(**row, decided_at=change.at))
    digest = hashlib.sha256(words.encode()).digest()
    change.log("decision", case=case_id, round=number, by=by, outcome=outcome.value, digest=digest)
    state = TRANSITIONS[step_of(case.state, [each.outcome for each in of_round], outcome)][case.state]
    await change.db.execute(
        update(CASES).where(CASES.c.case_id == case_id).values(state=state.value, lease_by=None, lease_until=None)
    )
    if state is CaseState.CLOSED:
        await _close(change, case, outcome)
    return state


async def _close(change: Change, case: Case, outcome: CaseOutcome) -> None:
    values = {"outcome": outcome.value, "closed_at": change.at}
    await change.db.execute(update(CASES).where(CASES.c.case_id == case.case_id).values(**values))
    vouchers = await move(change, Step.CLOSE, case.account, case.window)
    change.log("closing", case=case.case_id, outcome=outcome.value)
    data = {"case": case.case_id, "window": case.window, "matches": case.matches, "vouchers": vouchers}
    await tell(change, "case.closed", data)

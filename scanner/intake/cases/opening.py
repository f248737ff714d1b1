"""Open a case of what the opener found, or add to the one there is.

Rules: an account's window has one case; a match that is there already is not added again; new matches make a new round,
so that nobody's decision counts for what they did not see.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select, update

from scanner.intake.cases.lifecycle import TRANSITIONS, CaseState, CaseStep
from scanner.intake.hooks.outbox import tell
from scanner.intake.store.change import Change
from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import CASE_MATCHES, CASES
from scanner.intake.windows.moving import move


async def open_case(
    change: Change, *, account: bytes, window: int, opening_id: str, matches: Sequence[Mapping[str, Any]]
) -> str:
    """Make the case of an account's window, or add matches to it; gives its id.

    To be called when the window's vouchers are opened: those that tell a closed case nothing new are closed here.

    Args:
        change: the change the opening is written in.
        account: the account's id, 16 bytes.
        window: number of the window.
        opening_id: of the row in OPENINGS.
        matches: what each opened voucher told, as JSON can hold it.
    """
    told = list(dict.fromkeys(canonical(match) for match in matches))
    here = (CASES.c.account == account) & (CASES.c.window_number == window)
    found = (await change.db.execute(select(CASES.c.case_id, CASES.c.state).where(here))).one_or_none()
    if found is None:
        case_id = secrets.token_hex(16)
        row = {"case_id": case_id, "account": account, "window_number": window, "opening_id": opening_id}
        await change.db.execute(insert(CASES).values(**row, state=CaseState.WAITING.value, opened_at=change.at))
        known: list[bytes] = []
    else:
        case_id = found.case_id
        of_case = select(CASE_MATCHES.c.match).where(CASE_MATCHES.c.case_id == case_id).order_by(CASE_MATCHES.c.number)
        known = list((await change.db.execute(of_case)).scalars())
    there = set(known)
    new = [match for match in told if match not in there]
    if found is not None and not new:
        if found.state == CaseState.CLOSED:
            await move(change, Step.CLOSE, account, window)
        return case_id
    if new:
        await change.db.execute(
            insert(CASE_MATCHES),
            [{"case_id": case_id, "number": len(known) + n, "match": match} for n, match in enumerate(new)],
        )
    if found is not None:
        await _begin_round(change, case_id, CaseState(found.state), opening_id)
    digests = [hashlib.sha256(match).digest() for match in known + new]
    change.log("case", case=case_id, account=account, window=window, opening=opening_id, matches=digests)
    await tell(change, "case.opened", {"case": case_id, "window": window, "matches": len(digests)})
    return case_id


def canonical(match: Mapping[str, Any]) -> bytes:
    """A match as it is stored: JSON of one form, so that equal matches are equal bytes."""
    return json.dumps(match, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


async def _begin_round(change: Change, case_id: str, state: CaseState, opening_id: str) -> None:
    follows = TRANSITIONS[CaseStep.REOPEN].get(state, state)  # a waiting case waits on
    values = {"state": follows.value, "opening_id": opening_id, "outcome": None, "closed_at": None}
    await change.db.execute(update(CASES).where(CASES.c.case_id == case_id).values(**values))

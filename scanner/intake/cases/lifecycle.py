"""The life of a case, the one place that says which step follows which.

    waiting ──decide──> decided-once ──agree──> closed
       ^                     │                    ^ │
       │                  differ                  │ │
       │                     v                    │ │
       │                 disputed ────settle──────┘ │
       └──────reopen─────────┴──────────────────────┘  (from decided-once too)

``waiting``: nobody has decided. ``decided-once``: one has. ``disputed``: two have, and don't agree. ``closed``: two
different people said the same. There are two outcomes, so a third person always agrees with one of two who don't: that
settles it, and no round of argument is needed. Until there is a third reviewer, a disputed case waits.

New matches of the same account and window reopen a case and begin a new round: whoever decided before did not see them.
In each round every person decides once. A case that was to be reported is reported when its new round is closed.

Who works on a case holds its lease; that is beside its state::

    free ──take──> leased (renewed by its holder) ──give back, decide, or LEASE_SECONDS pass──> free

A lease that has run out needs no step to end: its time is past. A reviewer holds one at a time.
"""

from __future__ import annotations

from enum import StrEnum

LEASE_SECONDS = 15 * 60


class CaseState(StrEnum):
    """Where a case is in its life."""

    WAITING = "waiting"
    DECIDED_ONCE = "decided-once"
    DISPUTED = "disputed"
    CLOSED = "closed"


class CaseStep(StrEnum):
    """What can happen to it."""

    DECIDE = "decide"
    AGREE = "agree"
    DIFFER = "differ"
    SETTLE = "settle"
    REOPEN = "reopen"


class CaseOutcome(StrEnum):
    """What a reviewer decides."""

    REPORT = "report"
    DISMISS = "dismiss"


TRANSITIONS: dict[CaseStep, dict[CaseState, CaseState]] = {
    CaseStep.DECIDE: {CaseState.WAITING: CaseState.DECIDED_ONCE},
    CaseStep.AGREE: {CaseState.DECIDED_ONCE: CaseState.CLOSED},
    CaseStep.DIFFER: {CaseState.DECIDED_ONCE: CaseState.DISPUTED},
    CaseStep.SETTLE: {CaseState.DISPUTED: CaseState.CLOSED},
    CaseStep.REOPEN: {
        CaseState.DECIDED_ONCE: CaseState.WAITING,
        CaseState.DISPUTED: CaseState.WAITING,
        CaseState.CLOSED: CaseState.WAITING,
    },
}
"""For each step, the states it may be taken in and what follows."""


def step_of(state: CaseState, earlier: list[CaseOutcome], outcome: CaseOutcome) -> CaseStep:
    """The step that a decision is.

    Args:
        state: of the case, not closed.
        earlier: what others decided in this round.
        outcome: what is decided now.
    """
    if state is CaseState.WAITING:
        return CaseStep.DECIDE
    if state is CaseState.DISPUTED:
        return CaseStep.SETTLE
    return CaseStep.AGREE if earlier == [outcome] else CaseStep.DIFFER


def round_of(state: CaseState, last: int | None) -> int:
    """The number of the round a case is in.

    Args:
        state: of the case.
        last: the highest round that anyone decided in, or None.
    """
    return (last or 0) + (state is CaseState.WAITING)

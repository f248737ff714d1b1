"""The life of a voucher, the one place that says which step follows which.

    received ──count──> counted ──export──> exported ──open──> opened ──close──> closed
        │                  │ │                  │
        └──────expire──────┘ └───────expire─────┘──> (deleted; the log says so)

``received``: stored, its receipt given. ``counted``: in its account's count for the window. ``exported``: in a file for
the opener. ``opened``: the opener reported its window as opened and there is a case. ``closed``: the case is decided.
Expiry deletes the vouchers of a window that nothing was opened of, and of a case that is closed, after its time.
An exported window gets late vouchers: they go the same way, and the next export has them all.
"""

from __future__ import annotations

from enum import StrEnum


class VoucherState(StrEnum):
    """Where a voucher is in its life."""

    RECEIVED = "received"
    COUNTED = "counted"
    EXPORTED = "exported"
    OPENED = "opened"
    CLOSED = "closed"


class Step(StrEnum):
    """What can happen to it."""

    COUNT = "count"
    EXPORT = "export"
    OPEN = "open"
    CLOSE = "close"
    EXPIRE = "expire"


TRANSITIONS: dict[Step, dict[VoucherState, VoucherState | None]] = {
    Step.COUNT: {VoucherState.RECEIVED: VoucherState.COUNTED},
    Step.EXPORT: {VoucherState.COUNTED: VoucherState.EXPORTED},
    Step.OPEN: {VoucherState.EXPORTED: VoucherState.OPENED},
    Step.CLOSE: {VoucherState.OPENED: VoucherState.CLOSED},
    Step.EXPIRE: {
        VoucherState.RECEIVED: None,
        VoucherState.COUNTED: None,
        VoucherState.EXPORTED: None,
        VoucherState.CLOSED: None,
    },
}
"""For each step, the states it may be taken in and what follows; ``None``: the voucher is deleted."""


def sources(step: Step) -> list[str]:
    """The states a step may be taken in, for a query."""
    return [state.value for state in TRANSITIONS[step]]


def target(step: Step) -> str:
    """The state after a step that does not delete; each such step has one."""
    (state,) = {state for state in TRANSITIONS[step].values() if state is not None}
    return state.value

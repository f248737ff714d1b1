"""The life of a webhook's message, the one place that says which step follows which.

    waiting ──claim──> sending ──accept──> delivered ──tidy──> (deleted)
      │  ^               │ │ ^
      │  └─────retry─────┘ │ └── claim: whoever sent it is gone, its lease is over
      └─────give-up────────┴─────────────> given-up ──tidy──> (deleted)

``waiting``: to be sent when it is due. ``sending``: a worker sends it, until the lease in ``due_at`` is over.
``delivered``: the receiver answered 2xx. ``given-up``: no attempt is left, or the hook is disabled.
"""

from __future__ import annotations

from enum import StrEnum


class MessageState(StrEnum):
    """Where a message is in its life."""

    WAITING = "waiting"
    SENDING = "sending"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


class Step(StrEnum):
    """What can happen to it."""

    CLAIM = "claim"
    RETRY = "retry"
    ACCEPT = "accept"
    GIVE_UP = "give-up"
    TIDY = "tidy"


TRANSITIONS: dict[Step, dict[MessageState, MessageState | None]] = {
    Step.CLAIM: {MessageState.WAITING: MessageState.SENDING, MessageState.SENDING: MessageState.SENDING},
    Step.RETRY: {MessageState.SENDING: MessageState.WAITING},
    Step.ACCEPT: {MessageState.SENDING: MessageState.DELIVERED},
    Step.GIVE_UP: {MessageState.WAITING: MessageState.GIVEN_UP, MessageState.SENDING: MessageState.GIVEN_UP},
    Step.TIDY: {MessageState.DELIVERED: None, MessageState.GIVEN_UP: None},
}
"""For each step, the states it may be taken in and what follows; ``None``: the message is deleted."""


def sources(step: Step) -> list[str]:
    """The states a step may be taken in, for a query."""
    return [state.value for state in TRANSITIONS[step]]


def target(step: Step) -> str:
    """The state after a step that does not delete; each such step has one."""
    (state,) = {state for state in TRANSITIONS[step].values() if state is not None}
    return state.value

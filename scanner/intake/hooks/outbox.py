"""What webhooks are to be told is written in the change that it tells of: both are there, or neither.

Rules: a message holds ids and counts, nothing of what a voucher or a reviewer said; its body never changes once it is
written, so that every attempt sends the same bytes under the same id.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import insert, select

from scanner.errors import ArgumentError
from scanner.intake.hooks.lifecycle import MessageState
from scanner.intake.store.change import Change
from scanner.intake.store.tables import HOOK_MESSAGES, HOOKS

Subscribed = Literal[
    "export.made",
    "opening.reported",
    "case.opened",
    "case.closed",
    "window.expired",
    "device.enrolled",
    "device.revoked",
]
"""What a hook can be set for."""

TEST = "hook.test"
"""Sent to one hook when an operator asks for it."""

EVENTS: tuple[str, ...] = (*get_args(Subscribed), TEST)
"""What a message can tell of."""

KEPT_SECONDS = 30 * 86_400
"""How long a message stays after it was delivered or given up."""

_ID = re.compile(r"[a-z0-9._-]{1,64}")


async def tell(change: Change, event: str, data: Mapping[str, Any]) -> None:
    """Queue a message for every enabled hook of an event; it is sent after the change is committed.

    Args:
        change: what it tells of.
        event: one of :data:`EVENTS`.
        data: ids and counts by name; bytes are written in hexadecimal.

    Raises:
        ArgumentError: the event is unknown, or the data hold something else.
        StorageError: the database fails.
    """
    body = message_body(event, change.at, data)
    hooks = await change.db.execute(select(HOOKS.c.hook_id, HOOKS.c.events).where(HOOKS.c.disabled_at.is_(None)))
    told = [hook_id for hook_id, events in hooks if event in events.split(" ")]
    if told:
        await change.db.execute(
            insert(HOOK_MESSAGES), [_row(change, hook_id, event, body, secrets.token_hex(16)) for hook_id in told]
        )


async def tell_one(change: Change, hook_id: str, message_id: str) -> None:
    """Queue a test message for one hook.

    Args:
        change: the change it is queued in.
        hook_id: of an enabled hook.
        message_id: 32 hexadecimal digits that no message has.

    Raises:
        StorageError: the database fails.
    """
    body = message_body(TEST, change.at, {"hook": hook_id})
    await change.db.execute(insert(HOOK_MESSAGES), [_row(change, hook_id, TEST, body, message_id)])


def message_body(event: str, at: int, data: Mapping[str, Any]) -> bytes:
    """Write a message: JSON of ``type``, ``timestamp`` (RFC 3339, UTC) and ``data``, as Standard Webhooks has it.

    Raises:
        ArgumentError: the event is unknown, or the data hold something else than ids and counts.
    """
    if event not in EVENTS:
        raise ArgumentError(f"no event is named {event!r}; known: {', '.join(EVENTS)}")
    message = {
        "type": event,
        "timestamp": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": {name: _id_or_count(name, value) for name, value in data.items()},
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _id_or_count(name: str, value: object) -> str | int | None:
    if isinstance(value, bytes):
        value = value.hex()
    if value is None or type(value) is int or (isinstance(value, str) and _ID.fullmatch(value)):
        return value
    raise ArgumentError(f"a webhook's data hold ids and counts; {name!r} is neither")


def _row(change: Change, hook_id: str, event: str, body: bytes, message_id: str) -> dict[str, Any]:
    return {
        "message_id": message_id,
        "hook_id": hook_id,
        "event": event,
        "body": body,
        "made_at": change.at,
        "state": MessageState.WAITING.value,
        "attempts": 0,
        "due_at": change.at,
    }

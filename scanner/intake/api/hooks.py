"""Webhooks: where they go, what became of each message, and the key they are signed with."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import and_, or_, select

from scanner.intake.api.context import Service, Serving
from scanner.intake.authority.access import ANSWERS, Admin
from scanner.intake.hooks.lifecycle import MessageState
from scanner.intake.hooks.outbox import TEST, Subscribed, tell_one
from scanner.intake.hooks.registry import (
    HOOK_COLUMNS,
    MOST_HOOKS,
    Hook,
    TooManyHooksError,
    Why,
    disable_hook,
    find_hook,
    hook_from,
    set_hook,
)
from scanner.intake.hooks.sending import NO_ANSWER, NOT_PUBLIC
from scanner.intake.hooks.signing import hook_key, public_text
from scanner.intake.hooks.targets import URL_PATTERN, NotPublicError, Target
from scanner.intake.paging import DEFAULT_LIMIT, Cursor, Limit, Page, cut, read_cursor
from scanner.intake.problems import ProblemError, documented
from scanner.intake.store.tables import HOOK_MESSAGES, HOOKS

router = APIRouter(prefix="/v1/hooks", tags=["webhooks"])

_HEX = "^[0-9a-f]{32}$"
HookId = Annotated[str, Path(pattern=_HEX, description="Id of the hook: 16 bytes in lower-case hexadecimal.")]
MessageId = Annotated[str, Path(pattern=_HEX, description="Id for the message: 16 random bytes in hexadecimal.")]

_MESSAGE_COLUMNS = [
    HOOK_MESSAGES.c[name]
    for name in ("message_id", "hook_id", "event", "state", "attempts", "made_at", "due_at", "last_status", "ended_at")
]
_FAULTS = {NO_ANSWER: "no-answer", NOT_PUBLIC: "not-public"}


def _all_different(events: list[Subscribed]) -> list[Subscribed]:
    if len(set(events)) < len(events):
        raise ValueError("an event stands there twice")
    return events


class HookIn(BaseModel):
    """Where to tell what."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        max_length=2048,
        pattern=URL_PATTERN,
        description="Where messages are posted: https, and a host with public addresses only. It is kept as it is and "
        "not logged.",
        examples=["https://receiver.example/prescan"],
    )
    events: Annotated[list[Subscribed], AfterValidator(_all_different)] = Field(
        min_length=1, max_length=7, description="What it is told.", json_schema_extra={"uniqueItems": True}
    )


class HookOut(BaseModel):
    """A hook."""

    hook_id: str = Field(description="Its id.")
    url: str = Field(description="Where messages are posted.")
    events: list[Subscribed] = Field(description="What it is told, sorted.")
    made_at: int = Field(description="Seconds since 1970.")
    disabled_at: int | None = Field(description="Since when it is told nothing, or null; setting it again enables it.")
    disabled_why: Literal["gone"] | None = Field(description="`gone`: its receiver answered 410; or null.")


class MessageOut(BaseModel):
    """What became of a message."""

    message_id: str = Field(description="The header `webhook-id` of every attempt.")
    event: Literal[Subscribed, "hook.test"] = Field(description="What it tells of.")
    state: MessageState = Field(description="Where it is in its life.")
    attempts: int = Field(description="How often it was sent, or nearly.")
    made_at: int = Field(description="Seconds since 1970.")
    due_at: int | None = Field(description="When it is sent next; null once it ended.")
    last_status: int | None = Field(description="HTTP status of the last answer; null if there was none.")
    last_fault: Literal["no-answer", "not-public"] | None = Field(
        description="`no-answer`: none came in time; `not-public`: nothing was sent, because the host has an address "
        "that is not public; or null."
    )
    ended_at: int | None = Field(description="When it was delivered or given up; 30 days later it is deleted.")


class HookKey(BaseModel):
    """The key webhooks are signed with."""

    public_key: str = Field(
        description="Ed25519, in the text form of Standard Webhooks. Receivers pin it.",
        examples=["whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="],
    )


@router.get("/key", summary="The key that signs webhooks")
async def key(service: Serving) -> HookKey:
    """Public: the key to check `webhook-signature` with, by standardwebhooks.com (`v1a`)."""
    return HookKey(public_key=public_text(hook_key(service.writer.signing_key)))


@router.put(
    "/{hook_id}",
    status_code=HTTPStatus.CREATED,
    summary="Set a webhook",
    responses={
        **ANSWERS,
        200: {"model": HookOut, "description": "It was there; it is now as asked for."},
        201: {"description": "Made."},
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        ),
    },
)
async def put_hook(hook_id: HookId, asked: HookIn, response: Response, service: Serving, operator: Admin) -> HookOut:
    """Make a hook, change it, or enable it again. 403 also for a URL that can be seen not to be public."""
    if not service.settings.unsafe_private_hooks:
        try:
            Target.of(asked.url).check()
        except NotPublicError:
            title = "Webhooks go to public addresses over https only"
            raise ProblemError(HTTPStatus.FORBIDDEN, "not-public", title) from None
    async with service.writer.change(service.clock()) as change:
        try:
            hook, new = await set_hook(change, hook_id, asked.url, asked.events, operator.operator_id)
        except TooManyHooksError:
            title = f"There may be {MOST_HOOKS} webhooks; delete one first"
            raise ProblemError(HTTPStatus.CONFLICT, "too-many-hooks", title) from None
    if not new:
        response.status_code = HTTPStatus.OK
    return _hook_out(hook)


@router.get(
    "",
    summary="List webhooks",
    responses={**ANSWERS, **documented(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)},
)
async def list_hooks(service: Serving, _: Admin, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT) -> Page[HookOut]:
    """All hooks by id, without deleted ones."""
    query = select(*HOOK_COLUMNS).order_by(HOOKS.c.hook_id).limit(limit + 1)
    query = query.where(or_(HOOKS.c.disabled_why.is_(None), HOOKS.c.disabled_why != Why.DELETED.value))
    if cursor is not None:
        (after,) = read_cursor(cursor, str)
        query = query.where(HOOKS.c.hook_id > after)
    async with service.store.reading() as db:
        rows = (await db.execute(query)).all()
    kept, following = cut(rows, limit, "hook_id")
    return Page(items=[_hook_out(hook_from(row)) for row in kept], next=following)


@router.get(
    "/{hook_id}",
    summary="One webhook",
    responses={**ANSWERS, **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)},
)
async def get_hook(hook_id: HookId, service: Serving, _: Admin) -> HookOut:
    """Where a hook goes and what it is told."""
    return _hook_out(await _standing(service, hook_id))


@router.delete(
    "/{hook_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a webhook",
    responses={**ANSWERS, **documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY)},
)
async def delete_hook(hook_id: HookId, service: Serving, operator: Admin) -> None:
    """Tell a hook nothing more. What waits for it is given up; again is no error."""
    async with service.writer.change(service.clock()) as change:
        if not await disable_hook(change, hook_id, Why.DELETED, operator.operator_id):
            raise _unknown()


@router.put(
    "/{hook_id}/tests/{message_id}",
    status_code=HTTPStatus.CREATED,
    summary="Send a test message",
    responses={
        **ANSWERS,
        200: {"model": MessageOut, "description": "It was asked for already; what became of it."},
        201: {"description": "Queued."},
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def put_test(
    hook_id: HookId, message_id: MessageId, response: Response, service: Serving, _: Admin
) -> MessageOut:
    """Queue a message `hook.test` for this hook. The same id again sends nothing more."""
    this = select(*_MESSAGE_COLUMNS).where(HOOK_MESSAGES.c.message_id == message_id)
    async with service.writer.change(service.clock()) as change:
        hook = await find_hook(change.db, hook_id)
        if hook is None or hook.disabled_why is Why.DELETED:
            raise _unknown()
        row = (await change.db.execute(this)).one_or_none()
        if row is not None and (row.hook_id, row.event) != (hook_id, TEST):
            raise ProblemError(HTTPStatus.CONFLICT, "other-message", "The id is of another message")
        if row is not None:
            response.status_code = HTTPStatus.OK
            return _message_out(row)
        if hook.disabled_at is not None:
            raise ProblemError(HTTPStatus.CONFLICT, "hook-disabled", "The webhook is disabled; set it again first")
        await tell_one(change, hook_id, message_id)
        return _message_out((await change.db.execute(this)).one())


@router.get(
    "/{hook_id}/messages",
    summary="A webhook's messages",
    responses={
        **ANSWERS,
        **documented(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY),
    },
)
async def list_messages(
    hook_id: HookId, service: Serving, _: Admin, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[MessageOut]:
    """What became of a hook's messages, the newest first."""
    await _standing(service, hook_id)
    made_at, message_id = HOOK_MESSAGES.c.made_at, HOOK_MESSAGES.c.message_id
    query = select(*_MESSAGE_COLUMNS).where(HOOK_MESSAGES.c.hook_id == hook_id)
    query = query.order_by(made_at.desc(), message_id.desc()).limit(limit + 1)
    if cursor is not None:
        at, last = read_cursor(cursor, int, str)
        query = query.where(or_(made_at < at, and_(made_at == at, message_id < last)))
    async with service.store.reading() as db:
        rows: Sequence[Any] = (await db.execute(query)).all()
    kept, following = cut(rows, limit, "made_at", "message_id")
    return Page(items=[_message_out(row) for row in kept], next=following)


async def _standing(service: Service, hook_id: str) -> Hook:
    """A hook that is not deleted."""
    async with service.store.reading() as db:
        hook = await find_hook(db, hook_id)
    if hook is None or hook.disabled_why is Why.DELETED:
        raise _unknown()
    return hook


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "unknown-hook", "There is no webhook of this id")


def _hook_out(hook: Hook) -> HookOut:
    return HookOut.model_validate(hook, from_attributes=True)


def _message_out(row: Any) -> MessageOut:
    status = row.last_status
    return MessageOut(
        message_id=row.message_id,
        event=row.event,
        state=MessageState(row.state),
        attempts=row.attempts,
        made_at=row.made_at,
        due_at=None if row.ended_at is not None else row.due_at,
        last_status=None if status in _FAULTS else status,
        last_fault=_FAULTS.get(status),  # type: ignore[arg-type]
        ended_at=row.ended_at,
    )

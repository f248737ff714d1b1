"""Operators: made, listed and revoked by those with the scope admin."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select

from scanner.intake.api.context import Serving
from scanner.intake.authority.access import ANSWERS, Admin
from scanner.intake.authority.operators import NAME, OperatorError, Scope, put_operator, revoke_operator
from scanner.intake.paging import DEFAULT_LIMIT, Cursor, Limit, Page, cut, read_cursor
from scanner.intake.problems import ProblemError, documented
from scanner.intake.store.tables import OPERATORS

router = APIRouter(tags=["operators"])

OperatorId = Annotated[
    str, Path(pattern="^[0-9a-f]{32}$", description="Operator id: 16 random bytes in lower-case hexadecimal.")
]

_STATUS = {
    "name-taken": HTTPStatus.CONFLICT,
    "other-operator": HTTPStatus.CONFLICT,
    "last-admin": HTTPStatus.CONFLICT,
    "unknown-operator": HTTPStatus.NOT_FOUND,
}
_UNPROCESSED = documented(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)


class NewOperator(BaseModel):
    """Who is to be let in, and what for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        pattern=f"^{NAME}$", description="Nobody else's, now or before. It is in the audit log: name a role, no person."
    )
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope), description="What the operator may do.")


class OperatorEntry(BaseModel):
    """An operator."""

    operator_id: str = Field(description="16 bytes, hexadecimal.")
    name: str
    scopes: list[Scope] = Field(description="What the operator may do, in alphabetical order.")
    made_at: int = Field(description="Seconds since 1970.")
    made_by: str | None = Field(description="Id of the operator who did it; null: at the machine.")
    revoked_at: int | None = Field(description="Seconds since 1970; null if not revoked.")


class MadeOperator(OperatorEntry):
    """An operator, and how to log in as one."""

    token: str = Field(description="The operator's token. It is in this answer alone; nobody can find it out again.")


@router.get("/v1/operators", responses={**ANSWERS, **_UNPROCESSED}, summary="List operators")
async def list_operators(
    service: Serving, _: Admin, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[OperatorEntry]:
    """Operators by id, a page at a time, the revoked ones too."""
    query = select(OPERATORS).order_by(OPERATORS.c.operator_id).limit(limit + 1)
    if cursor is not None:
        (after,) = read_cursor(cursor, str)
        query = query.where(OPERATORS.c.operator_id > after.replace("\0", ""))  # which PostgreSQL takes in no text
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), limit, "operator_id")
    return Page(items=[OperatorEntry(**_told(row)) for row in rows], next=following)


@router.get(
    "/v1/operators/{operator_id}",
    responses={**ANSWERS, **_UNPROCESSED, **documented(HTTPStatus.NOT_FOUND)},
    summary="Look at an operator",
)
async def get_operator(operator_id: OperatorId, service: Serving, _: Admin) -> OperatorEntry:
    """One operator, revoked or not."""
    return OperatorEntry(**await _found(service, operator_id))


@router.put(
    "/v1/operators/{operator_id}",
    status_code=HTTPStatus.CREATED,
    response_model=MadeOperator,
    responses={
        200: {"model": OperatorEntry, "description": "Was made already; the token is not told again."},
        **ANSWERS,
        **_UNPROCESSED,
        **documented(HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    },
    summary="Make an operator",
)
async def put(operator_id: OperatorId, body: NewOperator, service: Serving, admin: Admin) -> Any:
    """Make an operator under an id that the caller chose at random. If the answer is lost, revoke and make another."""
    async with service.verified.turn():
        try:
            _, token = await put_operator(
                service.writer, operator_id, body.name, body.scopes, service.clock(), by=admin.operator_id
            )
        except OperatorError as error:
            raise _problem(error) from None
    entry = await _found(service, operator_id)
    if token is None:
        return JSONResponse(OperatorEntry(**entry).model_dump(mode="json"), HTTPStatus.OK)
    return MadeOperator(**entry, token=token)


@router.put(
    "/v1/operators/{operator_id}/revocation",
    responses={**ANSWERS, **_UNPROCESSED, **documented(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)},
    summary="Revoke an operator",
)
async def put_revocation(operator_id: OperatorId, service: Serving, admin: Admin) -> OperatorEntry:
    """Refuse an operator's token and sessions from now on, at every worker, for ever. The last admin can't go."""
    try:
        await revoke_operator(service.writer, operator_id, service.clock(), by=admin.operator_id)
    except OperatorError as error:
        raise _problem(error) from None
    return OperatorEntry(**await _found(service, operator_id))


async def _found(service: Serving, operator_id: str) -> dict[str, Any]:
    query = select(OPERATORS).where(OPERATORS.c.operator_id == operator_id)
    async with service.store.reading() as db:
        row = (await db.execute(query)).one_or_none()
    if row is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-operator", "There is no operator of this id")
    return _told(row)


def _told(row: Row[Any]) -> dict[str, Any]:
    return {
        "operator_id": row.operator_id,
        "name": row.name,
        "scopes": row.scopes.split(),
        "made_at": row.made_at,
        "made_by": row.made_by,
        "revoked_at": row.revoked_at,
    }


def _problem(error: OperatorError) -> ProblemError:
    text = str(error)
    return ProblemError(_STATUS[error.problem], error.problem, text[0].upper() + text[1:])

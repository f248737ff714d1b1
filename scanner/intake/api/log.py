"""The audit log: signed checkpoints and proofs for everyone, entries for operators."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from scanner.errors import ArgumentError
from scanner.intake.api.context import Serving
from scanner.intake.audit.notes import Signer
from scanner.intake.audit.reading import prove_consistency, prove_inclusion, read_entries, read_head
from scanner.intake.authority.access import ANSWERS, Reader
from scanner.intake.paging import DEFAULT_LIMIT, Cursor, Limit, Page, cut, read_cursor
from scanner.intake.problems import ProblemError, documented

router = APIRouter(prefix="/v1/log", tags=["audit log"])

_PROOF = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
Size = Annotated[int, Query(ge=0, lt=2**63, description="Entries in the log, as a checkpoint says.")]
Position = Annotated[int, Query(ge=0, lt=2**63, description="Position of the entry, from 0.")]


class Proof(BaseModel):
    """Hashes of RFC 9162, in its order."""

    hashes: list[str] = Field(description="Base64, 32 bytes each.")


class LogEntry(BaseModel):
    """An entry of the audit log."""

    position: int = Field(description="From 0.")
    kind: str
    at: int = Field(description="Seconds since 1970.")
    body: str = Field(description="Base64 of what the leaf is the hash of: deterministic CBOR.")


class LogKey(BaseModel):
    """Who signs checkpoints."""

    verifier: str = Field(description="Verifier key of C2SP signed notes: name, key id and key.")


@router.get(
    "/checkpoint",
    summary="The newest checkpoint",
    response_class=Response,
    responses={
        200: {"description": "A signed note (C2SP tlog-checkpoint).", "content": {"text/plain": {}}},
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
async def checkpoint(service: Serving) -> Response:
    """Public: how far the log goes and its root, signed."""
    async with service.store.reading() as db:
        head = await read_head(db)
    if not head.note:
        raise ProblemError(HTTPStatus.NOT_FOUND, "empty-log", "The audit log has no entry yet")
    return Response(head.note, media_type="text/plain; charset=utf-8")


@router.get("/key", summary="The key of the checkpoints")
async def key(service: Serving) -> LogKey:
    """Public: pin it from elsewhere, as any key."""
    return LogKey(verifier=str(Signer(service.writer.origin, service.writer.signing_key).verifier))


@router.get("/inclusion", summary="Prove that an entry is in the log", responses=_PROOF)
async def inclusion(service: Serving, position: Position, size: Size) -> Proof:
    """Public: RFC 9162 section 2.1.3; hashes alone, which tell nothing of the entries."""
    try:
        async with service.store.reading() as db:
            return _proof(await prove_inclusion(db, position, size))
    except ArgumentError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-proof", f"There is no such proof: {error}") from None


@router.get("/consistency", summary="Prove that the log only grew", responses=_PROOF)
async def consistency(service: Serving, old: Size, new: Size) -> Proof:
    """Public: RFC 9162 section 2.1.4; keep checkpoints, and ask for the proof between two of them."""
    try:
        async with service.store.reading() as db:
            return _proof(await prove_consistency(db, old, new))
    except ArgumentError as error:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-proof", f"There is no such proof: {error}") from None


@router.get(
    "/entries",
    summary="What the log says",
    responses={**documented(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY), **ANSWERS},
)
async def entries(service: Serving, _: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT) -> Page[LogEntry]:
    """In the order in which it was said."""
    (after,) = (-1,) if cursor is None else read_cursor(cursor, int)
    async with service.store.reading() as db:
        rows, following = cut(await read_entries(db, after, limit + 1), limit, "position")
    items = [
        LogEntry(position=row.position, kind=row.kind, at=row.at, body=base64.b64encode(row.body).decode())
        for row in rows
    ]
    return Page(items=items, next=following)


def _proof(hashes: tuple[bytes, ...]) -> Proof:
    return Proof(hashes=[base64.b64encode(one).decode() for one in hashes])

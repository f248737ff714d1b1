"""Exports for the opener, what it found, and how accounts' windows stand."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Body, Path, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select, tuple_

from scanner.intake.api.context import Serving
from scanner.intake.authority.access import ANSWERS, Exporter, Reader
from scanner.intake.paging import DEFAULT_LIMIT, Cursor, Limit, Page, cut, read_cursor
from scanner.intake.problems import ProblemError, documented
from scanner.intake.store.tables import EXPORTS, OPENINGS, WINDOWS
from scanner.intake.whole import WHOLE
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.exporting import Export, find_export, is_whole, make_export, read_export
from scanner.intake.windows.faults import WindowError
from scanner.intake.windows.openings import Opening, report_opening
from scanner.intake.windows.reports import Opened, Unopened
from scanner.intake.windows.totals import count_states
from scanner.vouchers.header import WINDOWS as MOST_WINDOWS

EXPORT_TYPE = "application/cbor-seq"

router = APIRouter(tags=["windows"])

ExportId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Export's id: 16 random bytes, hexadecimal.")]
OpeningId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Opening's id: 16 random bytes, hexadecimal.")]


class ExportRequest(BaseModel):
    """Which windows to export."""

    model_config = ConfigDict(extra="forbid")

    before: Annotated[int, Field(ge=0, le=MOST_WINDOWS, strict=True), WHOLE] | None = Field(
        default=None, description="Only windows before this one; null: all."
    )
    everything: bool = Field(
        default=False, strict=True, description="Also windows with nothing new since they were exported."
    )


class ExportRecord(BaseModel):
    """What an export holds."""

    export_id: str = Field(description="Its id.")
    operator_id: str | None = Field(description="Who asked for it; null: made at the machine.")
    made_at: int = Field(description="Seconds since 1970.")
    before: int | None = Field(description="Only windows before this one; null: all.")
    windows: int = Field(description="Accounts' windows in it.")
    vouchers: int = Field(description="Vouchers in it.")
    through: int = Field(description="It holds vouchers of positions in the audit log below this.")
    digest: str = Field(description="SHA-256 of the file, hexadecimal.")

    @classmethod
    def of(cls, export: Export) -> ExportRecord:
        """Describe an export."""
        return cls(
            export_id=export.export_id,
            operator_id=export.operator_id,
            made_at=export.made_at,
            before=export.before,
            windows=export.windows,
            vouchers=export.vouchers,
            through=export.through,
            digest=export.digest.hex(),
        )


class OpeningRecord(BaseModel):
    """What the opener found, without what vouchers told."""

    opening_id: str = Field(description="Its id.")
    account: str = Field(description="The account's id, hexadecimal.")
    window: int = Field(description="Number of the 28-day window.")
    operator_id: str | None = Field(description="Who reported it; null: at the machine.")
    reported_at: int = Field(description="Seconds since 1970.")
    result: str = Field(description="opened, below-threshold or ambiguous.")
    vouchers: int = Field(description="Vouchers the window had in the export that was opened.")

    @classmethod
    def of(cls, opening: Opening) -> OpeningRecord:
        """Describe an opening."""
        return cls(
            opening_id=opening.opening_id,
            account=opening.account.hex(),
            window=opening.window,
            operator_id=opening.operator_id,
            reported_at=opening.reported_at,
            result=opening.result,
            vouchers=opening.vouchers,
        )


class VoucherCounts(BaseModel):
    """How many vouchers are in each state."""

    received: int = Field(default=0, description="Stored, and not yet counted.")
    counted: int = Field(default=0, description="Counted, and not yet exported.")
    exported: int = Field(default=0, description="In a file for the opener.")
    opened: int = Field(default=0, description="Of a window with a case.")
    closed: int = Field(default=0, description="Of a window whose case is decided.")


class AccountWindow(BaseModel):
    """How an account's window stands."""

    account: str = Field(description="The account's id, hexadecimal.")
    window: int = Field(description="Number of the 28-day window.")
    counted_at: int = Field(description="When a voucher of it was counted last, in seconds since 1970.")
    vouchers: VoucherCounts


_PAGED = {**documented(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY), **ANSWERS}
_PUT = {
    **documented(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ),
    **ANSWERS,
}


@router.put(
    "/v1/exports/{export_id}",
    status_code=HTTPStatus.CREATED,
    responses={200: {"model": ExportRecord, "description": "Was made already."}, **_PUT},
    summary="Make an export",
)
async def put_export(
    export_id: ExportId, wanted: ExportRequest, service: Serving, operator: Exporter, response: Response
) -> ExportRecord:
    """Of each account's window with vouchers that were not exported, the export holds all vouchers."""
    asked = Wanted(export_id, wanted.before, wanted.everything, operator.operator_id)
    try:
        export, new = await make_export(service.writer, service.settings, service.clock(), asked)
    except WindowError as error:
        raise _conflict(error) from error
    if not new:
        response.status_code = HTTPStatus.OK
    return ExportRecord.of(export)


@router.get("/v1/exports", responses=_PAGED, summary="List exports")
async def get_exports(
    service: Serving, _: Exporter, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[ExportRecord]:
    """Newest first."""
    order = (EXPORTS.c.made_at, EXPORTS.c.export_id)
    query = select(EXPORTS).order_by(*(column.desc() for column in order)).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(*order) < tuple_(*read_cursor(cursor, int, str)))
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), limit, "made_at", "export_id")
    return Page(items=[ExportRecord.of(Export.of_row(row)) for row in rows], next=following)


@router.get(
    "/v1/exports/{export_id}",
    responses={**documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY), **ANSWERS},
    summary="Read an export's record",
)
async def get_export(export_id: ExportId, service: Serving, _: Exporter) -> ExportRecord:
    """It stays when the vouchers are deleted."""
    return ExportRecord.of(await _found(service, export_id))


@router.get(
    "/v1/exports/{export_id}/content",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file for the opener, a CBOR sequence (RFC 8742). If the database fails midway, or no "
            "longer has the same vouchers, the answer breaks off before the end.",
            "headers": {
                "Repr-Digest": {
                    "description": "SHA-256 of the file (RFC 9530).",
                    "required": True,
                    "schema": {"type": "string"},
                }
            },
            "content": {EXPORT_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        **documented(HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY),
        **ANSWERS,
    },
    summary="Read an export's file",
)
async def get_content(export_id: ExportId, service: Serving, _: Exporter) -> StreamingResponse:
    """What ``scanner opener open`` reads. Gone once any of its windows is deleted; make another export then."""
    export = await _found(service, export_id)
    async with service.store.reading() as db:
        if not await is_whole(db, export):
            raise ProblemError(
                HTTPStatus.GONE, "expired", "A window of the export was deleted since", "Make another export."
            )
    digest = base64.b64encode(export.digest).decode()
    parts = read_export(service.store, export, windows_at_once=service.settings.export_size)
    headers = {"Repr-Digest": f"sha-256=:{digest}:", "Cache-Control": "no-store"}
    return StreamingResponse(parts, media_type=EXPORT_TYPE, headers=headers)


@router.put(
    "/v1/openings/{opening_id}",
    status_code=HTTPStatus.CREATED,
    responses={200: {"model": OpeningRecord, "description": "Was reported already."}, **_PUT},
    summary="Report what the opener found",
)
async def put_opening(
    opening_id: OpeningId,
    report: Annotated[Opened | Unopened, Body(discriminator="result")],
    service: Serving,
    operator: Exporter,
    response: Response,
) -> OpeningRecord:
    """If the window opened there is a case afterwards. The same report again changes nothing."""
    try:
        async with service.writer.change(service.clock()) as change:
            opening, new = await report_opening(change, opening_id, report, operator.operator_id)
    except WindowError as error:
        raise _conflict(error) from error
    if not new:
        response.status_code = HTTPStatus.OK
    return OpeningRecord.of(opening)


@router.get("/v1/openings", responses=_PAGED, summary="List what the opener found")
async def get_openings(
    service: Serving, _: Exporter, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[OpeningRecord]:
    """Newest first; not those of windows that were deleted."""
    columns = [column for column in OPENINGS.c if column is not OPENINGS.c.report]
    order = (OPENINGS.c.reported_at, OPENINGS.c.opening_id)
    query = select(*columns).order_by(*(column.desc() for column in order)).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(*order) < tuple_(*read_cursor(cursor, int, str)))
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), limit, "reported_at", "opening_id")
    return Page(items=[OpeningRecord.of(Opening.of_row(row)) for row in rows], next=following)


@router.get("/v1/windows", responses=_PAGED, summary="List accounts' windows")
async def get_windows(
    service: Serving, _: Reader, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[AccountWindow]:
    """By account and window; a window is listed once a voucher of it is counted."""
    order = (WINDOWS.c.account, WINDOWS.c.window_number)
    query = select(WINDOWS).order_by(*order).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(*order) > tuple_(*read_cursor(cursor, bytes, int)))
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), limit, "account", "window_number")
        states = await count_states(db, [(row.account, row.window_number) for row in rows])
    items = [
        AccountWindow(
            account=row.account.hex(),
            window=row.window_number,
            counted_at=row.counted_at,
            vouchers=VoucherCounts(**states[row.account, row.window_number]),
        )
        for row in rows
    ]
    return Page(items=items, next=following)


async def _found(service: Serving, export_id: str) -> Export:
    async with service.store.reading() as db:
        export = await find_export(db, export_id)
    if export is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "unknown-export", "There is no export of that id")
    return export


def _conflict(error: WindowError) -> ProblemError:
    return ProblemError(HTTPStatus.CONFLICT, error.problem, str(error))

"""What the service says of itself."""

from __future__ import annotations

import asyncio
import base64
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import select

from scanner.intake.api.context import Serving
from scanner.intake.authority.access import ANSWERS, Reader
from scanner.intake.problems import documented
from scanner.intake.store.tables import DEVICES, LOG_HEAD, VOUCHERS
from scanner.vouchers import LARGEST_VOUCHER
from scanner.vouchers.header import VERSION, WINDOW_SECONDS

router = APIRouter(tags=["service"])


class Config(BaseModel):
    """What a client may want to know. Keys are pinned in clients, not taken from here."""

    intake_public_key: str = Field(description="Raw Ed25519 key that signs receipts, base64url without padding.")
    voucher_versions: list[int]
    largest_voucher: int = Field(description="Bytes.")
    largest_batch: int = Field(description="Vouchers in one upload.")
    grace_seconds: int = Field(description="How long after its window's end a voucher is taken.")
    window_seconds: int


class Health(BaseModel):
    """The service runs."""

    status: str = "ok"


@router.get("/v1/config", summary="Keys and limits")
async def config(service: Serving) -> Config:
    """Public: what vouchers this intake takes."""
    return Config(
        intake_public_key=base64.urlsafe_b64encode(service.public_key).rstrip(b"=").decode(),
        voucher_versions=[VERSION],
        largest_voucher=LARGEST_VOUCHER,
        largest_batch=service.settings.batch_limit,
        grace_seconds=int(service.settings.grace),
        window_seconds=WINDOW_SECONDS,
    )


@router.get("/healthz", summary="The process runs")
async def healthz() -> Health:
    """Public: for whoever restarts it."""
    return Health()


@router.get("/readyz", summary="Ready for requests", responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
async def readyz(service: Serving) -> Health:
    """Public: the database answers; 503 too while the service drains before its end."""
    async with service.store.reading() as db:
        for table in (LOG_HEAD, DEVICES, VOUCHERS):
            await db.execute(select(table).limit(1))
    return Health()


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {
            "description": "OpenMetrics or Prometheus text.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **ANSWERS,
    },
)
async def metrics(request: Request, service: Serving, _: Reader) -> Response:
    """Of all workers of this machine, in the form that the header Accept asks for."""
    async with service.store.reading() as db:
        service.metrics.set_audit_entries((await db.execute(select(LOG_HEAD.c.size))).scalar_one())
    body, kind = await asyncio.to_thread(service.metrics.render, request.headers.get("Accept", ""))
    return Response(body, media_type=kind)

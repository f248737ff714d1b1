"""Vouchers in, receipts out."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from scanner.errors import StorageError, VoucherError
from scanner.intake import problems
from scanner.intake.api.context import Service, Serving
from scanner.intake.delivery import deliver, deliver_batch
from scanner.intake.problems import ProblemError, documented
from scanner.intake.store.receiving import Came, Outcome
from scanner.vouchers import LARGEST_VOUCHER, decode_batch, encode_answers
from scanner.vouchers.header import SLOTS, WINDOWS

VOUCHER_TYPE = "application/cose"
BATCH_TYPE = "application/cbor"
PUT_PATH = "/v1/vouchers/{device}/{window}/{slot}"
POST_PATH = "/v1/vouchers"

DeviceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Device id: 16 bytes in lower-case hexadecimal.")]
Window = Annotated[int, Path(ge=0, lt=WINDOWS, description="Number of the 28-day window.")]
Slot = Annotated[int, Path(ge=0, lt=SLOTS, description="Slot in the window.")]

router = APIRouter(tags=["vouchers"])


def _bytes(kind: str) -> dict[str, Any]:
    return {"content": {kind: {"schema": {"type": "string", "format": "binary"}}}}


@router.put(
    PUT_PATH,
    status_code=HTTPStatus.CREATED,
    response_class=Response,
    responses={
        200: {"description": "Had these bytes already; the same receipt again.", **_bytes(VOUCHER_TYPE)},
        201: {"description": "Stored; the receipt, signed.", **_bytes(VOUCHER_TYPE)},
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.FORBIDDEN,
            HTTPStatus.CONFLICT,
            HTTPStatus.GONE,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={"requestBody": {"required": True, **_bytes(VOUCHER_TYPE)}},
    summary="Deliver a voucher",
)
async def put_voucher(device: DeviceId, window: Window, slot: Slot, request: Request, service: Serving) -> Response:
    """Store a voucher in its place. The same bytes again get the same receipt."""
    outcome = await deliver(service, (device, window, slot), await request.body())
    return Response(outcome.receipt, _status(outcome), media_type=VOUCHER_TYPE)


@router.post(
    POST_PATH,
    response_class=Response,
    responses={
        200: {
            "description": "A CBOR array with the receipt of each voucher as a byte string, or as text the name of the "
            "problem that a request of its own would have been answered with.",
            **_bytes(BATCH_TYPE),
        },
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={"requestBody": {"required": True, **_bytes(BATCH_TYPE)}},
    summary="Deliver many vouchers",
)
async def post_vouchers(request: Request, service: Serving) -> Response:
    """Store many vouchers, a deterministic CBOR array of byte strings. One bad voucher spoils no other."""
    messages = decode_batch(await request.body(), service.settings.batch_limit)
    return Response(encode_answers(await deliver_batch(service, messages)), media_type=BATCH_TYPE)


def _status(outcome: Outcome) -> HTTPStatus:
    return HTTPStatus.CREATED if outcome.came is Came.STORED else HTTPStatus.OK


class Direct:
    """ASGI middleware that answers plain deliveries of a voucher without FastAPI: the same answers in half the time.

    Whatever is not plain (another path or method, no length, a body too large) goes on to ``app``.

    Args:
        app: all the rest.
        service: gives the running service.
    """

    def __init__(self, app: ASGIApp, service: Callable[[], Service]) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        place = _plain(scope)
        if place is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE  # for metrics and logs
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body", False):
            message = await receive()
            body += message.get("body", b"")
        if message["type"] != "http.request":
            return  # who asked is gone
        try:
            outcome = await deliver(self._service(), place, body)
        except (ProblemError, VoucherError, StorageError) as error:
            await problems.response_to(error)(scope, receive, send)
            return
        headers = [(b"content-type", b"application/cose"), (b"content-length", b"%d" % len(outcome.receipt))]
        await send({"type": "http.response.start", "status": int(_status(outcome)), "headers": headers})
        await send({"type": "http.response.body", "body": outcome.receipt})


_ROUTE = next(route for route in router.routes if getattr(route, "path", None) == PUT_PATH)
_PLACE = re.compile(r"/v1/vouchers/([0-9a-f]{32})/(0|[1-9][0-9]{0,9})/(0|[1-9][0-9]{0,4})")


def _plain(scope: Scope) -> tuple[str, int, int] | None:
    if scope["type"] != "http" or scope["method"] != "PUT" or not (found := _PLACE.fullmatch(scope["path"])):
        return None
    window, slot = int(found[2]), int(found[3])
    length = dict(scope["headers"]).get(b"content-length", b"")
    if window >= WINDOWS or slot >= SLOTS or not length.isdigit() or int(length) > LARGEST_VOUCHER:
        return None
    return found[1], window, slot

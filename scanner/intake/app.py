"""The intake: enrols device keys, takes vouchers, gives signed receipts. Holds no key that opens anything.

Rules: a receipt is sent only after the voucher is committed; every PUT may be repeated, the same bytes get the same
answer; what is not signed by the device it names is not stored.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import FastAPI, Header, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

import scanner
from scanner.intake import problems
from scanner.intake.body_limit import BodyLimit
from scanner.intake.problems import Problem, ProblemError, documented
from scanner.intake.store import Store, StoredVoucher, open_store
from scanner.vouchers import LARGEST_VOUCHER, Receipt, Voucher, check_possession, day_at, device_id_of
from scanner.vouchers.header import SLOTS, VERSION, WINDOWS

VOUCHER_TYPE = "application/cose"

_log = logging.getLogger(__name__)

DeviceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Device id: 16 bytes in lower-case hexadecimal.")]
Window = Annotated[int, Path(ge=0, lt=WINDOWS, description="Number of the 28-day window.")]
Slot = Annotated[int, Path(ge=0, lt=SLOTS, description="Slot in the window.")]


class Enrolment(BaseModel):
    """A device's public key and the proof that the sender holds the private one."""

    model_config = ConfigDict(extra="forbid")

    public_key: str = Field(pattern="^[A-Za-z0-9_-]{43}$", description="Raw Ed25519 key, base64url without padding.")
    account: str = Field(pattern="^[A-Za-z0-9_-]{22}$", description="Account id, 16 bytes, base64url without padding.")
    proof: str = Field(
        pattern="^[A-Za-z0-9_-]{86}$",
        description="Ed25519 signature over 'prescan/v1/enrol', raw key and account, base64url without padding.",
    )


class Device(BaseModel):
    """An enrolled device."""

    device_id: str = Field(description="First 16 bytes of SHA-256 over the raw public key, hexadecimal.")


class Config(BaseModel):
    """What a client may want to know. Keys are pinned in clients, not taken from here."""

    intake_public_key: str = Field(description="Raw Ed25519 key that signs receipts, base64url without padding.")
    voucher_versions: list[int]
    largest_voucher: int = Field(description="Bytes.")


class Health(BaseModel):
    """The service runs."""

    status: str = "ok"


def create_app(
    database_url: str,
    signing_key: Ed25519PrivateKey,
    *,
    enrolment_token: str | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """Make the service.

    Args:
        database_url: ``sqlite:///FILE`` or ``postgresql://…``; opened when the service starts.
        signing_key: signs receipts.
        enrolment_token: if set, devices enrol only with this bearer token.
        clock: gives the time in seconds since 1970.
    """
    opened: dict[str, Store] = {}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_store(database_url) as store:
            opened["store"] = store
            yield
        opened.clear()

    app = FastAPI(
        title="Prescan intake",
        version=scanner.__version__,
        summary="Takes match vouchers from devices and gives signed receipts.",
        lifespan=lifespan,
        docs_url=None,  # the pages would load scripts from elsewhere; /openapi.json has it all
        redoc_url=None,
    )
    problems.install(app)
    app.add_middleware(BodyLimit, limit=LARGEST_VOUCHER)
    voucher_body: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "content": {VOUCHER_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    }
    receipt_answer: dict[str, Any] = {"content": {VOUCHER_TYPE: {"schema": {"type": "string", "format": "binary"}}}}

    @app.put(
        "/v1/devices/{device}",
        status_code=HTTPStatus.CREATED,
        responses={
            200: {"model": Device, "description": "Was enrolled already."},
            **documented(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.UNAUTHORIZED,
                HTTPStatus.FORBIDDEN,
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.SERVICE_UNAVAILABLE,
            ),
        },
        summary="Enrol a device key",
    )
    async def enrol(
        device: DeviceId,
        body: Enrolment,
        response: Response,
        authorization: Annotated[str, Header(description="Bearer token, if the intake asks for one.")] = "",
    ) -> Device:
        if enrolment_token is not None and not hmac.compare_digest(
            authorization.encode(), f"Bearer {enrolment_token}".encode()
        ):
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "unauthorized", "Enrolment needs the provider's token")
        public_key = _from_base64url(body.public_key)
        account = _from_base64url(body.account)
        check_possession(public_key, account, _from_base64url(body.proof))
        device_id = device_id_of(public_key)
        if device_id.hex() != device:
            raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-device", "The device id is not that of the key")
        stored, new = await opened["store"].enrol(device_id, public_key, account, day_at(clock()))
        if stored != account:
            raise ProblemError(HTTPStatus.CONFLICT, "other-account", "The device is enrolled for another account")
        if not new:
            response.status_code = HTTPStatus.OK
        return Device(device_id=device)

    @app.put(
        "/v1/vouchers/{device}/{window}/{slot}",
        status_code=HTTPStatus.CREATED,
        response_class=Response,
        responses={
            200: {"description": "Had these bytes already; the same receipt again.", **receipt_answer},
            201: {"description": "Stored; the receipt, signed.", **receipt_answer},
            **documented(
                HTTPStatus.BAD_REQUEST,
                HTTPStatus.FORBIDDEN,
                HTTPStatus.CONFLICT,
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                HTTPStatus.UNPROCESSABLE_ENTITY,
                HTTPStatus.SERVICE_UNAVAILABLE,
            ),
        },
        openapi_extra=voucher_body,
        summary="Deliver a voucher",
    )
    async def put_voucher(device: DeviceId, window: Window, slot: Slot, request: Request) -> Response:
        message = await request.body()
        voucher = Voucher.parse(message)
        header = voucher.header
        if (header.device_id.hex(), header.window, header.slot) != (device, window, slot):
            raise ProblemError(
                HTTPStatus.BAD_REQUEST, "wrong-place", "The voucher names another device, window or slot than the path"
            )
        public_key = await opened["store"].public_key(header.device_id)
        if public_key is None:
            raise ProblemError(HTTPStatus.FORBIDDEN, "not-enrolled", "The device is not enrolled; enrol it first")
        voucher.verify(Ed25519PublicKey.from_public_bytes(public_key))
        receipt = Receipt(header.device_id, window, slot, voucher.digest, day_at(clock())).sign(signing_key)
        stored, new = await opened["store"].put(
            StoredVoucher(header.device_id, window, slot, voucher.digest, message, receipt)
        )
        if stored.digest != voucher.digest:
            raise ProblemError(HTTPStatus.CONFLICT, "slot-taken", "The slot holds another voucher")
        return Response(stored.receipt, HTTPStatus.CREATED if new else HTTPStatus.OK, media_type=VOUCHER_TYPE)

    @app.get("/v1/config", summary="Keys and limits")
    async def config() -> Config:
        public = signing_key.public_key().public_bytes_raw()
        return Config(
            intake_public_key=base64.urlsafe_b64encode(public).rstrip(b"=").decode(),
            voucher_versions=[VERSION],
            largest_voucher=LARGEST_VOUCHER,
        )

    @app.get("/healthz", summary="The process runs")
    async def healthz() -> Health:
        return Health()

    @app.get("/readyz", summary="The database answers", responses=documented(HTTPStatus.SERVICE_UNAVAILABLE))
    async def readyz() -> Health:
        await opened["store"].check()
        return Health()

    return _with_problem_schema(app)


def _with_problem_schema(app: FastAPI) -> FastAPI:
    """Name the Problem schema in OpenAPI, which FastAPI does only for models it serializes itself."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document = original()
        document["components"].setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _from_base64url(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:  # the pattern leaves only impossible last characters
        raise ProblemError(HTTPStatus.BAD_REQUEST, "malformed", "A field is not base64url") from None

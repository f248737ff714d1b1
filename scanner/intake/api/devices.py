"""Devices: tokens to enrol with, enrolment, revocation, and which there are."""

from __future__ import annotations

import base64
import hashlib
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, select

from scanner.intake.api.context import Serving
from scanner.intake.api.vouchers import DeviceId
from scanner.intake.authority.access import ANSWERS, Enroller, Reader
from scanner.intake.authority.addresses import address_of
from scanner.intake.authority.devices import enrol, register_token, revoke_device
from scanner.intake.authority.enrolment import Applicant
from scanner.intake.paging import DEFAULT_LIMIT, Cursor, Limit, Page, cut, read_cursor
from scanner.intake.problems import ProblemError, documented
from scanner.intake.store.tables import DEVICES
from scanner.intake.whole import WHOLE
from scanner.vouchers import check_possession, device_id_of

LAST_SECOND = 253_402_300_799  # of the year 9999
ACCOUNT = "^[A-Za-z0-9_-]{21}[AQgw]$"  # the last sign holds two bits of the account: each account has one spelling

router = APIRouter(tags=["devices"])

TokenHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the token, lower-case hexadecimal.")]
OfAccount = Annotated[str | None, Query(pattern=ACCOUNT, description="Only this account's, base64url; left out, all.")]
DeviceToken = Annotated[
    HTTPAuthorizationCredentials | None,
    Depends(
        HTTPBearer(
            scheme_name="enrolment",
            description="The one-time token that the provider gave the device.",
            auto_error=False,
        )
    ),
]

_UNPROCESSED = documented(HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_WITH_BODY = documented(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


class Enrolment(BaseModel):
    """A device's public key and the proof that the sender holds the private one."""

    model_config = ConfigDict(extra="forbid")

    public_key: str = Field(
        pattern="^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$", description="Raw Ed25519 key, base64url without padding."
    )
    account: str = Field(pattern=ACCOUNT, description="Account id, 16 bytes, base64url without padding.")
    proof: str = Field(
        pattern="^[A-Za-z0-9_-]{85}[AQgw]$",
        description="Ed25519 signature over 'prescan/v1/enrol', raw key and account, base64url without padding.",
    )


class Enrolled(BaseModel):
    """An enrolled device."""

    device_id: str = Field(description="First 16 bytes of SHA-256 over the raw public key, hexadecimal.")


class NewToken(BaseModel):
    """Whom a one-time token lets in, and until when."""

    model_config = ConfigDict(extra="forbid")

    account: str = Field(pattern=ACCOUNT, description="Account id, 16 bytes, base64url without padding.")
    expires_at: Annotated[int, Field(ge=0, le=LAST_SECOND, strict=True), WHOLE] = Field(
        description="Seconds since 1970."
    )


class RegisteredToken(BaseModel):
    """A one-time token."""

    token_hash: str = Field(description="SHA-256 of the token, hexadecimal.")
    account: str = Field(description="Account id, 16 bytes, base64url without padding.")
    expires_at: int = Field(description="Seconds since 1970.")


class Device(BaseModel):
    """A device that was enrolled."""

    device_id: str = Field(description="First 16 bytes of SHA-256 over the raw public key, hexadecimal.")
    public_key: str = Field(description="Raw Ed25519 key, base64url without padding.")
    account: str = Field(description="Account id, 16 bytes, base64url without padding.")
    enrolled_at: int = Field(description="Seconds since 1970.")
    revoked_at: int | None = Field(description="Seconds since 1970; null if it isn't revoked.")


class Revocation(BaseModel):
    """The end of a device."""

    device_id: str = Field(description="First 16 bytes of SHA-256 over the raw public key, hexadecimal.")
    revoked_at: int = Field(description="Seconds since 1970.")


@router.put(
    "/v1/tokens/{token_hash}",
    status_code=HTTPStatus.CREATED,
    responses={
        200: {"model": RegisteredToken, "description": "Was registered already."},
        **ANSWERS,
        **_UNPROCESSED,
        **_WITH_BODY,
        **documented(HTTPStatus.CONFLICT),
    },
    summary="Register a one-time token",
)
async def put_token(
    token_hash: TokenHash, body: NewToken, response: Response, service: Serving, operator: Enroller
) -> RegisteredToken:
    """Let one device of an account enrol. The token has 16 random bytes or more; the intake is told its hash alone."""
    new = await register_token(
        service.writer,
        bytes.fromhex(token_hash),
        _from_base64url(body.account),
        body.expires_at,
        service.clock(),
        by=operator.operator_id,
    )
    if not new:
        response.status_code = HTTPStatus.OK
    return RegisteredToken(token_hash=token_hash, account=body.account, expires_at=body.expires_at)


@router.put(
    "/v1/devices/{device}",
    status_code=HTTPStatus.CREATED,
    responses={
        200: {"model": Enrolled, "description": "Was enrolled already."},
        **ANSWERS,
        **_UNPROCESSED,
        **_WITH_BODY,
        **documented(HTTPStatus.CONFLICT),
    },
    summary="Enrol a device key",
)
async def put_device(
    device: DeviceId, body: Enrolment, request: Request, response: Response, service: Serving, token: DeviceToken
) -> Enrolled:
    """Make a device known by its key, its account and the provider's one-time token."""
    service.limits.check("address", address_of(request))
    unsafe_open = service.settings.unsafe_open_enrolment
    if token is None and not unsafe_open:
        title = "Enrolment needs a token of the provider, as a bearer token"
        raise ProblemError(HTTPStatus.UNAUTHORIZED, "unauthorized", title)
    public_key, account = _from_base64url(body.public_key), _from_base64url(body.account)
    check_possession(public_key, account, _from_base64url(body.proof))
    device_id = device_id_of(public_key)
    if device_id.hex() != device:
        raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-device", "The device id is not that of the key")
    token_hash = None if token is None else hashlib.sha256(token.credentials.encode()).digest()
    who = Applicant(device_id, public_key, account, token_hash)
    if not await enrol(service.writer, who, service.clock(), unsafe_open=unsafe_open):
        response.status_code = HTTPStatus.OK
    return Enrolled(device_id=device)


@router.get("/v1/devices", responses={**ANSWERS, **_UNPROCESSED}, summary="List devices")
async def list_devices(
    service: Serving, _: Reader, account: OfAccount = None, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Page[Device]:
    """Devices by id, a page at a time, the revoked ones too."""
    query = select(DEVICES).order_by(DEVICES.c.device_id).limit(limit + 1)
    if account is not None:
        query = query.where(DEVICES.c.account == _from_base64url(account))
    if cursor is not None:
        query = query.where(DEVICES.c.device_id > read_cursor(cursor, bytes)[0])
    async with service.store.reading() as db:
        rows, following = cut((await db.execute(query)).all(), limit, "device_id")
    return Page(items=[_device(row) for row in rows], next=following)


@router.get(
    "/v1/devices/{device}",
    responses={**ANSWERS, **_UNPROCESSED, **documented(HTTPStatus.NOT_FOUND)},
    summary="Look at a device",
)
async def get_device(device: DeviceId, service: Serving, _: Reader) -> Device:
    """One device, revoked or not."""
    query = select(DEVICES).where(DEVICES.c.device_id == bytes.fromhex(device))
    async with service.store.reading() as db:
        row = (await db.execute(query)).one_or_none()
    if row is None:
        raise _unknown()
    return _device(row)


@router.put(
    "/v1/devices/{device}/revocation",
    responses={**ANSWERS, **_UNPROCESSED, **documented(HTTPStatus.NOT_FOUND)},
    summary="Revoke a device",
)
async def put_revocation(device: DeviceId, service: Serving, operator: Enroller) -> Revocation:
    """Refuse a device's vouchers from now on, at every worker, for ever. Those that came before stay."""
    at = await revoke_device(service.writer, bytes.fromhex(device), service.clock(), by=operator.operator_id)
    if at is None:
        raise _unknown()
    return Revocation(device_id=device, revoked_at=at)


def _unknown() -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, "unknown-device", "No device of this id is enrolled")


def _device(row: Row[Any]) -> Device:
    return Device(
        device_id=row.device_id.hex(),
        public_key=_to_base64url(row.public_key),
        account=_to_base64url(row.account),
        enrolled_at=row.enrolled_at,
        revoked_at=row.revoked_at,
    )


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))  # the patterns let only valid text come here

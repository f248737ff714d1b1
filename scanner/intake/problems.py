"""Errors as problem+json (RFC 9457), with stable types.

Type URIs are ``urn:prescan:problem:NAME``. Names are stable; titles and details are for people and may change.
"""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from scanner.errors import StorageError, VoucherError

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:prescan:problem:"

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_log = logging.getLogger(__name__)

_VOUCHER_STATUS = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "unknown-version": HTTPStatus.BAD_REQUEST,
    "empty": HTTPStatus.BAD_REQUEST,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "bad-signature": HTTPStatus.FORBIDDEN,
    "wrong-device": HTTPStatus.FORBIDDEN,
}


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="Stable name of the problem, a URN.", examples=[f"{PREFIX}bad-signature"])
    title: str = Field(description="One line for a person.")
    status: int = Field(description="The HTTP status again.")
    detail: str | None = Field(default=None, description="What to do about it.")


class ProblemError(Exception):
    """Raised by endpoints to answer with a problem."""

    def __init__(
        self, status: HTTPStatus, name: str, title: str, detail: str | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(title)
        self.status = status
        self.name = name
        self.title = title
        self.detail = detail
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        """The answer it stands for."""
        headers = {} if self.retry_after is None else {"Retry-After": str(math.ceil(self.retry_after))}
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return problem_response(self.status, self.name, self.title, self.detail, headers)


def problem_response(
    status: int, name: str, title: str, detail: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """Make the answer."""
    body = Problem(type=PREFIX + name, title=title, status=status, detail=detail)
    return JSONResponse(body.model_dump(exclude_none=True), status, headers, MEDIA_TYPE)


def documented(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Describe problem answers for OpenAPI."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {int(s): {"description": s.phrase, "content": {MEDIA_TYPE: {"schema": schema}}} for s in statuses}


def response_to(error: ProblemError | VoucherError | StorageError) -> JSONResponse:
    """The answer to an error that was raised on purpose."""
    if isinstance(error, ProblemError):
        return error.response()
    if isinstance(error, VoucherError):
        return problem_response(_VOUCHER_STATUS[error.problem], error.problem, str(error))
    _log.error("storage failed: %s", error)
    title = "The intake can't store anything now; send again later"
    return problem_response(HTTPStatus.SERVICE_UNAVAILABLE, "storage", title, headers={"Retry-After": "5"})


def install(app: FastAPI) -> None:
    """Turn every error an app can raise into a problem."""

    @app.exception_handler(ProblemError)
    @app.exception_handler(VoucherError)
    @app.exception_handler(StorageError)
    async def _(_: Request, error: ProblemError | VoucherError | StorageError) -> JSONResponse:
        return response_to(error)

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> JSONResponse:
        standing = _standing_methods(app, request)
        if standing and request.method not in standing:  # the path is one of its own, and no value of a parameter
            return _not_allowed(standing)
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return problem_response(
            HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-request", f"The request is not valid: {where}", first["msg"]
        )

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:  # it knows the methods of one route, and a path may have several
            return _not_allowed(_standing_methods(app, request) or _matching_methods(app, request))
        name = status.phrase.lower().replace(" ", "-")
        return problem_response(status, name, status.phrase, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _(_: Request, error: Exception) -> JSONResponse:
        _log.error("request failed: %s", type(error).__name__)
        return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The intake failed")


def _standing_methods(app: FastAPI, request: Request) -> list[str]:
    """Methods of a path that is documented as it stands, without parameters; none if it isn't."""
    return [method.upper() for method in app.openapi()["paths"].get(request.scope["path"], ())]


def _matching_methods(app: FastAPI, request: Request) -> list[str]:
    """Methods that some route takes at this path."""
    scopes = {method: {**request.scope, "method": method} for method in _METHODS}
    return [name for name, scope in scopes.items() if any(each.matches(scope)[0] is Match.FULL for each in app.routes)]


def _not_allowed(methods: list[str]) -> JSONResponse:
    status = HTTPStatus.METHOD_NOT_ALLOWED
    return problem_response(status, "method-not-allowed", status.phrase, headers={"Allow": ", ".join(sorted(methods))})

"""Errors as pages: what went wrong, what to do, and what was written, so that nobody writes it twice."""

from __future__ import annotations

import logging
import math
import re
from http import HTTPStatus
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from scanner.errors import StorageError
from scanner.intake.console.context import console_of
from scanner.intake.console.visiting import LoginNeededError
from scanner.intake.problems import ProblemError

RETURNS = re.compile(r"/console/(?:(?:closed|activity)?|cases/[0-9a-f]{32})")
"""Pages that a login may lead back to."""

_WRITTEN = ("text", "reason")  # names of the fields that people write at length in

_log = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Turn every error that a page can raise into a page."""

    @app.exception_handler(LoginNeededError)
    async def _(request: Request, _: LoginNeededError) -> Response:
        if request.method in {"GET", "HEAD"}:
            path = request.url.path
            query = f"?next={quote(path)}" if RETURNS.fullmatch(path) else ""
            return RedirectResponse(f"/console/login{query}", HTTPStatus.SEE_OTHER)
        title, detail = "You are no longer logged in", "Nothing was changed. Log in and do it again."
        return await _page(request, HTTPStatus.UNAUTHORIZED, title, detail, login=True)

    @app.exception_handler(ProblemError)
    async def _(request: Request, error: ProblemError) -> Response:
        headers = {} if error.retry_after is None else {"Retry-After": str(math.ceil(error.retry_after))}
        return await _page(request, error.status, error.title, error.detail, headers=headers)

    @app.exception_handler(StorageError)
    async def _(request: Request, error: StorageError) -> Response:
        _log.error("storage failed: %s", error)
        title, detail = "The intake can't reach its database now", "Nothing was changed. Try again in a moment."
        return await _page(request, HTTPStatus.SERVICE_UNAVAILABLE, title, detail, headers={"Retry-After": "5"})

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        where = str(error.errors()[0]["loc"][-1])
        title, detail = "The form or address is not valid", f"Look at: {where}"
        return await _page(request, HTTPStatus.UNPROCESSABLE_ENTITY, title, detail)

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        title = "There is no such page" if status is HTTPStatus.NOT_FOUND else status.phrase
        return await _page(request, status, title, None, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def _(request: Request, _: Exception) -> Response:
        return await _page(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The intake failed", "Nothing was changed.")


async def _page(
    request: Request,
    status: HTTPStatus,
    title: str,
    detail: str | None,
    *,
    headers: dict[str, str] | None = None,
    login: bool = False,
) -> Response:
    values = {"title": title, "detail": detail, "login": login, "written": await _what_was_written(request)}
    return console_of(request).page("error", status=status, headers=headers, number=int(status), **values)


async def _what_was_written(request: Request) -> str | None:
    """The text of a form, if the form was one of our own: nobody else puts words on our pages."""
    if not getattr(request.state, "sent_by_own_form", False):
        return None
    form = await request.form()
    return next((value for name in _WRITTEN if isinstance(value := form.get(name), str) and value), None)

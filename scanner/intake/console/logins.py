"""Log in with an operator's token, and out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from scanner.intake.api.context import Serving
from scanner.intake.authority.addresses import address_of
from scanner.intake.authority.sessions import log_in, log_out, session_of
from scanner.intake.console.context import HOME, Showing
from scanner.intake.console.failing import RETURNS
from scanner.intake.console.secrecy import form_token
from scanner.intake.console.visiting import (
    AUDITORS,
    LOGIN,
    SESSION,
    Token,
    check_form,
    drop_cookie,
    keep_login_cookie,
    login_cookie,
    read_cookie,
    set_cookie,
)
from scanner.intake.problems import ProblemError

router = APIRouter()

Next = Annotated[str, Query(alias="next", max_length=100)]


@router.get("/login")
async def show(request: Request, service: Serving, console: Showing, back: Next = "") -> Response:
    """The page to log in on; who is logged in already goes on to the queue."""
    cookie = read_cookie(request, console, SESSION)
    if cookie and await session_of(service, cookie) is not None:
        return RedirectResponse(_way(back), HTTPStatus.SEE_OTHER)
    return _page(request, service, console, back)


@router.post("/login")
async def begin(
    request: Request,
    service: Serving,
    console: Showing,
    token: Annotated[str, Form(max_length=200)] = "",
    back: Annotated[str, Form(alias="next", max_length=100)] = "",
    csrf: Token = "",
) -> Response:
    """Log in. A session that the browser had before ends."""
    check_form(request, service, read_cookie(request, console, LOGIN), csrf)
    try:
        cookie, operator = await log_in(service, token.strip(), address_of(request))
    except ProblemError as error:
        if error.status is not HTTPStatus.UNAUTHORIZED:
            raise
        return _page(request, service, console, back, wrong=True)
    if not AUDITORS & operator.scopes:
        await log_out(service, cookie)
        title, detail = "This token is not for people", "It has none of the scopes review, read and admin."
        raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-scope", title, detail)
    await log_out(service, read_cookie(request, console, SESSION))
    answer = RedirectResponse(_way(back), HTTPStatus.SEE_OTHER)
    set_cookie(answer, console, SESSION, cookie)
    drop_cookie(answer, console, LOGIN)
    return answer


@router.post("/logout")
async def end(request: Request, service: Serving, console: Showing, csrf: Token = "") -> Response:
    """Log out; who is logged out already goes to the same page."""
    cookie = read_cookie(request, console, SESSION)
    if cookie:
        check_form(request, service, cookie, csrf)
        await log_out(service, cookie)
    answer = RedirectResponse("/console/login", HTTPStatus.SEE_OTHER)
    drop_cookie(answer, console, SESSION)
    return answer


def _page(request: Request, service: Serving, console: Showing, back: str, *, wrong: bool = False) -> Response:
    cookie = login_cookie(request, console)
    status = HTTPStatus.UNAUTHORIZED if wrong else HTTPStatus.OK
    answer = console.page("login", status=status, form=form_token(service, cookie), back=back, wrong=wrong)
    keep_login_cookie(answer, console, cookie)
    return answer


def _way(back: str) -> str:
    return back if RETURNS.fullmatch(back) else HOME

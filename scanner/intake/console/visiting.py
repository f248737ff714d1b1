"""Who looks at a page, and whether a form was sent from one of our own.

Rules: a page with anything of a case needs a session; whatever changes something needs, besides, a form's token of that
session (CSRF), and a browser that says another site sent the form is refused; logging in is guarded the same way by a
cookie of its own, so that nobody logs another in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Form, Request
from starlette.responses import Response

from scanner.intake.api.context import Service, Serving
from scanner.intake.authority.operators import Operator, Scope
from scanner.intake.authority.sessions import session_of
from scanner.intake.console.context import Console, Showing
from scanner.intake.console.secrecy import form_token, is_form_token
from scanner.intake.problems import ProblemError

SESSION = "prescan-session"
LOGIN = "prescan-login"
_LOGIN_SECONDS = 3_600
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")

AUDITORS = frozenset({Scope.REVIEW, Scope.READ, Scope.ADMIN})
"""Who may see the activity page; nobody else has anything to do in the console."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is logged in.

    Attributes:
        operator: who it is.
        form: a token for the forms of the page.
    """

    operator: Operator
    form: str

    @property
    def reviews(self) -> bool:
        """Whether the visitor may see cases."""
        return Scope.REVIEW in self.operator.scopes


class LoginNeededError(Exception):
    """Nobody is logged in."""


def read_cookie(request: Request, console: Console, name: str) -> str:
    """What a cookie of ours holds, or an empty text."""
    value = request.cookies.get(_full(console, name), "")
    return value if _COOKIE.fullmatch(value) else ""


def set_cookie(response: Response, console: Console, name: str, value: str, seconds: int | None = None) -> None:
    """Give a cookie; without a time it lasts as long as the browser runs."""
    response.set_cookie(
        _full(console, name),
        value,
        max_age=seconds,
        path="/",
        secure=console.encrypted,
        httponly=True,
        samesite="strict",
    )


def drop_cookie(response: Response, console: Console, name: str) -> None:
    """Take a cookie away."""
    set_cookie(response, console, name, "", 0)


def login_cookie(request: Request, console: Console) -> str:
    """The cookie that a login form's token is of: the browser's own, or a new one."""
    return read_cookie(request, console, LOGIN) or secrets.token_urlsafe(32)


def keep_login_cookie(response: Response, console: Console, value: str) -> None:
    """Give the cookie of a login form."""
    set_cookie(response, console, LOGIN, value, _LOGIN_SECONDS)


def check_form(request: Request, service: Service, cookie: str, token: str) -> None:
    """Refuse a form that isn't of one of this browser's own pages.

    Raises:
        ProblemError: 403.
    """
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    if site not in {"same-origin", "none"} or not cookie or not is_form_token(service, cookie, token):
        title = "The form is not of a page that you have open here"
        raise ProblemError(HTTPStatus.FORBIDDEN, "bad-form", title, "Open the page again and send it from there.")
    request.state.sent_by_own_form = True


Token = Annotated[str, Form(alias="csrf", max_length=256)]


async def visitor_of(request: Request, service: Serving, console: Showing) -> Visitor:
    """Who looks at a page (a FastAPI dependency).

    Raises:
        LoginNeededError: nobody is logged in.
    """
    cookie = read_cookie(request, console, SESSION)
    operator = await session_of(service, cookie) if cookie else None
    if operator is None:
        raise LoginNeededError
    return Visitor(operator, form_token(service, cookie))


async def sender_of(request: Request, service: Serving, console: Showing, csrf: Token = "") -> Visitor:
    """Who sends a form (a FastAPI dependency).

    Raises:
        LoginNeededError: nobody is logged in. ProblemError: 403, the form is not of the session.
    """
    cookie = read_cookie(request, console, SESSION)
    if not cookie:
        raise LoginNeededError
    check_form(request, service, cookie, csrf)
    return await visitor_of(request, service, console)


def _looking(scopes: frozenset[Scope]) -> Callable[[Visitor], Awaitable[Visitor]]:
    async def allowed(found: Annotated[Visitor, Depends(visitor_of)]) -> Visitor:
        return _with(scopes, found)

    return allowed


def _acting(scopes: frozenset[Scope]) -> Callable[[Visitor], Awaitable[Visitor]]:
    async def allowed(found: Annotated[Visitor, Depends(sender_of)]) -> Visitor:
        return _with(scopes, found)

    return allowed


def _with(scopes: frozenset[Scope], found: Visitor) -> Visitor:
    if not scopes & found.operator.scopes:
        wanted = " or ".join(sorted(scopes))
        raise ProblemError(HTTPStatus.FORBIDDEN, "wrong-scope", f"This needs an operator with the scope {wanted}")
    return found


def _full(console: Console, name: str) -> str:
    return f"__Host-{name}" if console.encrypted else name


Reviewing = Annotated[Visitor, Depends(_looking(frozenset({Scope.REVIEW})))]
"""A reviewer looks at a page."""

Acting = Annotated[Visitor, Depends(_acting(frozenset({Scope.REVIEW})))]
"""A reviewer sends a form."""

Auditing = Annotated[Visitor, Depends(_looking(AUDITORS))]
"""One who may see what was done looks at a page."""

"""Put the console into the intake's app."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scanner.intake.console import activity, casework, failing, files, logins, queue, transparency
from scanner.intake.console.context import Console
from scanner.intake.console.rendering import make_templates
from scanner.intake.console.totals import Totals

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""Content-Security-Policy of every page."""

MOUNT = "/console"
"""Where all but the public page is."""


def install(app: FastAPI, *, encrypted: bool) -> None:
    """Serve the console under ``/console`` and the public page at ``/transparency``.

    It is an app of its own inside the intake's, so that its errors are pages; the state is the intake's, where the
    service has to be before the first request.

    Args:
        app: the intake's.
        encrypted: whether browsers come over TLS, ended here or at a proxy.
    """
    pages = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    pages.state = app.state
    app.state.console = Console(make_templates(), encrypted, Totals())
    failing.install(pages)
    for part in (logins, queue, casework, activity, transparency, files):
        pages.include_router(part.router)
    guarded = WithPolicy(pages)
    app.mount(MOUNT, guarded)
    app.router.routes.append(Route("/transparency", guarded, include_in_schema=False))


class WithPolicy:
    """ASGI middleware: every answer says what a browser may do with it, and isn't kept unless it says so.

    Args:
        app: what serves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message["headers"])
                given.append((b"content-security-policy", POLICY.encode()))
                if b"cache-control" not in {name.lower() for name, _ in given}:
                    given.append((b"cache-control", b"no-store"))
                message["headers"] = given
            await send(message)

        await self._app(scope, receive, send_with_policy)

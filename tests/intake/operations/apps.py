"""A small app with routes like the intake's, and a client that speaks ASGI to it."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI, Request, Response
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from scanner.intake.operations.telemetry import NO_BUILT_IN_TELEMETRY

DEVICE = "0123456789abcdef0123456789abcdef"
SECRET = "secret-text-nobody-may-read"


async def failure(scope: Any, receive: Any, send: Any) -> None:
    """What answers for an app that raised."""
    await PlainTextResponse("failed", 500)(scope, receive, send)


async def unready(scope: Any, receive: Any, send: Any) -> None:
    """What answers for a worker that ends."""
    await PlainTextResponse("ending", 503, {"Retry-After": "5"})(scope, receive, send)


def make_app() -> FastAPI:
    """Routes that take a device's id, fail, and stand in routers and mounts."""
    app = FastAPI(telemetry=NO_BUILT_IN_TELEMETRY)
    inner = APIRouter(prefix="/devices")

    @app.put("/v1/vouchers/{device}/{window}/{slot}")
    async def voucher(device: str, window: int, slot: int, request: Request) -> Response:
        return Response(await request.body(), 201)

    @app.get("/fails/{device}")
    async def fails(device: str) -> None:
        raise RuntimeError(f"{SECRET} {device}")

    @app.get("/readyz")
    async def readyz() -> Response:
        return Response("ready")

    @app.get("/own-headers")
    async def own() -> Response:
        return Response("page", headers={"content-security-policy": "default-src 'self'", "Cache-Control": "max-age=9"})

    @inner.get("/{device}")
    async def device(device: str) -> Response:
        return Response(device)

    async def page(request: Request) -> Response:
        return Response("page")

    app.include_router(inner, prefix="/v1")
    app.mount("/console", Starlette(routes=[Route("/cases/{case}", page)]))
    app.mount("/of/{device}", Starlette(routes=[Route("/inside", page)]))
    return app


def ask(app: Any, method: str, path: str, *, client: tuple[str, int] = ("192.0.2.1", 5), **options: Any) -> Any:
    """Send one request; gives the answer."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=client, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://intake.example") as http:
            return await asyncio.wait_for(http.request(method, path, **options), 10)

    return asyncio.run(send())


class Ticking:
    """A clock that goes a step forward each time it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Broken(io.StringIO):
    """A stream that can't be written."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

"""A small intake in this process: the endpoints of authority alone, on a real database, asked without sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from sqlalchemy import select

from scanner.intake import problems
from scanner.intake.api import devices, operators
from scanner.intake.audit.entries import Entry
from scanner.intake.authority.access import Admin, Enroller, Exporter, Reader, Reviewer
from scanner.intake.authority.limits import Limits
from scanner.intake.authority.operators import Scope, Verified, add_operator
from scanner.intake.settings import Rate, Settings
from scanner.intake.store.change import Writer
from scanner.intake.store.engine import open_store
from scanner.intake.store.tables import LOG_ENTRIES
from scanner.vouchers import device_id_of, prove_possession
from tests.intake.conftest import INTAKE, NOW
from tests.policies import ACCOUNT

MANY = Rate(10**6, 60.0)
FREE = Settings(address_rate=MANY, login_rate=MANY)
"""No limit that a test would meet without meaning to."""


@dataclass
class Clock:
    """Time that a test moves; both the clock's and the limits'."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Running:
    """One worker."""

    app: FastAPI
    service: Any
    clock: Clock

    async def ask(
        self, method: str, path: str, token: str | None = None, *, address: str = "192.0.2.1", **options: Any
    ):
        """Make a request from an address, with a bearer token."""
        headers = options.pop("headers", {}) | ({} if token is None else {"Authorization": f"Bearer {token}"})
        transport = httpx.ASGITransport(self.app, client=(address, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://intake") as client:
            return await client.request(method, path, headers=headers, **options)

    async def operator(self, *scopes: str, name: str | None = None) -> str:
        """Make an operator; gives the token."""
        name = name or f"tester {secrets.token_hex(4)}"
        _, token = await add_operator(self.service.writer, name, [Scope(scope) for scope in scopes], self.clock())
        return token

    async def give_token(self, account: bytes = ACCOUNT, expires_at: int = int(NOW) + 3_600) -> str:
        """Register a one-time token as the provider does; gives the token."""
        token = secrets.token_urlsafe(32)
        body = {"account": text(account), "expires_at": expires_at}
        path = f"/v1/tokens/{hashlib.sha256(token.encode()).hexdigest()}"
        answer = await self.ask("PUT", path, await self.operator("enrol"), json=body)
        assert answer.status_code == 201
        return token

    async def enrol(self, key: Ed25519PrivateKey, token: str | None = None, account: bytes = ACCOUNT, **options: Any):
        """Enrol a device."""
        return await self.ask("PUT", path_of(key), token, json=enrolment(key, account), **options)

    async def entries(self, *kinds: str) -> list[Entry]:
        """What the audit log says, of some kinds or of all."""
        async with self.service.store.reading() as db:
            rows = await db.execute(select(LOG_ENTRIES.c.body).order_by(LOG_ENTRIES.c.position))
            entries = [Entry.from_bytes(row.body) for row in rows]
        return [entry for entry in entries if not kinds or entry.kind in kinds]


def small_app(**options: Any) -> FastAPI:
    """The endpoints of authority, and one for each scope."""
    app = FastAPI(**options)
    problems.install(app)
    app.include_router(devices.router)
    app.include_router(operators.router)

    @app.get("/only/enrol")
    async def _(operator: Enroller) -> str:
        return operator.name

    @app.get("/only/read")
    async def _(operator: Reader) -> str:
        return operator.name

    @app.get("/only/export")
    async def _(operator: Exporter) -> str:
        return operator.name

    @app.get("/only/review")
    async def _(operator: Reviewer) -> str:
        return operator.name

    @app.get("/only/admin")
    async def _(operator: Admin) -> str:
        return operator.name

    return app


@asynccontextmanager
async def running(url: str, *, settings: Settings = FREE, workers: int = 1) -> AsyncIterator[Running]:
    """Run a worker on a migrated database."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_store(url))
        service = SimpleNamespace(
            store=store,
            writer=Writer(store, "localhost", INTAKE),
            settings=settings,
            clock=clock,
            limits=Limits(settings, clock, workers),
            verified=Verified(clock),
        )
        app = small_app()
        app.state.service = service
        yield Running(app, service, clock)


def in_worker(url: str, test: Callable[[Running], Any], **options: Any) -> Any:
    """Run an asynchronous test in a worker of its own, for at most 60 seconds."""

    async def run() -> Any:
        async with asyncio.timeout(60), running(url, **options) as worker:
            return await test(worker)

    return asyncio.run(run())


def text(data: bytes) -> str:
    """In base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def key_of(number: int) -> Ed25519PrivateKey:
    """A device's key."""
    return Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def id_of(key: Ed25519PrivateKey) -> bytes:
    """A device's id."""
    return device_id_of(key.public_key().public_bytes_raw())


def path_of(key: Ed25519PrivateKey) -> str:
    """Where a device is."""
    return f"/v1/devices/{id_of(key).hex()}"


def enrolment(key: Ed25519PrivateKey, account: bytes = ACCOUNT) -> dict[str, str]:
    """What a device enrols with."""
    return {
        "public_key": text(key.public_key().public_bytes_raw()),
        "account": text(account),
        "proof": text(prove_possession(key, account)),
    }


def is_problem(answer: httpx.Response, status: int, name: str) -> bool:
    """The answer is this problem; all else fails the test here."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:prescan:problem:{name}")
    assert (status == 401) == ("WWW-Authenticate" in answer.headers)
    assert (status in (429, 503)) == ("Retry-After" in answer.headers)
    return True

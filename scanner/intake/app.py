"""The intake: enrols device keys, takes vouchers, gives signed receipts. Holds no key that opens anything.

Rules: a receipt is sent only after the voucher is committed; every request may be repeated and gets the same answer;
what is done is told to the audit log in the same commit. What each endpoint does stands under ``api``; here they are
put together.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

import scanner
from scanner.intake import problems
from scanner.intake.api import devices, hooks, log, operators, service, vouchers, windows
from scanner.intake.api.context import Service
from scanner.intake.audit.identity import agreed_name
from scanner.intake.audit.reading import read_head
from scanner.intake.authority.limits import Limits
from scanner.intake.authority.operators import Verified
from scanner.intake.body_limit import BodyLimit
from scanner.intake.console.app import install as install_console
from scanner.intake.ed25519 import SigningKey
from scanner.intake.keeper import keeping
from scanner.intake.operations.draining import Drain
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.stack import Operations, operated
from scanner.intake.operations.telemetry import NO_BUILT_IN_TELEMETRY
from scanner.intake.problems import problem_response
from scanner.intake.settings import Settings
from scanner.intake.store.change import Writer
from scanner.intake.store.commits import committing
from scanner.intake.store.engine import open_store

ROUTERS = (vouchers.router, devices.router, operators.router, windows.router, log.router, hooks.router, service.router)

_FAILURE = problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The intake failed")
_UNREADY = problem_response(
    HTTPStatus.SERVICE_UNAVAILABLE, "ending", "The intake is about to end; send again", headers={"Retry-After": "1"}
)


def create_app(
    database_url: str,
    signing_key: Ed25519PrivateKey,
    *,
    settings: Settings | None = None,
    origin: str | None = None,
    workers: int = 1,
    operations: Operations | None = None,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Make the service.

    Args:
        database_url: ``sqlite:///FILE`` or ``postgresql://…``, migrated; opened when the service starts.
        signing_key: signs receipts and the audit log's checkpoints.
        settings: limits and times.
        origin: how it is reached, such as ``https://intake.example``; names the audit log, so it stays for its life.
        workers: processes that share the database, and the limits.
        operations: what counts and logs requests and ends the worker.
        clock: gives the time in seconds since 1970.
        monotonic: gives seconds for limits.
    """
    settings = settings or Settings()
    operations = operations or Operations(Metrics(), TrustedPeers(()), Drain())
    metrics = operations.metrics

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            store = await stack.enter_async_context(open_store(database_url))
            async with store.reading() as db:
                head = await read_head(db)
            writer = Writer(store, agreed_name(head.note, origin, signing_key), signing_key)
            await stack.enter_async_context(metrics.published())
            commits = await stack.enter_async_context(
                committing(writer, most_waiting=settings.max_waiting, watch=metrics.count_commit)
            )
            metrics.watch_waiting(lambda: commits.waiting)
            app.state.service = Service(
                store=store,
                writer=writer,
                commits=commits,
                settings=settings,
                signing_key=SigningKey(signing_key),
                public_key=signing_key.public_key().public_bytes_raw(),
                clock=clock,
                limits=Limits(settings, monotonic, workers),
                verified=Verified(monotonic),
                metrics=metrics,
            )
            await stack.enter_async_context(keeping(app.state.service))
            yield

    app = FastAPI(
        title="Prescan intake",
        version=scanner.__version__,
        summary="Takes match vouchers from devices and gives signed receipts.",
        lifespan=lifespan,
        docs_url=None,  # the pages would load scripts from elsewhere; /openapi.json has it all
        redoc_url=None,
        telemetry=cast(TelemetryConfig, NO_BUILT_IN_TELEMETRY),
    )
    app.state.trusted_proxies = operations.peers.networks
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    install_console(app, encrypted=operations.encrypted)
    app.add_middleware(BodyLimit, limit=settings.largest_body)
    app.add_middleware(vouchers.Direct, service=lambda: app.state.service)
    app.add_middleware(operated, operations=operations, failure=_FAILURE, unready=_UNREADY)
    return _described(app)


def _described(app: FastAPI) -> FastAPI:
    """Name the Problem schema in OpenAPI, which FastAPI does only for models it serializes itself; write bounds out."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        document: dict[str, Any] = _whole_numbers(original())
        document["components"].setdefault("schemas", {})["Problem"] = problems.Problem.model_json_schema()
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _whole_numbers(part: Any) -> Any:
    """FastAPI writes bounds as floats: 2**64 would be 1.8446744073709552e+19, which in decimal is another number."""
    if isinstance(part, dict):
        return {name: _whole_numbers(each) for name, each in part.items()}
    if isinstance(part, list):
        return [_whole_numbers(each) for each in part]
    return int(part) if isinstance(part, float) and part.is_integer() else part

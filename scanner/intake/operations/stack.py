"""What stands around the app, in its order.

SecurityHeaders   outermost, so that every answer has them
Requests          the id, the time, the line; answers what raised
Traces            only if asked for
Draining          ends the worker; its 503s are counted and traced too
the app
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp

from scanner.intake.operations.draining import Drain, Draining
from scanner.intake.operations.headers import SecurityHeaders
from scanner.intake.operations.logs import AccessLog
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.requests import Requests
from scanner.intake.operations.telemetry import Traces, Tracing


@dataclass(frozen=True, slots=True)
class Operations:
    """What one worker is run with.

    Attributes:
        metrics: counts.
        peers: trusted proxies.
        drain: how the worker ends.
        encrypted: clients come over TLS.
        access_log: writes a line a request, or None.
        tracing: makes spans, or None.
        mounts: constant prefixes at which other apps are mounted.
    """

    metrics: Metrics
    peers: TrustedPeers
    drain: Drain
    encrypted: bool = False
    access_log: AccessLog | None = None
    tracing: Tracing | None = None
    mounts: frozenset[str] = frozenset()


def operated(app: ASGIApp, operations: Operations, *, failure: ASGIApp, unready: ASGIApp) -> ASGIApp:
    """Put the middlewares around an app.

    Args:
        app: what serves.
        operations: what the worker is run with.
        failure: answers 500 for an app that raised.
        unready: answers 503 with Retry-After for a worker that ends.
    """
    inner: ASGIApp = Draining(app, drain=operations.drain, unready=unready)
    if operations.tracing is not None:
        inner = Traces(inner, tracer=operations.tracing.tracer, peers=operations.peers, mounts=operations.mounts)
    inner = Requests(
        inner,
        failure=failure,
        metrics=operations.metrics,
        peers=operations.peers,
        access_log=operations.access_log,
        mounts=operations.mounts,
    )
    return SecurityHeaders(inner, encrypted=operations.encrypted)

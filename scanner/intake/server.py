"""Run the intake: one process, or a parent that keeps N workers alive on one socket.

Rules: nothing listens before the settings, the key and the database's version are checked; SIGTERM lets running
requests end; a worker that dies is started again, one that dies at once ever more slowly; when the parent dies its
workers end.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from scanner.errors import StorageError
from scanner.intake.app import create_app
from scanner.intake.audit.identity import agreed_name
from scanner.intake.operations.draining import Drain
from scanner.intake.operations.logs import AccessLog, logging_to
from scanner.intake.operations.metrics import Metrics
from scanner.intake.operations.peers import TrustedPeers
from scanner.intake.operations.stack import Operations
from scanner.intake.operations.telemetry import open_tracing
from scanner.intake.settings import Deployment
from scanner.intake.store import schema
from scanner.intake.store.engine import reported, sync_engine
from scanner.intake.store.tables import LOG_HEAD
from scanner.intake.workers import run_workers
from scanner.keys import read_private_key

_SWITCH = 0.0005
"""Seconds after which a thread that waits for the interpreter gets it: a commit changes threads a dozen times."""
_GARBAGE = 20_000
"""Objects made before garbage is looked for: vouchers that wait are many objects and no garbage."""


def run(deployment: Deployment, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        deployment: where and how.
        announce: called once with the URL when the service listens.

    Raises:
        StorageError: the database can't be opened or is of another version, or the port is taken.
        KeyFileError: the signing key can't be read.
        ArgumentError: the database's audit log is of another key or name.
    """
    signing_key = read_private_key(deployment.signing_key_path, Ed25519PrivateKey)
    schema.check(deployment.database_url)
    with sync_engine(deployment.database_url) as engine, reported(), engine.connect() as db:
        agreed_name(db.execute(select(LOG_HEAD.c.note)).scalar_one(), deployment.origin, signing_key)
    with _listen(deployment.host, deployment.port) as listening:
        name = f"[{deployment.host}]" if ":" in deployment.host else deployment.host
        scheme = "http" if deployment.tls_certificate is None else "https"
        url = f"{scheme}://{name}:{listening.getsockname()[1]}"
        if deployment.workers == 1:
            serve(deployment, listening, started=lambda: announce(url))
        else:
            run_workers(deployment, listening, started=lambda: announce(url))


def serve(
    deployment: Deployment,
    listening: socket.socket,
    *,
    started: Callable[[], None],
    metrics_directory: Path | None = None,
) -> None:
    """Be one worker until SIGINT or SIGTERM.

    Args:
        deployment: where and how.
        listening: the socket, bound.
        started: called once when requests are taken.
        metrics_directory: where the workers of one intake add up their metrics.
    """
    sys.setswitchinterval(_SWITCH)
    with logging_to(sys.stderr, deployment.log_format):
        tracing = open_tracing(deployment.otlp_endpoint) if deployment.otlp_endpoint else None
        drain = Drain()
        operations = Operations(
            Metrics(metrics_directory),
            TrustedPeers(deployment.trusted_proxies),
            drain,
            encrypted=deployment.encrypted,
            access_log=AccessLog(sys.stderr, deployment.log_format) if deployment.access_log else None,
            tracing=tracing,
            mounts=frozenset({"/console"}),
        )
        app = create_app(
            deployment.database_url,
            read_private_key(deployment.signing_key_path, Ed25519PrivateKey),
            settings=deployment.settings,
            origin=deployment.origin,
            workers=deployment.workers,
            operations=operations,
        )
        config = uvicorn.Config(
            app,
            access_log=False,  # the app writes its own lines, without paths
            log_config=None,
            server_header=False,
            date_header=True,
            proxy_headers=False,
            ws="none",
            ssl_certfile=deployment.tls_certificate,
            ssl_keyfile=deployment.tls_key,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,  # whatever the drain has left is cut off
        )
        try:
            _Server(config, drain, deployment, started).run(sockets=[listening])
        finally:
            if tracing is not None:
                tracing.close()


class _Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops: SIGTERM with notice to balancers, SIGINT without."""

    def __init__(
        self, config: uvicorn.Config, drain: Drain, deployment: Deployment, started: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._settings = deployment.settings
        self._tell_started = started
        self._ending: asyncio.Task[bool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to take requests."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            gc.collect()
            gc.freeze()  # what is loaded stays: looking through it again and again stops requests for tens of ms
            gc.set_threshold(_GARBAGE)
            self._tell_started()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end; at a second signal, end now."""
        if self._loop is None or self._ending is not None:
            self._drain.end()
            super().handle_exit(sig, frame)
            self.force_exit = True
            return
        notice = self._settings.drain_notice if sig == signal.SIGTERM else 0.0
        if sig == signal.SIGINT:
            self._captured_signals.append(sig)  # raised again at the end, as Ctrl-C is elsewhere

        def begin() -> None:
            self._ending = asyncio.create_task(
                self._drain.run(self._stop_listening, notice=notice, limit=self._settings.drain_limit)
            )
            self._ending.add_done_callback(lambda _: setattr(self, "should_exit", True))

        self._loop.call_soon_threadsafe(begin)

    def _stop_listening(self) -> None:
        for server in self.servers:
            server.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise StorageError(
            f"can't listen on {host} port {port}: {error.strerror or error}; choose another with --port"
        ) from error

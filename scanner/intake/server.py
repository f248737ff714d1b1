"""Run the intake under uvicorn."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.errors import StorageError
from scanner.intake.app import create_app
from scanner.intake.store import check_database


def run(
    database_url: str,
    signing_key: Ed25519PrivateKey,
    *,
    host: str,
    port: int,
    enrolment_token: str | None = None,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        database_url: ``sqlite:///FILE`` or ``postgresql://…``.
        signing_key: signs receipts.
        host: address to listen on.
        port: port, or 0 for a free one.
        enrolment_token: if set, devices enrol only with it.
        announce: called once with the URL when the service listens.

    Raises:
        StorageError: the database can't be opened, or the port is taken.
    """
    check_database(database_url)
    listening = _listen(host, port)
    app = create_app(database_url, signing_key, enrolment_token=enrolment_token)
    # Access logs would name devices.
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning", server_header=False))
    name = f"[{host}]" if ":" in host else host
    announce(f"http://{name}:{listening.getsockname()[1]}")
    with listening:
        server.run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise StorageError(
            f"can't listen on {host} port {port}: {error.strerror or error}; choose another with --port"
        ) from error

"""The intake as its clients meet it: served by uvicorn on this machine, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from scanner.intake.app import create_app
from scanner.keys import write_key_pair
from tests import postgres

INTAKE = Ed25519PrivateKey.from_private_bytes(bytes([5]) * 32)
NOW = 1_800_000_000.0


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[str]:
    """Serve an ASGI app from a thread on a free loopback port, with uvicorn's options; gives the URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 30
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.005)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


class IntakeProcess:
    """``python -m scanner intake serve`` in a process of its own."""

    def __init__(self, key: Path, database: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
        command = [
            sys.executable, "-m", "scanner", "intake", "serve", "--port", "0",
            "--key", str(key), "--database", database, *arguments,
        ]  # fmt: skip
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | (environment or {}),
        )
        self.output = b""
        self.url = self._announced()

    def _announced(self) -> str:
        deadline = time.monotonic() + 60
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (found := re.search(rb"intake listening on (http://\S+)\n", self.output)):
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                more = os.read(self.process.stdout.fileno(), 65_536) if ready else b""
                if not more:
                    self.stop(signal.SIGKILL)
                    pytest.fail(f"the intake did not start: {self.output.decode(errors='replace')}")
                self.output += more
        return found[1].decode()

    def stop(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, keep the output; gives the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
            try:
                rest, _ = self.process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                rest, _ = self.process.communicate(timeout=30)
            self.output += rest
        return self.process.returncode


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A PostgreSQL server for the whole session."""
    if "postgresql" not in postgres.databases():
        pytest.skip(postgres.HOW_TO_GET_IT)
    with postgres.running() as server:
        yield server


@pytest.fixture(params=postgres.databases())
def store_url(request, tmp_path) -> str:
    """The URL of an empty database, on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'intake.db'}"
    return request.getfixturevalue("postgresql").fresh_database()


@pytest.fixture
def intake(store_url) -> Iterator[httpx.Client]:
    """A client of a running intake."""
    with serving(create_app(store_url, INTAKE, clock=lambda: NOW)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def intake_key(tmp_path) -> Path:
    """The intake's key as a file."""
    write_key_pair(tmp_path / "intake.key", INTAKE)
    return tmp_path / "intake.key"


@pytest.fixture
def start_intake(intake_key) -> Iterator[Callable[..., IntakeProcess]]:
    """Start intakes in processes of their own; whatever still runs at the end is killed."""
    with ExitStack() as started:

        def start(database: str, *arguments: str, environment: dict[str, str] | None = None) -> IntakeProcess:
            process = IntakeProcess(intake_key, database, *arguments, environment=environment)
            started.callback(process.stop, signal.SIGKILL)
            return process

        yield start

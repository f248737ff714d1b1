"""The intake as its clients meet it: served by uvicorn on this machine, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import argon2
import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI

from scanner.intake.authority.operators import Scope, add_operator
from scanner.intake.settings import Settings
from scanner.intake.store import schema
from scanner.intake.store.change import Writer
from scanner.intake.store.engine import open_store
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


# Nobody reads the pipe while a test runs, and devices need no tokens unless a test says so.
_QUIET = {
    "PRESCAN_INTAKE_ACCESS_LOG": "no",
    "PRESCAN_INTAKE_UNSAFE_OPEN_ENROLMENT": "yes",
    "PRESCAN_INTAKE_DRAIN_NOTICE": "0s",
    "PRESCAN_INTAKE_DEVICE_RATE": "1000000/1s",
    "PRESCAN_INTAKE_ACCOUNT_RATE": "1000000/1s",
    "PRESCAN_INTAKE_ADDRESS_RATE": "1000000/1s",
}


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
            env=os.environ | _QUIET | (environment or {}),
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
def empty_url(request, tmp_path) -> str:
    """The URL of a database without tables, on each of the two."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'intake.db'}"
    return request.getfixturevalue("postgresql").fresh_database()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("template") / "intake.db"
    schema.migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql) -> str:
    """The name of a migrated PostgreSQL database, to be copied."""
    postgresql.run("CREATE DATABASE migrated")
    schema.migrate(postgresql.url("migrated"))
    return "migrated"


@pytest.fixture
def sqlite_url(tmp_path, sqlite_template) -> str:
    """The URL of a migrated SQLite database of its own."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'intake.db')}"


@pytest.fixture
def postgresql_url(postgresql, postgresql_template) -> str:
    """The URL of a migrated PostgreSQL database of its own."""
    return postgresql.fresh_database(postgresql_template)


@pytest.fixture(params=postgres.databases())
def store_url(request) -> str:
    """The URL of a migrated database, on each of the two."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch) -> None:
    """Operators' tokens are hashed as cheaply as argon2 allows: what is tested is not its cost."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("scanner.intake.authority.operators.HASHER", cheap)


@asynccontextmanager
async def open_writer(url: str) -> AsyncIterator[Writer]:
    """What changes a database, without a service."""
    async with open_store(url) as store:
        yield Writer(store, "localhost", INTAKE)


def make_operator(url: str, *scopes: str, name: str = "tester") -> str:
    """Make an operator at the machine; gives the token."""

    async def make() -> str:
        async with open_writer(url) as writer:
            _, token = await add_operator(writer, name, frozenset(Scope(scope) for scope in scopes), NOW)
            return token

    return asyncio.run(make())


def open_app(url: str, **options: Any) -> FastAPI:
    """An app that lets devices enrol without a token, at the time of the tests."""
    from scanner.intake.app import create_app

    settings = options.pop("settings", Settings(unsafe_open_enrolment=True))
    return create_app(url, INTAKE, settings=settings, **{"clock": lambda: NOW, **options})


@pytest.fixture
def intake(store_url) -> Iterator[httpx.Client]:
    """A client of a running intake, in which devices enrol without a token."""
    with serving(open_app(store_url)) as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def operator_token(store_url) -> Callable[..., str]:
    """Make operators of the running intake: scopes in, a token out."""
    numbers = itertools.count()
    return lambda *scopes: make_operator(store_url, *scopes, name=f"tester {next(numbers)}")


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

"""A real PostgreSQL server for the tests: one a session, on a Unix socket in a temporary folder, a database a test.

PostgreSQL refuses to run as root; then it runs as ``postgres`` or ``nobody``.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests.processes import children_of, wait_until_gone

HOW_TO_GET_IT = (
    "these tests run on a real PostgreSQL server and found no initdb and pg_ctl, neither on PATH nor in "
    "/usr/lib/postgresql/*/bin; install the package postgresql (Debian, Fedora) or postgresql@15 (Homebrew)"
)


class Server:
    """A running server.

    Args:
        folder: where all it writes is.
        start: runs ``pg_ctl start`` on it.
    """

    def __init__(self, folder: Path, start: Callable[[], None]) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self.start = start

    def processes(self) -> list[int]:
        """Its processes, the postmaster first; none if it does not run."""
        try:
            postmaster = int((self._folder / "data" / "postmaster.pid").read_text("utf-8").split()[0])
        except FileNotFoundError:
            return []
        children = children_of(postmaster)
        return [postmaster, *children] if children else []

    def kill(self) -> None:
        """End all of its processes at once with SIGKILL, and wait until they are gone; ``start`` starts it again."""
        killed = self.processes()
        for process in killed:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        wait_until_gone(killed)
        for lock in ("data/postmaster.pid", ".s.PGSQL.5432.lock"):  # where nobody asks how it ended, it seems to run
            (self._folder / lock).unlink()

    def kill_one(self, choose: Callable[[Sequence[int]], int]) -> None:
        """End one of its processes, not the postmaster; that then ends the others, recovers and goes on by itself."""
        if others := self.processes()[1:]:
            with suppress(ProcessLookupError):
                os.kill(choose(others), signal.SIGKILL)

    def url(self, database: str) -> str:
        """The URL of a database, whether it exists or not."""
        return f"postgresql://tester@/{database}?host={self._folder}"

    def fresh_database(self, template: str = "template1") -> str:
        """Make a database, empty or like another one that nobody is connected to, and give its URL."""
        name = f"test_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def run(self, statement: str) -> None:
        """Run a statement outside of any test's database."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as db:
            db.execute(statement)  # type: ignore[call-overload]


def databases() -> list[str]:
    """Kinds of database to test on. PostgreSQL is left out where it is not installed, but never in CI."""
    return ["sqlite", "postgresql"] if _tools() or os.environ.get("CI") == "true" else ["sqlite"]


@contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """Start a server, and stop it and remove all it wrote at the end; ``durable`` has it wait for the disk."""
    tools = _tools()
    if tools is None:
        raise RuntimeError(HOW_TO_GET_IT)
    folder = Path(tempfile.mkdtemp(prefix="prescan-pg-"))  # short: a socket's path has at most 107 bytes
    options = _unprivileged(folder) | {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    data, log = folder / "data", folder / "log"

    def call(tool: str, *arguments: str) -> None:
        done = subprocess.run(
            [tools / tool, "-D", data, *arguments], timeout=60, check=False, stderr=subprocess.PIPE, **options
        )
        if done.returncode:
            told = log.read_text("utf-8", "replace") if log.exists() else ""
            raise RuntimeError(f"{tool} failed: {done.stderr.decode(errors='replace')}{told}")

    try:
        call("initdb", "--no-sync", "--auth=trust", "--username=tester", "--encoding=UTF8", "--locale=C")
        fsync = "on" if durable else "off"
        settings = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync={fsync} -c max_connections=60"
        server = Server(folder, lambda: call("pg_ctl", "start", "-w", "-t", "50", "-l", str(log), "-o", settings))
        server.start()
        try:
            yield server
        finally:
            if server.processes():
                call("pg_ctl", "stop", "-w", "-t", "50", "-m", "fast")
    finally:
        shutil.rmtree(folder)


def _tools() -> Path | None:
    on_path = [Path(folder) for folder in os.get_exec_path()]
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in (*on_path, *installed):
        if all((folder / tool).exists() for tool in ("initdb", "pg_ctl")):
            return (folder / "pg_ctl").resolve().parent  # initdb looks for postgres beside itself
    return None


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Arguments to subprocess that give up root, and the folder to whom it is given up to."""
    if os.getuid() != 0:
        return {}
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

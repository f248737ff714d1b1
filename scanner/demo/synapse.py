"""A real Synapse homeserver for the demo and the tests: in a virtualenv of its own, on this machine alone, on SQLite.

``python -m scanner.demo.synapse`` sets it up (half a minute, once); so does whatever needs it first. Synapse is under
the AGPL; it is a program beside this one, and nothing of it is imported here.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import secrets
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from scanner.errors import StorageError

HOME = Path(sys.prefix) / "synapse"
WANTED = "matrix-synapse>=1.163"
PASSWORD = "of nobody"  # noqa: S105 - of users that live as long as a test
NAME = "localhost"
SET_UP_SECONDS = 240
START_SECONDS = 60
_STARTS = 3
_DONE = HOME / f"{hashlib.sha256(WANTED.encode()).hexdigest()[:8]}.done"
_NO_LIMIT = {"per_second": 100_000, "burst_count": 100_000}


def is_set_up() -> bool:
    """Whether the Synapse that is wanted is installed."""
    return _DONE.exists()


def set_up() -> Path:
    """Install Synapse unless it is there; gives its interpreter.

    Raises:
        StorageError: it can't be installed; says why.
    """
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with (HOME.parent / ".synapse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        python = HOME / "bin" / "python"
        if is_set_up():
            return python
        sys.stderr.write(f"setting up Synapse in {HOME}\n")
        venv.create(HOME, clear=True, with_pip=True)
        options = ("--quiet", "--no-compile", "--disable-pip-version-check")
        command = [str(python), "-m", "pip", "install", *options, WANTED]
        try:
            ran = subprocess.run(  # noqa: S603 - our own
                command, capture_output=True, text=True, timeout=SET_UP_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise StorageError(f"pip took over {SET_UP_SECONDS} s to install {WANTED}") from error
        if ran.returncode:
            raise StorageError(f"pip could not install {WANTED}: {ran.stderr.strip()[-500:]}")
        _DONE.touch()
    return python


class Server:
    """A running homeserver.

    Args:
        url: where it listens.
        folder: where all it writes is.
        secret: what makes users.
    """

    def __init__(self, url: str, folder: Path, secret: str) -> None:
        self.url = url
        self.folder = folder
        self._secret = secret

    def register(self, user: str) -> str:
        """Make a user with :data:`PASSWORD`, as ``register_new_matrix_user`` does; gives the user's Matrix id."""
        address = f"{self.url}/_synapse/admin/v1/register"
        nonce = httpx.get(address).raise_for_status().json()["nonce"]
        signed = "\0".join((nonce, user, PASSWORD, "notadmin")).encode()
        mac = hmac.new(self._secret.encode(), signed, hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": user, "password": PASSWORD, "admin": False, "mac": mac}
        return str(httpx.post(address, json=body, timeout=30).raise_for_status().json()["user_id"])

    def stored_media(self) -> list[bytes]:
        """Every file in its media store."""
        return [path.read_bytes() for path in (self.folder / "media").rglob("*") if path.is_file()]


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Run a homeserver in an empty folder, and end it.

    Raises:
        StorageError: it can't be set up or does not start; says why.
    """
    python = set_up()
    for attempt in range(1, _STARTS + 1):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        secret = _configure(folder, port)
        with (folder / "output").open("w+b") as output:
            process = subprocess.Popen(  # noqa: S603 - our own
                [python, "-m", "synapse.app.homeserver", "-c", folder / "homeserver.yaml"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                if not _healthy(process, f"http://127.0.0.1:{port}"):
                    if attempt < _STARTS:  # another program may have taken the port
                        continue
                    raise StorageError(
                        f"Synapse did not start: {(folder / 'output').read_text('utf-8', 'replace')[-2000:]}"
                    )
                yield Server(f"http://127.0.0.1:{port}", folder, secret)
                return
            finally:
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(15)


def _healthy(process: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return True
        except httpx.HTTPError:
            time.sleep(0.05)
    return False


def _configure(folder: Path, port: int) -> str:
    """Write its configuration (JSON is YAML): loopback, clients alone, no federation, no limits, nothing looked up."""
    secret = secrets.token_urlsafe()
    seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (folder / "signing.key").write_text(f"ed25519 a_test {seed}\n", "utf-8")
    logging = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}
    (folder / "log.yaml").write_text(json.dumps(logging), "utf-8")
    settings = {
        "server_name": NAME,
        "pid_file": str(folder / "pid"),
        "listeners": [
            {
                "port": port,
                "type": "http",
                "bind_addresses": ["127.0.0.1"],
                "resources": [{"names": ["client"], "compress": False}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "log_config": str(folder / "log.yaml"),
        "media_store_path": str(folder / "media"),
        "max_upload_size": "128M",
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": secret,
        "macaroon_secret_key": secrets.token_urlsafe(),
        "form_secret": secrets.token_urlsafe(),
        "report_stats": False,
        "federation_domain_whitelist": [],
        "trusted_key_servers": [],
        "presence": {"enabled": False},
        "bcrypt_rounds": 4,
        "rc_message": _NO_LIMIT,
        "rc_registration": _NO_LIMIT,
        "rc_login": {"address": _NO_LIMIT, "account": _NO_LIMIT, "failed_attempts": _NO_LIMIT},
        "rc_joins": {"local": _NO_LIMIT, "remote": _NO_LIMIT},
        "rc_invites": {"per_room": _NO_LIMIT, "per_user": _NO_LIMIT, "per_issuer": _NO_LIMIT},
        "rc_media_create": _NO_LIMIT,
        "rc_room_creation": _NO_LIMIT,
    }
    (folder / "homeserver.yaml").write_text(json.dumps(settings), "utf-8")
    return secret


if __name__ == "__main__":
    set_up()

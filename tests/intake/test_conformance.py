"""The API does what its OpenAPI document says: schemathesis, with every check it has, finds nothing.

Every operation gets data that the document allows, data that it forbids, methods and headers that it does not name,
and sequences of requests that follow from one another. An operator with every scope asks. What a schema can't say is
named in conformance_hooks.py.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from scanner.intake.authority.operators import Scope
from scanner.intake.settings import Rate, Settings
from scanner.intake.store import schema
from tests.intake.conformance_hooks import BEYOND, ENROLLED, REVOKED, USED
from tests.intake.conftest import NOW, make_operator, open_app, serving

ROOT = Path(__file__).parents[2]
MANY = Rate(10**6, 1.0)
FREE = Settings(device_rate=MANY, account_rate=MANY, address_rate=MANY, login_rate=MANY)
EXAMPLES = 8


@asynccontextmanager
async def not_keeping(service):
    """Webhooks that are set here name hosts that nobody may be asked for."""
    yield


@pytest.fixture
def running(tmp_path, monkeypatch):
    """URL of an intake with two enrolled devices, and a token for everything."""
    monkeypatch.setattr("scanner.intake.app.keeping", not_keeping)
    database = f"sqlite:///{tmp_path / 'intake.db'}"
    schema.migrate(database)
    token = make_operator(database, *Scope)
    with serving(open_app(database, settings=FREE)) as url, httpx.Client(base_url=url) as client:
        for sender in (ENROLLED, REVOKED):
            secret = f"a one-time token of {sender.number}"
            digest = hashlib.sha256(secret.encode()).hexdigest()
            registered = client.put(
                f"/v1/tokens/{digest}",
                json={"account": sender.enrolment["account"], "expires_at": int(NOW) + 3600},
                headers={"Authorization": f"Bearer {token}"},
            )
            assert registered.status_code == 201
            client.headers["Authorization"] = f"Bearer {secret}"
            assert sender.enrol(client).status_code == 201
            del client.headers["Authorization"]
        yield url, token


def test_the_api_is_as_it_is_documented(running, tmp_path):
    """No check of schemathesis fails on any operation, and each exemption is still needed."""
    url, token = running
    used = tmp_path / "used"
    used.touch()
    command = [
        sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run", f"{url}/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--checks", "all", "--mode", "all",
        "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES),
        "--generation-deterministic", "--continue-on-failure", "--no-color", "--request-timeout", "20",
        "--suppress-health-check", "too_slow",
    ]  # fmt: skip
    environment = {"PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.intake.conformance_hooks", USED: str(used)}
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(item) for item in httpx.get(f"{url}/openapi.json").json()["paths"].values())
    assert re.search(rf"Selected: {operations}/{operations}\n\s*Tested: {operations}\n", done.stdout), done.stdout
    assert "Errors:" not in done.stdout
    assert {BEYOND[int(line)] for line in used.read_text("utf-8").split()} == set(BEYOND)

"""The log over HTTP: anyone checks that it only grew, operators read it; on both databases."""

from __future__ import annotations

import asyncio
import base64

import httpx
import pytest

from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.merkle import leaf_hash, root_of, verify_consistency, verify_inclusion
from scanner.intake.audit.notes import Verifier
from tests.intake.conftest import INTAKE, NOW, open_writer

SIZE = 20
VERIFIER = Verifier("localhost", INTAKE.public_key().public_bytes_raw())


@pytest.fixture
def filled(store_url) -> None:
    """Entries by someone, before the intake starts."""

    async def fill() -> None:
        async with open_writer(store_url) as writer, writer.change(NOW) as change:
            for number in range(SIZE):
                change.log("logout", operator="0" * 32, session=bytes([number]))

    asyncio.run(fill())


@pytest.fixture
def log(filled, intake) -> httpx.Client:
    """A client of an intake whose log has entries."""
    return intake


def as_operator(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def hashes(answer: httpx.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(one) for one in answer.json()["hashes"]]


def checkpoint(client: httpx.Client) -> Checkpoint:
    """The newest, checked with a key that was known before."""
    answer = client.get("/v1/log/checkpoint")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return Checkpoint.parse(answer.content, VERIFIER)


def all_entries(client: httpx.Client, token: str, limit: int) -> list[dict]:
    """Follow the cursors to the end."""
    items: list[dict] = []
    parameters: dict[str, str] = {"limit": str(limit)}
    while True:
        page = client.get("/v1/log/entries", params=parameters, headers=as_operator(token)).json()
        assert len(page["items"]) <= limit
        items += page["items"]
        if page["next"] is None:
            return items
        parameters["cursor"] = page["next"]


def test_a_log_without_entries_has_no_checkpoint(intake):
    """404, as a problem that says so; the key is there already."""
    answer = intake.get("/v1/log/checkpoint")
    assert answer.status_code == 404
    assert answer.json()["type"].endswith("empty-log")
    assert intake.get("/v1/log/key").json() == {"verifier": str(VERIFIER)}


def test_anyone_follows_the_log_from_checkpoint_to_checkpoint(log, operator_token):
    """The earlier checkpoint begins the later one, with nothing but public answers and the key."""
    before = checkpoint(log)
    assert before.size == SIZE
    operator_token("read")  # an entry more
    after = checkpoint(log)
    assert after.size == SIZE + 1
    proof = hashes(log.get("/v1/log/consistency", params={"old": before.size, "new": after.size}))
    assert verify_consistency(before.size, before.root, after.size, after.root, proof)
    assert not verify_consistency(before.size, bytes(32), after.size, after.root, proof)


def test_an_operator_reads_entries_and_proves_each(log, operator_token):
    """Pages have every entry once and in order; each is in the tree that the checkpoint signs."""
    token = operator_token("read")
    items = all_entries(log, token, 7)
    assert [item["position"] for item in items] == list(range(SIZE + 1))
    bodies = [base64.b64decode(item["body"]) for item in items]
    for item, body in zip(items, bodies, strict=True):
        entry = Entry.from_bytes(body)
        assert (item["kind"], item["at"]) == (entry.kind, entry.at)
    newest = checkpoint(log)
    leaves = [leaf_hash(body) for body in bodies]
    assert newest.root == root_of(leaves)
    for position, leaf in enumerate(leaves):
        proof = hashes(log.get("/v1/log/inclusion", params={"position": position, "size": newest.size}))
        assert verify_inclusion(leaf, position, newest.size, proof, newest.root)


def test_who_is_no_reader_reads_no_entries(log, operator_token):
    """Without a token 401, with another scope 403."""
    assert log.get("/v1/log/entries").status_code == 401
    assert log.get("/v1/log/entries", headers=as_operator(operator_token("enrol"))).status_code == 403


@pytest.mark.parametrize(
    ("path", "parameters", "status"),
    [
        ("inclusion", {"position": 0, "size": SIZE + 1}, 404),
        ("inclusion", {"position": SIZE, "size": SIZE}, 404),
        ("inclusion", {"position": 0, "size": 0}, 404),
        ("consistency", {"old": 0, "new": SIZE + 1}, 404),
        ("consistency", {"old": 5, "new": 4}, 404),
        ("consistency", {"old": -1, "new": 4}, 422),
        ("consistency", {"old": 1, "new": 2**63}, 422),
        ("inclusion", {"position": "x", "size": 1}, 422),
        ("inclusion", {"size": 1}, 422),
    ],
)
def test_there_is_no_proof_of_what_never_was(log, path, parameters, status):
    """A problem with a stable type, whatever was asked."""
    answer = log.get(f"/v1/log/{path}", params=parameters)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 404:
        assert answer.json()["type"].endswith("no-proof")


def test_a_cursor_that_is_none_is_refused(log, operator_token):
    """400 or 422, and no entry."""
    answer = log.get("/v1/log/entries", params={"cursor": "nonsense"}, headers=as_operator(operator_token("read")))
    assert answer.status_code in {400, 422}

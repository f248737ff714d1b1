"""Exports, openings and windows over HTTP: each once, in pages, for who may."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import httpx
import pytest
import sqlalchemy as sa

from scanner.exports import read_export
from scanner.intake.settings import Settings
from scanner.intake.store.tables import VOUCHERS
from scanner.intake.windows.expiring import expire
from tests.intake.conftest import open_writer
from tests.intake.test_exporting import expected
from tests.intake.windows.places import IDS, NOW, WINDOW, arrive, enrol
from tests.intake.windows.test_expiring import OVER
from tests.intake.windows.test_openings import below, opened
from tests.policies import ACCOUNT, OTHER_ACCOUNT

PLACES = [(device, window, slot) for device in IDS for window in (WINDOW, WINDOW + 1) for slot in range(3)]
EXPORT, OPENING = f"/v1/exports/{1:032x}", f"/v1/openings/{2:032x}"


def work(url: str, what) -> None:
    """Do something in the database of a running intake."""

    async def run() -> None:
        async with open_writer(url) as writer:
            await what(writer)

    asyncio.run(run())


async def fill(writer) -> None:
    await enrol(writer)
    await arrive(writer, PLACES)


@pytest.fixture
def client(intake, store_url, operator_token) -> httpx.Client:
    """An operator of a running intake that has vouchers, who may export and read."""
    work(store_url, fill)
    intake.headers["Authorization"] = f"Bearer {operator_token('export', 'read')}"
    return intake


def told(answer: httpx.Response, status: int, name: str) -> bool:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:prescan:problem:{name}"
    return True


def test_an_export_is_made_once_and_read_with_its_digest(client, tmp_path):
    """The same request again gets the same record; the file is what the opener reads."""
    first = client.put(EXPORT, json={})
    assert first.status_code == 201
    record = first.json()
    assert (record["windows"], record["vouchers"], record["before"], record["made_at"]) == (4, 18, None, NOW)
    again = client.put(EXPORT, json={"before": None, "everything": False})
    assert (again.status_code, again.json()) == (200, record)
    assert client.get(EXPORT).json() == record
    assert told(client.put(EXPORT, json={"before": 5}), 409, "id-taken")
    answer = client.get(f"{EXPORT}/content")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/cbor-seq")
    digest = hashlib.sha256(answer.content).digest()
    assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest).decode()}:"
    assert digest.hex() == record["digest"]
    (tmp_path / "out").write_bytes(answer.content)
    assert list(read_export(tmp_path / "out")) == expected(PLACES)


def test_a_choice_of_windows(client):
    """Only those before one; or everything again."""
    assert client.put(f"/v1/exports/{1:032x}", json={"before": WINDOW + 1}).json()["windows"] == 2
    assert client.put(f"/v1/exports/{2:032x}", json={}).json()["windows"] == 2
    assert client.put(f"/v1/exports/{3:032x}", json={}).json()["windows"] == 0
    assert client.put(f"/v1/exports/{4:032x}", json={"everything": True}).json()["windows"] == 4
    ids = [f"{number:032x}" for number in (4, 3, 2, 1)]
    page = client.get("/v1/exports").json()
    assert ([one["export_id"] for one in page["items"]], page["next"]) == (ids, None)
    assert paged(client, "/v1/exports", "export_id", 3) == ids


def paged(client: httpx.Client, path: str, name: str, limit: int) -> list:
    """One field of all entries, page by page."""
    found, cursor = [], {}
    while True:
        page = client.get(path, params={"limit": limit, **cursor}).json()
        assert len(page["items"]) <= limit
        found += [one[name] for one in page["items"]]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


def test_an_export_whose_windows_were_deleted_is_gone(client, store_url):
    """The record stays; the file can't be given."""
    client.put(EXPORT, json={})
    record = client.get(EXPORT).json()
    work(store_url, lambda writer: expire(writer, Settings(), OVER))
    assert told(client.get(f"{EXPORT}/content"), 410, "expired")
    assert client.get(EXPORT).json() == record
    for path in (f"/v1/exports/{9:032x}", f"/v1/exports/{9:032x}/content"):
        assert told(client.get(path), 404, "unknown-export")


def test_a_file_that_is_not_what_it_was_breaks_off(client, store_url):
    """Whoever reads it is told by the broken answer, not given a whole one."""

    async def tamper(writer) -> None:
        async with writer.store.writing() as db:
            await db.execute(sa.update(VOUCHERS).where(VOUCHERS.c.slot == 2).values(voucher=b"another"))

    client.put(EXPORT, json={})
    work(store_url, tamper)
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"{EXPORT}/content")


def test_an_opening_is_reported_once(client):
    """With a case if it opened; what was not exported is refused."""
    report = opened().model_dump()
    assert told(client.put(OPENING, json=report), 409, "not-exported")
    client.put(EXPORT, json={})
    first = client.put(OPENING, json=report)
    assert first.status_code == 201
    assert first.json() | {"operator_id": None} == {
        "opening_id": f"{2:032x}", "account": ACCOUNT.hex(), "window": WINDOW, "operator_id": None,
        "reported_at": NOW, "result": "opened", "vouchers": 3,
    }  # fmt: skip
    again = client.put(OPENING, json=report)
    assert (again.status_code, again.json()) == (200, first.json())
    assert told(client.put(OPENING, json=below().model_dump()), 409, "id-taken")
    other = client.put(f"/v1/openings/{3:032x}", json=below(OTHER_ACCOUNT, 6).model_dump())
    assert other.status_code == 201
    assert paged(client, "/v1/openings", "opening_id", 1) == [f"{3:032x}", f"{2:032x}"]
    assert client.get("/v1/openings").json()["items"] == [other.json(), first.json()]


@pytest.mark.parametrize(
    "change",
    [{"matches": []}, {"result": "closed"}, {"vouchers": "3"}, {"account": "x"}, {"window": -1}, {"note": "x"}],
)
def test_a_report_that_is_none_is_refused(client, change):
    """Before anything is looked up."""
    assert told(client.put(OPENING, json=opened().model_dump() | change), 422, "invalid-request")


def test_windows_are_listed_with_how_many_vouchers_are_where(client):
    """By account and window; once they are counted."""
    client.put(EXPORT, json={})
    client.put(OPENING, json=opened().model_dump())
    nothing = {"received": 0, "counted": 0, "exported": 0, "opened": 0, "closed": 0}
    items = client.get("/v1/windows").json()["items"]
    found = {(one["account"], one["window"]): one["vouchers"] for one in items}
    assert found == {
        (ACCOUNT.hex(), WINDOW): nothing | {"opened": 3},
        (ACCOUNT.hex(), WINDOW + 1): nothing | {"exported": 3},
        (OTHER_ACCOUNT.hex(), WINDOW): nothing | {"exported": 6},
        (OTHER_ACCOUNT.hex(), WINDOW + 1): nothing | {"exported": 6},
    }
    assert list(found) == sorted(found)
    assert paged(client, "/v1/windows", "window", 1) == [WINDOW, WINDOW + 1] * 2
    assert {one["counted_at"] for one in items} == {NOW}


def test_a_cursor_of_another_list_is_refused(client):
    """With its name."""
    client.put(EXPORT, json={})
    other = client.get("/v1/windows", params={"limit": 1}).json()["next"]
    assert told(client.get("/v1/exports", params={"cursor": other}), 400, "bad-cursor")
    assert told(client.get("/v1/openings", params={"cursor": other}), 400, "bad-cursor")
    assert told(client.get("/v1/windows", params={"cursor": "xx"}), 400, "bad-cursor")


def test_only_who_may_export_exports_and_only_who_may_read_reads(intake, operator_token):
    """No token is 401, another scope 403; for windows the scope is read."""
    calls = {
        "export": [
            ("PUT", EXPORT, {}), ("GET", EXPORT, None), ("GET", f"{EXPORT}/content", None),
            ("GET", "/v1/exports", None), ("PUT", OPENING, opened().model_dump()), ("GET", "/v1/openings", None),
        ],
        "read": [("GET", "/v1/windows", None)],
    }  # fmt: skip
    for scope, wanted in calls.items():
        others = {"enrol", "read", "export", "review", "admin"} - {scope}
        headers = {"Authorization": f"Bearer {operator_token(*others)}"}
        for method, path, body in wanted:
            assert intake.request(method, path, json=body).status_code == 401
            assert told(intake.request(method, path, json=body, headers=headers), 403, "wrong-scope")

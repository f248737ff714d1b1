"""Operators over the API: made, listed and revoked by admins, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from scanner.intake.authority.operators import TOKEN, add_operator
from tests.intake.authority.running import Running, in_worker, is_problem
from tests.intake.conftest import NOW

ID, OTHER_ID = "a" * 32, "b" * 32
BODY = {"name": "one", "scopes": ["review", "read"]}


async def put(worker: Running, admin: str | None, operator_id: str = ID, **changed: Any):
    return await worker.ask("PUT", f"/v1/operators/{operator_id}", admin, json=BODY | changed)


async def revoke(worker: Running, admin: str | None, operator_id: str = ID):
    return await worker.ask("PUT", f"/v1/operators/{operator_id}/revocation", admin)


def test_an_operator_is_made_once_and_its_token_told_once(store_url):
    """201 with the token; 200 without it after that; it opens what it should; the log says who did it."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        made = await put(worker, admin)
        entry = {
            "operator_id": ID,
            "name": "one",
            "scopes": ["read", "review"],
            "made_at": int(NOW),
            "made_by": admin[8:40],
            "revoked_at": None,
        }
        token = made.json()["token"]
        assert (made.status_code, made.json()) == (201, entry | {"token": token})
        assert TOKEN.fullmatch(token)[1] == ID
        for again in (await put(worker, admin), await put(worker, admin, scopes=["read", "read", "review"])):
            assert (again.status_code, again.json()) == (200, entry)
        assert (await worker.ask("GET", f"/v1/operators/{ID}", admin)).json() == entry
        assert (await worker.ask("GET", "/only/review", token)).json() == "one"
        assert [each.fields["by"] for each in await worker.entries("operator")] == [None, admin[8:40]]

    in_worker(store_url, test)


def test_twenty_requests_at_once_make_one_operator(store_url):
    """Exactly one answer has a token, and it works."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        answers = await asyncio.gather(*(put(worker, admin) for _ in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
        (token,) = [answer.json()["token"] for answer in answers if "token" in answer.json()]
        assert (await worker.ask("GET", "/only/read", token)).status_code == 200

    in_worker(store_url, test)


def test_ids_and_names_are_of_one_operator_each(store_url):
    """409 for another name or other scopes under an id, and for a name taken, by a revoked operator too."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        await put(worker, admin)
        assert is_problem(await put(worker, admin, name="two"), 409, "other-operator")
        assert is_problem(await put(worker, admin, scopes=["read"]), 409, "other-operator")
        assert is_problem(await put(worker, admin, OTHER_ID), 409, "name-taken")
        await revoke(worker, admin)
        assert is_problem(await put(worker, admin, OTHER_ID), 409, "name-taken")
        assert (await put(worker, admin)).json()["revoked_at"] == int(NOW)

    in_worker(store_url, test)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": ""},
        {"name": " one"},
        {"name": "one\n"},
        {"name": "o\0ne"},
        {"name": "x" * 65},
        {"name": None},
        {"scopes": []},
        {"scopes": ["all"]},
        {"scopes": "read"},
        {"scopes": ["read"] * 6},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_operator_is_not_made(sqlite_url, changed):
    """422, and nothing is written."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        assert is_problem(await put(worker, admin, **changed), 422, "invalid-request")
        assert is_problem(await put(worker, admin, "A" * 32), 422, "invalid-request")
        assert len(await worker.entries()) == 1

    in_worker(sqlite_url, test)


def test_a_revoked_operator_is_out_at_once_and_an_admin_may_revoke_itself(store_url):
    """The same answer again; the time of the first stays; 404 for one that isn't there."""

    async def test(worker: Running) -> None:
        admin, second = await worker.operator("admin"), await worker.operator("admin")
        token = (await put(worker, admin)).json()["token"]
        assert (await worker.ask("GET", "/only/read", token)).status_code == 200
        worker.clock.now += 5
        first = await revoke(worker, admin)
        worker.clock.now += 5
        again = await revoke(worker, admin)
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.json() == again.json()
        assert first.json()["revoked_at"] == int(NOW) + 5
        assert is_problem(await worker.ask("GET", "/only/read", token), 401, "unauthorized")
        assert is_problem(await revoke(worker, admin, OTHER_ID), 404, "unknown-operator")
        assert is_problem(await worker.ask("GET", f"/v1/operators/{OTHER_ID}", admin), 404, "unknown-operator")
        assert (await revoke(worker, second, second[8:40])).status_code == 200
        assert is_problem(await revoke(worker, second), 401, "unauthorized")
        (entry, _) = await worker.entries("operator-revoked")
        assert entry.fields == {"operator": ID, "by": admin[8:40]}

    in_worker(store_url, test)


def test_the_last_admin_can_not_be_revoked(store_url):
    """409, unless another one is made first."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        await put(worker, admin)
        assert is_problem(await revoke(worker, admin, admin[8:40]), 409, "last-admin")
        await put(worker, admin, OTHER_ID, name="two", scopes=["admin"])
        assert (await revoke(worker, admin, admin[8:40])).status_code == 200

    in_worker(store_url, test)


@pytest.mark.parametrize("scope", ["enrol", "read", "export", "review", None])
def test_only_admins_may(sqlite_url, scope):
    """403 with any other scope, 401 without a token, and nothing happens."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        token = None if scope is None else await worker.operator(scope)
        before = len(await worker.entries())
        for answer in (
            await worker.ask("GET", "/v1/operators", token),
            await worker.ask("GET", f"/v1/operators/{admin[8:40]}", token),
            await put(worker, token),
            await revoke(worker, token, admin[8:40]),
        ):
            assert is_problem(answer, *((401, "unauthorized") if scope is None else (403, "wrong-scope")))
        assert len(await worker.entries()) == before

    in_worker(sqlite_url, test)


def test_operators_are_listed_a_page_at_a_time(store_url):
    """Each once, by id, the revoked too, without anything of their tokens; what isn't a cursor is refused."""

    async def test(worker: Running) -> None:
        admin = await worker.operator("admin")
        made = [admin[8:40]]
        for number in range(6):
            operator, _ = await add_operator(worker.service.writer, f"number {number}", ["read"], NOW)
            made.append(operator.operator_id)
        await revoke(worker, admin, made[3])
        for limit in (1, 3, 7, 100):
            items: list[dict[str, Any]] = []
            query: dict[str, Any] = {"limit": limit}
            while True:
                page = (await worker.ask("GET", "/v1/operators", admin, params=query)).json()
                items += page["items"]
                if page["next"] is None:
                    break
                query["cursor"] = page["next"]
            assert [item["operator_id"] for item in items] == sorted(made)
            assert [item["operator_id"] for item in items if item["revoked_at"] is not None] == [made[3]]
            assert set(items[0]) == {"operator_id", "name", "scopes", "made_at", "made_by", "revoked_at"}
        for cursor in ("x", "gUFh", "gWEA"):  # none, [b"a"], and ["\0"], which no database is asked for
            answer = await worker.ask("GET", "/v1/operators", admin, params={"cursor": cursor})
            assert is_problem(answer, answer.status_code, "bad-cursor")
        answer = await worker.ask("GET", "/v1/operators", admin, params={"cursor": "gWFh"})
        assert answer.status_code == 200  # ["a"], which nobody was given: a page somewhere

    in_worker(store_url, test)

"""Devices and their tokens, over the API, on both databases."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy import insert, select

from scanner.delivery import Courier
from scanner.errors import RefusedError
from scanner.intake.operations.logs import logging_to
from scanner.intake.settings import Rate
from scanner.intake.store.receiving import Came, Received, receive
from scanner.intake.store.tables import DEVICES, HOOK_MESSAGES, HOOKS, TOKENS
from tests.intake.authority.running import (
    FREE,
    Running,
    enrolment,
    id_of,
    in_worker,
    is_problem,
    key_of,
    path_of,
    running,
    small_app,
    text,
)
from tests.intake.conftest import INTAKE, NOW, serving
from tests.policies import ACCOUNT, OTHER_ACCOUNT

ONE, TWO, THREE = key_of(1), key_of(2), key_of(3)
LATER = int(NOW) + 3_600
OPEN = replace(FREE, unsafe_open_enrolment=True)


def hash_of(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def rows_of(worker: Running, table) -> list:
    async with worker.service.store.reading() as db:
        return list((await db.execute(select(table))).all())


def test_a_token_enrols_one_device_once_and_again(store_url):
    """201, then 200 with the same answer for the same device and token, even past the token's time."""

    async def test(worker: Running) -> None:
        token = await worker.give_token()
        answers = [await worker.enrol(ONE, token) for _ in range(3)]
        worker.clock.now = LATER + 1
        answers.append(await worker.enrol(ONE, token))
        assert [answer.status_code for answer in answers] == [201, 200, 200, 200]
        assert {answer.text for answer in answers} == {f'{{"device_id":"{id_of(ONE).hex()}"}}'}
        assert is_problem(await worker.enrol(TWO, token), 401, "token-used")
        (device,) = await rows_of(worker, DEVICES)
        assert device[:4] == (id_of(ONE), ONE.public_key().public_bytes_raw(), ACCOUNT, int(NOW))
        (row,) = await rows_of(worker, TOKENS)
        assert (row.token_hash, row.device_id, row.used_at) == (hash_of(token), id_of(ONE), int(NOW))

    in_worker(store_url, test)


def test_what_is_done_is_in_the_audit_log_and_told_to_webhooks(store_url):
    """One entry for each token, enrolment and revocation, however often they are asked for."""

    async def test(worker: Running) -> None:
        hook = {"hook_id": "a" * 32, "url": "https://example.org", "made_by": "b" * 32, "made_at": 0}
        async with worker.service.store.writing() as db:
            await db.execute(insert(HOOKS).values(**hook, events="device.enrolled device.revoked"))
        token = await worker.give_token()
        enroller = await worker.operator("enrol")
        for _ in range(2):
            await worker.enrol(ONE, token)
        for _ in range(2):
            await worker.ask("PUT", f"{path_of(ONE)}/revocation", enroller)
        device, account = id_of(ONE), ACCOUNT
        given, enrolled, revoked = await worker.entries("token", "enrolment", "revocation")
        by = given.fields["by"]
        assert given.fields == {"token": hash_of(token), "account": account, "expires": LATER, "by": by}
        assert enrolled.fields == {
            "device": device,
            "account": account,
            "public_key": ONE.public_key().public_bytes_raw(),
            "token": hash_of(token),
        }
        assert revoked.fields == {"device": device, "by": enroller[8:40]}
        told = [json.loads(row.body) for row in await rows_of(worker, HOOK_MESSAGES)]
        assert sorted(each["type"] for each in told) == ["device.enrolled", "device.revoked"]
        assert {(each["data"]["device"], each["data"]["account"]) for each in told} == {(device.hex(), account.hex())}

    in_worker(store_url, test)


@pytest.mark.parametrize("workers", [1, 2])
def test_of_two_devices_at_once_with_one_token_exactly_one_enrols(store_url, workers):
    """Twenty requests: one 201, its repetitions 200, the other device's 401; on two workers too."""

    async def test(first: Running) -> None:
        async with running(store_url) as second:
            token = await first.give_token()
            asked = [((first, second)[n // 2 % workers], (ONE, TWO)[n % 2]) for n in range(20)]
            answers = await asyncio.gather(*(worker.enrol(key, token) for worker, key in asked))
            assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201] + [401] * 10
            (device,) = await rows_of(first, DEVICES)
            winners = {
                id_of(key) for (_, key), answer in zip(asked, answers, strict=True) if answer.status_code in (200, 201)
            }
            assert winners == {device.device_id}
            (row,) = await rows_of(first, TOKENS)
            assert row.device_id == device.device_id
            assert len(await first.entries("enrolment")) == 1

    in_worker(store_url, test)


def test_what_was_decided_before_the_change_is_decided_again_in_it(store_url):
    """Four that all were new, and wait for the writer: one enrols, its repetition is no error, the others are late."""

    async def test(worker: Running) -> None:
        token, other = await worker.give_token(), await worker.give_token(OTHER_ACCOUNT)
        cases = [(ONE, token, ACCOUNT), (ONE, token, ACCOUNT), (TWO, token, ACCOUNT), (ONE, other, OTHER_ACCOUNT)]
        tasks = []
        async with worker.service.writer.change(NOW):
            for number, (key, brought, account) in enumerate(cases, 1):
                tasks.append(asyncio.create_task(worker.enrol(key, brought, account)))
                while len(worker.service.store._turn._waiters or ()) < number:
                    await asyncio.sleep(0.001)
        codes = [answer.status_code for answer in await asyncio.gather(*tasks)]
        assert codes == [201, 200, 401, 409]
        assert len(await worker.entries("enrolment")) == 1

    in_worker(store_url, test)


def test_of_two_accounts_at_once_for_one_device_exactly_one_gets_it(store_url):
    """The other is refused, and its token stays unused."""

    async def test(worker: Running) -> None:
        accounts = (ACCOUNT, OTHER_ACCOUNT)
        tokens = [await worker.give_token(account) for account in accounts]
        asked = [worker.enrol(ONE, tokens[number % 2], accounts[number % 2]) for number in range(20)]
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert sorted(codes) == [200] * 9 + [201] + [409] * 10
        assert sorted(row.device_id is None for row in await rows_of(worker, TOKENS)) == [False, True]

    in_worker(store_url, test)


def test_tokens_that_let_nobody_in(store_url):
    """None, an unknown one, an expired one, and one for another account; nothing is written."""

    async def test(worker: Running) -> None:
        good, foreign = await worker.give_token(), await worker.give_token(OTHER_ACCOUNT)
        size = len(await worker.entries())
        assert is_problem(await worker.enrol(ONE), 401, "unauthorized")
        for unknown in ("x", good + "x", good[:-1], hash_of(good).hex()):
            assert is_problem(await worker.enrol(ONE, unknown), 401, "unauthorized")
        assert is_problem(await worker.enrol(ONE, foreign), 403, "wrong-account")
        worker.clock.now = LATER
        assert is_problem(await worker.enrol(ONE, good), 401, "token-expired")
        worker.clock.now = LATER - 1
        assert await rows_of(worker, DEVICES) == []
        assert len(await worker.entries()) == size
        assert (await worker.enrol(ONE, good)).status_code == 201

    in_worker(store_url, test)


def test_who_is_refused_waits_for_no_writer(store_url):
    """Whether a device may enrol is asked before a change is begun."""

    async def test(worker: Running) -> None:
        token = await worker.give_token()
        assert (await worker.enrol(ONE, token)).status_code == 201
        async with worker.service.writer.change(NOW):
            assert is_problem(await worker.enrol(TWO, "unknown"), 401, "unauthorized")
            assert is_problem(await worker.enrol(TWO, token), 401, "token-used")
            assert (await worker.enrol(ONE, token)).status_code == 200

    in_worker(store_url, test)


def test_a_device_shows_its_key_its_id_and_its_account(sqlite_url):
    """A proof by another key or for another account, or another device's id: 403, and the token stays good."""

    async def test(worker: Running) -> None:
        token = await worker.give_token()
        body = enrolment(ONE)
        for changed in ({"proof": enrolment(TWO)["proof"]}, {"account": text(OTHER_ACCOUNT)}):
            answer = await worker.ask("PUT", path_of(ONE), token, json=body | changed)
            assert is_problem(answer, 403, "bad-signature")
        assert is_problem(await worker.ask("PUT", path_of(TWO), token, json=body), 403, "wrong-device")
        assert (await worker.enrol(ONE, token)).status_code == 201

    in_worker(sqlite_url, test)


def test_another_account_does_not_get_a_device(store_url):
    """409 with that account's own token, and nothing tells whose it is."""

    async def test(worker: Running) -> None:
        assert (await worker.enrol(ONE, await worker.give_token())).status_code == 201
        moved = await worker.enrol(ONE, await worker.give_token(OTHER_ACCOUNT), OTHER_ACCOUNT)
        assert is_problem(moved, 409, "other-account")
        assert text(ACCOUNT) not in moved.text
        assert ACCOUNT.hex() not in moved.text

    in_worker(store_url, test)


def test_a_new_token_for_an_enrolled_device_stays_unused(store_url):
    """200: there is nothing to do."""

    async def test(worker: Running) -> None:
        first, second = await worker.give_token(), await worker.give_token()
        assert (await worker.enrol(ONE, first)).status_code == 201
        assert (await worker.enrol(ONE, second)).status_code == 200
        assert (await worker.enrol(TWO, second)).status_code == 201

    in_worker(store_url, test)


def test_an_open_intake_lets_anyone_in_and_says_so_in_the_log(store_url):
    """No token is asked for; one that is brought isn't looked at or used up."""

    async def test(worker: Running) -> None:
        token = await worker.give_token()
        assert (await worker.enrol(ONE)).status_code == 201
        assert (await worker.enrol(ONE)).status_code == 200
        assert (await worker.enrol(TWO, token)).status_code == 201
        assert (await worker.enrol(THREE, "any")).status_code == 201
        assert is_problem(await worker.enrol(ONE, account=OTHER_ACCOUNT), 409, "other-account")
        assert [entry.fields["token"] for entry in await worker.entries("enrolment")] == [None] * 3
        (row,) = await rows_of(worker, TOKENS)
        assert row.device_id is None
        await worker.ask("PUT", f"{path_of(ONE)}/revocation", await worker.operator("enrol"))
        assert is_problem(await worker.enrol(ONE), 403, "revoked")

    in_worker(store_url, test, settings=OPEN)


def test_a_revoked_device_is_refused_at_once_at_every_worker_for_ever(store_url):
    """Its vouchers at a worker that took one before, and its enrolment with the old token and a new one."""

    async def test(first: Running) -> None:
        async with running(store_url) as second:
            token = await first.give_token()
            await first.enrol(ONE, token)
            vouchers = [
                Received((id_of(ONE), 735, slot), bytes(32), b"voucher", b"receipt", int(NOW)) for slot in range(2)
            ]
            (outcome,) = await receive(second.service.writer, vouchers[:1])
            assert outcome.came is Came.STORED
            enroller = await first.operator("enrol")
            first.clock.now += 7
            answers = [await first.ask("PUT", f"{path_of(ONE)}/revocation", enroller) for _ in range(2)]
            expected = {"device_id": id_of(ONE).hex(), "revoked_at": int(NOW) + 7}
            assert [(answer.status_code, answer.json()) for answer in answers] == [(200, expected)] * 2
            for worker in (first, second):
                assert {each.came for each in await receive(worker.service.writer, vouchers)} == {Came.REVOKED}
                for again in (token, await worker.give_token()):
                    assert is_problem(await worker.enrol(ONE, again), 403, "revoked")

    in_worker(store_url, test)


def test_nobody_revokes_or_sees_a_device_that_is_not_there(sqlite_url):
    """404 for an id of the right form, 422 for another."""

    async def test(worker: Running) -> None:
        token = await worker.operator("enrol", "read")
        for method, tail in (("GET", ""), ("PUT", "/revocation")):
            answer = await worker.ask(method, f"{path_of(ONE)}{tail}", token)
            assert is_problem(answer, 404, "unknown-device")
            for no_id in ("0", "g" * 32, id_of(ONE).hex().upper() + "0", "0" * 32 + "%0A"):
                answer = await worker.ask(method, f"/v1/devices/{no_id}{tail}", token)
                assert is_problem(answer, 422, "invalid-request")

    in_worker(sqlite_url, test)


def test_a_token_is_registered_once_with_one_meaning(store_url):
    """201, 200 for the same again (even past its time), 409 with another account or expiry, or when it is past."""

    async def test(worker: Running) -> None:
        enroller = await worker.operator("enrol")
        path = f"/v1/tokens/{hash_of('one').hex()}"
        body = {"account": text(ACCOUNT), "expires_at": LATER}
        past = body | {"expires_at": int(NOW)}
        assert is_problem(await worker.ask("PUT", path, enroller, json=past), 409, "in-the-past")
        answers = [await worker.ask("PUT", path, enroller, json=body) for _ in range(2)]
        worker.clock.now = LATER + 1
        answers.append(await worker.ask("PUT", path, enroller, json=body))
        assert [answer.status_code for answer in answers] == [201, 200, 200]
        assert all(answer.json() == body | {"token_hash": hash_of("one").hex()} for answer in answers)
        for changed in ({"account": text(OTHER_ACCOUNT)}, {"expires_at": LATER + 1}):
            answer = await worker.ask("PUT", path, enroller, json=body | changed)
            assert is_problem(answer, 409, "other-token")
        assert len(await worker.entries("token")) == 1

    in_worker(store_url, test)


@pytest.mark.parametrize(
    "changed",
    [
        {"account": "A" * 21},
        {"account": "A" * 21 + "B"},
        {"account": None},
        {"expires_at": "1900000000"},
        {"expires_at": 1.5},
        {"expires_at": -1},
        {"expires_at": 2**53},
        {"expires_at": True},
        {"more": 1},
    ],
    ids=str,
)
def test_what_is_no_token_is_not_registered(sqlite_url, changed):
    """422, and nothing is written."""

    async def test(worker: Running) -> None:
        enroller = await worker.operator("enrol")
        body = {"account": text(ACCOUNT), "expires_at": LATER} | changed
        answer = await worker.ask("PUT", f"/v1/tokens/{'0' * 64}", enroller, json=body)
        assert is_problem(answer, 422, "invalid-request")
        assert await worker.entries("token") == []

    in_worker(sqlite_url, test)


@pytest.mark.parametrize("name", ["public_key", "account", "proof"])
def test_there_is_one_spelling_of_each_field(sqlite_url, name):
    """Base64url that decodes to the same bytes with another last sign is refused."""

    async def test(worker: Running) -> None:
        body = enrolment(ONE)
        signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        body[name] = body[name][:-1] + signs[signs.index(body[name][-1]) + 1]
        assert is_problem(await worker.ask("PUT", path_of(ONE), "any", json=body), 422, "invalid-request")

    in_worker(sqlite_url, test)


@pytest.mark.parametrize("scope", ["enrol", "read", "export", "review", "admin", None])
def test_each_request_needs_its_scope(sqlite_url, scope):
    """enrol for tokens and revocations, read for looking; 403 with any other, 401 without a token."""

    async def test(worker: Running) -> None:
        token = None if scope is None else await worker.operator(scope)
        await worker.enrol(ONE, await worker.give_token())
        body = {"account": text(ACCOUNT), "expires_at": LATER}
        for needed, method, path, options in [
            ("enrol", "PUT", f"/v1/tokens/{'0' * 64}", {"json": body}),
            ("enrol", "PUT", f"{path_of(ONE)}/revocation", {}),
            ("read", "GET", "/v1/devices", {}),
            ("read", "GET", path_of(ONE), {}),
        ]:
            answer = await worker.ask(method, path, token, **options)
            if scope == needed:
                assert answer.is_success
            else:
                assert is_problem(answer, *((401, "unauthorized") if scope is None else (403, "wrong-scope")))

    in_worker(sqlite_url, test)


def test_an_operators_token_is_no_devices_token(sqlite_url):
    """Not even one with every scope enrols a device."""

    async def test(worker: Running) -> None:
        token = await worker.operator("enrol", "read", "export", "review", "admin")
        assert is_problem(await worker.enrol(ONE, token), 401, "unauthorized")

    in_worker(sqlite_url, test)


def test_devices_are_listed_a_page_at_a_time(store_url):
    """Each once, by id, the revoked too; of one account alone if asked; what isn't a cursor is refused."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read", "enrol")
        accounts = {number: (ACCOUNT, OTHER_ACCOUNT)[number % 2] for number in range(1, 8)}
        for number, account in accounts.items():
            await worker.enrol(key_of(number), account=account)
        await worker.ask("PUT", f"{path_of(ONE)}/revocation", token)

        async def listed(**query) -> list[dict]:
            items: list[dict] = []
            while True:
                page = (await worker.ask("GET", "/v1/devices", token, params=query)).json()
                assert len(page["items"]) <= query["limit"]
                items += page["items"]
                if page["next"] is None:
                    return items
                query["cursor"] = page["next"]

        ids = {number: id_of(key_of(number)).hex() for number in accounts}
        for limit in (1, 3, 7, 100):
            assert [item["device_id"] for item in await listed(limit=limit)] == sorted(ids.values())
        own = await listed(limit=2, account=text(ACCOUNT))
        assert [item["device_id"] for item in own] == sorted(ids[number] for number in (2, 4, 6))
        one = (await worker.ask("GET", path_of(ONE), token)).json()
        assert one == {
            "device_id": ids[1],
            "public_key": text(ONE.public_key().public_bytes_raw()),
            "account": text(OTHER_ACCOUNT),
            "enrolled_at": int(NOW),
            "revoked_at": int(NOW),
        }
        assert one in await listed(limit=4)
        for query in ({"cursor": "x"}, {"cursor": "gWFh"}):
            answer = await worker.ask("GET", "/v1/devices", token, params=query)
            assert is_problem(answer, answer.status_code, "bad-cursor")
        for query in ({"limit": 0}, {"limit": 1_001}, {"account": "x"}):
            assert is_problem(await worker.ask("GET", "/v1/devices", token, params=query), 422, "invalid-request")

    in_worker(store_url, test, settings=OPEN)


def test_enrolments_of_an_address_are_limited_exactly(sqlite_url):
    """So many, then 429; from another address it goes on."""

    async def test(worker: Running) -> None:
        codes = [(await worker.enrol(ONE)).status_code for _ in range(5)]
        assert codes == [201, 200, 200, 429, 429]
        assert is_problem(await worker.enrol(TWO), 429, "too-many-requests")
        assert (await worker.enrol(TWO, address="2001:db8::1")).status_code == 201
        worker.clock.now += 20
        assert (await worker.enrol(THREE)).status_code == 201

    in_worker(sqlite_url, test, settings=replace(OPEN, address_rate=Rate(3, 60.0)))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_token_or_account_is_in_a_log_or_a_refusal(store_url, log_format):
    """Neither a token nor its hash, nor whom it is for, at the most talkative level."""
    written = io.StringIO()

    async def test(worker: Running) -> str:
        token, unknown = await worker.give_token(), "unknown-token-of-somebody"
        answers = [
            await worker.enrol(TWO, unknown),
            await worker.enrol(ONE, token),
            await worker.enrol(TWO, token),
            await worker.enrol(ONE, token, OTHER_ACCOUNT),
        ]
        assert [answer.status_code for answer in answers] == [401, 201, 401, 409]
        secrets = [token, hash_of(token).hex(), unknown, text(ACCOUNT), ACCOUNT.hex(), id_of(TWO).hex()]
        for secret in secrets:
            assert all(secret not in answer.text for answer in answers)
        return secrets

    with logging_to(written, log_format, level=logging.DEBUG):
        logging.getLogger("scanner.test").warning("written")
        secrets = in_worker(store_url, test)
    assert "written" in written.getvalue()
    for secret in secrets:
        assert secret not in written.getvalue()


def test_the_courier_enrols_over_a_real_connection(sqlite_url):
    """With its token, again without harm; without one, and with a used one, it is told so."""

    @asynccontextmanager
    async def lifespan(app):
        async with running(sqlite_url) as worker:
            app.state.service = worker.service
            yield

    token = in_worker(sqlite_url, lambda worker: worker.give_token())
    intake_key = INTAKE.public_key()
    with (
        serving(small_app(lifespan=lifespan)) as url,
        Courier(url, ONE, ACCOUNT, intake_key) as one,
        Courier(url, TWO, ACCOUNT, intake_key) as two,
    ):
        with pytest.raises(RefusedError, match="401: Enrolment needs a token"):
            one.enrol()
        one.enrol(token)
        one.enrol(token)
        with pytest.raises(RefusedError, match="401: Another device used the token"):
            two.enrol(token)

"""Operators' tokens: whose they are, what they open, and for how long."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
import logging
import threading
from pathlib import Path

import argon2
import pytest
from sqlalchemy import select, text, update

from scanner.errors import ArgumentError
from scanner.intake.authority import operators
from scanner.intake.authority.operators import (
    TOKEN,
    Operator,
    OperatorError,
    Scope,
    Verified,
    add_operator,
    operator_of,
    put_operator,
    revoke_operator,
)
from scanner.intake.operations.logs import logging_to
from scanner.intake.problems import ProblemError
from scanner.intake.settings import Rate
from scanner.intake.store.tables import OPERATORS
from tests.intake.authority.running import FREE, Clock, Running, in_worker, is_problem, running
from tests.intake.conftest import NOW

ADDRESS = "192.0.2.1"


@pytest.fixture
def verifications(monkeypatch) -> list[str]:
    """The hashes that argon2 verifies something against, in order."""
    seen: list[str] = []
    matches = operators._matches

    def watched(secret_hash: str, secret: str) -> bool:
        seen.append(secret_hash)
        return matches(secret_hash, secret)

    monkeypatch.setattr(operators, "_matches", watched)
    return seen


async def refusal(worker: Running, token: str, **options) -> tuple[int, str]:
    with pytest.raises(ProblemError) as refused:
        await operator_of(worker.service, token, **options)
    return int(refused.value.status), refused.value.name


def wrong(token: str) -> str:
    """The token with another last sign."""
    return token[:-1] + ("A" if token[-1] != "A" else "B")


def test_hashes_are_made_as_rfc_9106_says():
    """argon2id, 64 MiB, 3 passes, 4 lanes: the profile for machines with little memory (RFC 9106, section 4)."""
    hasher = argon2.PasswordHasher()
    assert (hasher.type, hasher.memory_cost, hasher.time_cost, hasher.parallelism) == (argon2.Type.ID, 65_536, 3, 4)
    assert "\nHASHER = PasswordHasher()\n" in Path(operators.__file__).read_text()


def test_an_operator_is_known_by_the_token_and_only_its_hash_is_stored(store_url):
    """The token has its form, and neither it nor its secret is in the database; the log has the hash's hash."""

    async def test(worker: Running) -> None:
        made, token = await add_operator(worker.service.writer, "one", [Scope.READ, Scope.ENROL], NOW)
        assert made == Operator(made.operator_id, "one", frozenset({Scope.READ, Scope.ENROL}))
        operator_id, secret = TOKEN.fullmatch(token).groups()
        assert operator_id == made.operator_id
        assert await operator_of(worker.service, token) == made
        async with worker.service.store.reading() as db:
            (row,) = (await db.execute(select(OPERATORS))).all()
        assert row.secret_hash.startswith("$argon2id$")
        assert secret not in str(row)
        assert (row.scopes, row.made_at, row.made_by, row.revoked_at) == ("enrol read", int(NOW), None, None)
        (entry,) = await worker.entries()
        assert (entry.kind, entry.at) == ("operator", int(NOW))
        assert entry.fields == {
            "operator": made.operator_id,
            "name": "one",
            "scopes": "enrol read",
            "secret": hashlib.sha256(row.secret_hash.encode()).digest(),
            "by": None,
        }

    in_worker(store_url, test)


@pytest.mark.parametrize("name", ["", "-x", " x", "x" * 65, "x\n", "é", "a/b", "a\0"], ids=repr)
def test_names_are_plain(sqlite_url, name):
    """What could steer a terminal or look like another name is none."""

    async def test(worker: Running) -> None:
        with pytest.raises(ArgumentError):
            await add_operator(worker.service.writer, name, [Scope.READ], NOW)
        assert await worker.entries() == []

    in_worker(sqlite_url, test)


def test_an_operator_without_a_scope_is_none(sqlite_url):
    """It could do nothing."""

    async def test(worker: Running) -> None:
        with pytest.raises(ArgumentError, match="enrol, read, export, review, admin"):
            await add_operator(worker.service.writer, "one", [], NOW)

    in_worker(sqlite_url, test)


def test_the_same_operator_again_is_no_error_and_another_is(store_url):
    """By id: the same is there already, without its token; another name or other scopes are refused."""

    async def test(worker: Running) -> None:
        writer = worker.service.writer
        made, token = await put_operator(writer, "a" * 32, "one", [Scope.READ], NOW)
        assert token is not None
        assert await put_operator(writer, "a" * 32, "one", [Scope.READ], NOW) == (made, None)
        for operator_id, name, scopes, problem in [
            ("a" * 32, "two", [Scope.READ], "other-operator"),
            ("a" * 32, "one", [Scope.READ, Scope.ENROL], "other-operator"),
            ("b" * 32, "one", [Scope.READ], "name-taken"),
        ]:
            with pytest.raises(OperatorError) as refused:
                await put_operator(writer, operator_id, name, scopes, NOW)
            assert refused.value.problem == problem
        assert len(await worker.entries("operator")) == 1
        assert await operator_of(worker.service, token) == made

    in_worker(store_url, test)


def test_whoever_is_unknown_wrong_or_revoked_has_a_hash_verified(store_url, verifications):
    """Each refusal costs one verification with the same parameters, so that time tells none from another."""

    async def test(worker: Running) -> None:
        token, revoked = await worker.operator("read"), await worker.operator("read")
        await revoke_operator(worker.service.writer, revoked[8:40], NOW)
        for guess in (f"prescan_{'0' * 32}_{token[41:]}", wrong(token), revoked, wrong(revoked)):
            verifications.clear()
            assert await refusal(worker, guess) == (401, "unauthorized")
            assert len(verifications) == 1
            assert argon2.extract_parameters(verifications[0]) == argon2.extract_parameters(
                operators.HASHER.hash("any")
            )

    in_worker(store_url, test)


@pytest.mark.parametrize("token", ["", "prescan", "x" * 10_000, f"prescan_{'0' * 32}_{'A' * 42}", "prescan_é_\ud800"])
def test_what_is_no_token_opens_nothing(sqlite_url, verifications, token):
    """Nor does it cost a verification."""

    async def test(worker: Running) -> None:
        assert await refusal(worker, token, address=ADDRESS) == (401, "unauthorized")
        assert verifications == []

    in_worker(sqlite_url, test)


def test_a_token_is_verified_once_in_a_while(sqlite_url, verifications):
    """Not for each request; again after its time; a wrong one each time."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        for _ in range(3):
            await operator_of(worker.service, token)
        assert len(verifications) == 1
        worker.clock.now += operators.KNOWN_SECONDS - 1
        await operator_of(worker.service, token)
        assert len(verifications) == 1
        worker.clock.now += 1
        await operator_of(worker.service, token)
        assert len(verifications) == 2
        for _ in range(3):
            await refusal(worker, wrong(token))
        assert len(verifications) == 5

    in_worker(sqlite_url, test)


def test_many_requests_at_once_with_one_token_cost_few_verifications(sqlite_url, verifications, monkeypatch):
    """Those that waited for a turn find it verified."""
    gate, watched = threading.Event(), operators._matches
    monkeypatch.setattr(operators, "_matches", lambda *given: gate.wait(20) and watched(*given))

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        tasks = [asyncio.create_task(operator_of(worker.service, token)) for _ in range(20)]
        while worker.service.verified._waiting < 20 - operators.AT_ONCE:
            await asyncio.sleep(0.001)
        gate.set()
        assert len(set(await asyncio.gather(*tasks))) == 1
        assert len(verifications) == operators.AT_ONCE

    in_worker(sqlite_url, test)


def test_what_nobody_has_is_never_right(monkeypatch):
    """Not even the secret of the hash that stands in for operators who aren't there."""
    monkeypatch.setattr(operators, "_matches", lambda _hash, _secret: True)

    async def test() -> None:
        verified = Verified(Clock())
        assert not await verified.verify("one", None, "secret")
        assert not verified.knows("one", verified._nobodys, "secret")

    asyncio.run(test())


def test_few_are_remembered():
    """The one verified first makes room."""

    async def test() -> None:
        verified = Verified(Clock(), most=2)
        secret_hash = operators.HASHER.hash("secret")
        for operator_id in ("one", "two", "three"):
            assert await verified.verify(operator_id, secret_hash, "secret")
        known = [verified.knows(operator_id, secret_hash, "secret") for operator_id in ("one", "two", "three")]
        assert known == [False, True, True]
        assert not verified.knows("three", operators.HASHER.hash("secret"), "secret")
        assert not verified.knows("three", secret_hash, "secrets")

    asyncio.run(test())


def test_a_revocation_holds_at_once_at_every_worker(store_url):
    """Though each has the token in its memory."""

    async def test(first: Running) -> None:
        async with running(store_url) as second:
            made, token = await add_operator(first.service.writer, "one", [Scope.READ], NOW)
            for worker in (first, second):
                assert (await worker.ask("GET", "/only/read", token)).status_code == 200
            await revoke_operator(first.service.writer, made.operator_id, NOW + 5, by="b" * 32)
            await revoke_operator(second.service.writer, made.operator_id, NOW + 6)
            for worker in (first, second):
                assert is_problem(await worker.ask("GET", "/only/read", token), 401, "unauthorized")
            (entry,) = await first.entries("operator-revoked")
            assert (entry.at, entry.fields) == (int(NOW) + 5, {"operator": made.operator_id, "by": "b" * 32})

    in_worker(store_url, test)


def test_a_revocation_while_argon2_runs_holds(sqlite_url, monkeypatch):
    """The row is read again after the token was verified."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        loop, matches = asyncio.get_running_loop(), operators._matches

        def slow(secret_hash: str, secret: str) -> bool:
            revoking = revoke_operator(worker.service.writer, token[8:40], NOW)
            asyncio.run_coroutine_threadsafe(revoking, loop).result(20)
            return matches(secret_hash, secret)

        monkeypatch.setattr(operators, "_matches", slow)
        assert await refusal(worker, token) == (401, "unauthorized")

    in_worker(sqlite_url, test)


def test_a_changed_hash_is_not_remembered(store_url):
    """Memory is of a secret for one hash: another hash in the row ends it."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        await operator_of(worker.service, token)
        async with worker.service.store.writing() as db:
            await db.execute(update(OPERATORS).values(secret_hash=operators.HASHER.hash("another")))
        assert await refusal(worker, token) == (401, "unauthorized")

    in_worker(store_url, test)


def test_the_last_admin_stays(store_url):
    """Of two who are revoked at the same time one remains; who isn't an admin may always go."""

    async def test(worker: Running) -> None:
        writer = worker.service.writer
        made = [(await add_operator(writer, name, [Scope.ADMIN, Scope.READ], NOW))[0].operator_id for name in "ab"]
        reader, _ = await add_operator(writer, "reader", [Scope.READ], NOW)
        came = await asyncio.gather(
            *(revoke_operator(writer, operator_id, NOW) for operator_id in made), return_exceptions=True
        )
        (refused,) = [each for each in came if each is not None]
        assert isinstance(refused, OperatorError)
        assert refused.problem == "last-admin"
        await revoke_operator(writer, reader.operator_id, NOW)
        with pytest.raises(OperatorError, match="no operator"):
            await revoke_operator(writer, "0" * 32, NOW)
        assert len(await worker.entries("operator-revoked")) == 2

    in_worker(store_url, test)


SCOPES = [scope.value for scope in Scope]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_scope_opens_what_it_names_and_nothing_else(sqlite_url, scope):
    """403 for each of the four others, the scope admin included; all four others together don't open it either."""

    async def test(worker: Running) -> None:
        token = await worker.operator(scope)
        others = await worker.operator(*(other for other in SCOPES if other != scope))
        for other in SCOPES:
            answer = await worker.ask("GET", f"/only/{other}", token)
            if other == scope:
                assert answer.status_code == 200
            else:
                assert is_problem(answer, 403, "wrong-scope")
        assert is_problem(await worker.ask("GET", f"/only/{scope}", others), 403, "wrong-scope")

    in_worker(sqlite_url, test)


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {}x", "Bearer  x {}"]
)
def test_only_a_bearer_token_opens(sqlite_url, authorization):
    """401 for everything else in its place."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        headers = {} if authorization is None else {"Authorization": authorization.format(token)}
        assert is_problem(await worker.ask("GET", "/only/read", headers=headers), 401, "unauthorized")

    in_worker(sqlite_url, test)


def test_failed_logins_are_limited_by_address_alone(store_url):
    """Exactly so many wrong tokens; then even a right one waits, unless it is remembered; other addresses don't."""

    async def test(worker: Running) -> None:
        token, other = await worker.operator("read"), await worker.operator("read")
        for _ in range(20):
            assert (await worker.ask("GET", "/only/read", token)).status_code == 200
            assert (await worker.ask("GET", "/only/read")).status_code == 401
        guesses = [wrong(token), "prescan", f"prescan_{'0' * 32}_{'A' * 43}"]
        for guess in guesses:
            assert is_problem(await worker.ask("GET", "/only/read", guess), 401, "unauthorized")
        for guess in (*guesses, other):
            refused = await worker.ask("GET", "/only/read", guess)
            assert is_problem(refused, 429, "too-many-requests")
            assert refused.headers["Retry-After"] == "100"
        assert (await worker.ask("GET", "/only/read", token)).status_code == 200
        assert (await worker.ask("GET", "/only/read", other, address="192.0.2.2")).status_code == 200
        worker.clock.now += 100
        assert is_problem(await worker.ask("GET", "/only/read", wrong(token)), 401, "unauthorized")
        assert is_problem(await worker.ask("GET", "/only/read", wrong(token)), 429, "too-many-requests")

    in_worker(store_url, test, settings=dataclasses.replace(FREE, login_rate=Rate(3, 300.0)))


def test_guesses_at_once_are_counted_exactly(sqlite_url, verifications):
    """No more are verified than may fail, however many come together."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        asked = [worker.ask("GET", "/only/read", wrong(token)) for _ in range(20)]
        codes = [answer.status_code for answer in await asyncio.gather(*asked)]
        assert (codes.count(401), codes.count(429)) == (3, 17)
        assert len(verifications) == 3

    in_worker(sqlite_url, test, settings=dataclasses.replace(FREE, login_rate=Rate(3, 300.0)))


def test_an_address_is_limited_whoever_asks(sqlite_url):
    """The rate of an address counts each request of operators, exactly."""

    async def test(worker: Running) -> None:
        token = await worker.operator("read")
        codes = [(await worker.ask("GET", "/only/read", token)).status_code for _ in range(6)]
        assert codes == [200] * 4 + [429] * 2
        refused = await worker.ask("GET", "/only/read")
        assert is_problem(refused, 429, "too-many-requests")
        assert refused.headers["Retry-After"] == "15"
        assert (await worker.ask("GET", "/only/read", token, address="192.0.2.2")).status_code == 200

    in_worker(sqlite_url, test, settings=dataclasses.replace(FREE, address_rate=Rate(4, 60.0)))


def test_two_are_verified_at_once_and_few_wait(sqlite_url, monkeypatch):
    """argon2 never runs in more threads, even when those who asked go away; who finds a long queue gets 503."""
    going, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    def slow(_secret_hash: str, _secret: str) -> bool:
        nonlocal going, most
        with lock:
            going += 1
            most = max(most, going)
        gate.wait(20)
        with lock:
            going -= 1
        return False

    monkeypatch.setattr(operators, "_matches", slow)

    async def test(worker: Running) -> None:
        token = f"prescan_{'0' * 32}_{'A' * 43}"
        gone = [asyncio.create_task(operator_of(worker.service, token)) for _ in range(2)]
        while going < 2:
            await asyncio.sleep(0.001)
        for task in gone:
            task.cancel()
        await asyncio.wait(gone)
        room = operators.AT_ONCE + operators.MOST_WAITING
        asked = [asyncio.create_task(worker.ask("GET", "/only/read", token)) for _ in range(room)]
        while worker.service.verified._waiting < operators.MOST_WAITING:
            await asyncio.sleep(0.001)
        assert is_problem(await worker.ask("GET", "/only/read", token), 503, "busy")
        gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*asked)} == {401}
        assert most == operators.AT_ONCE

    in_worker(sqlite_url, test)


def test_who_guessed_too_often_does_not_wait_for_a_turn(sqlite_url, monkeypatch):
    """429 at once, while argon2 is busy with others."""
    gate = threading.Event()
    monkeypatch.setattr(operators, "_matches", lambda _hash, _secret: not gate.wait(20))

    async def test(worker: Running) -> None:
        token = f"prescan_{'0' * 32}_{'A' * 43}"
        worker.service.limits.check("login", ADDRESS)
        busy = [
            asyncio.create_task(worker.ask("GET", "/only/read", token, address=f"192.0.2.{number}"))
            for number in range(2, 2 + operators.AT_ONCE)
        ]
        while not worker.service.verified._turns.locked():
            await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            refused = await worker.ask("GET", "/only/read", token, address=ADDRESS)
        assert is_problem(refused, 429, "too-many-requests")
        gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*busy)} == {401}

    in_worker(sqlite_url, test, settings=dataclasses.replace(FREE, login_rate=Rate(1, 300.0)))


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_token_is_in_a_log_or_an_answer(store_url, log_format):
    """Neither right nor wrong ones nor their hashes, whatever goes wrong, at the most talkative level."""
    written = io.StringIO()

    async def test(worker: Running) -> list[str]:
        token = await worker.operator("read")
        answers = [
            await worker.ask("GET", "/only/read", token),
            await worker.ask("GET", "/only/admin", token),
            await worker.ask("GET", "/only/read", wrong(token)),
            await worker.ask("GET", "/only/read", token + "x"),
        ]
        async with worker.service.store.writing() as db:
            await db.execute(text("ALTER TABLE operators RENAME TO elsewhere"))
        answers.append(await worker.ask("GET", "/only/read", token))
        assert [answer.status_code for answer in answers] == [200, 403, 401, 401, 503]
        assert all(token[41:61] not in answer.text for answer in answers)
        logging.getLogger("scanner.test").debug("the end of %s", token)
        return [token[41:61], "argon2id"]

    with logging_to(written, log_format, level=logging.DEBUG):
        secrets = in_worker(store_url, test)
    assert "the end of (withheld)" in written.getvalue()
    assert "storage failed" in written.getvalue()
    for secret in secrets:
        assert secret not in written.getvalue()

"""Sessions of the console: how they begin, last and end, on both databases."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from scanner.intake.authority import sessions
from scanner.intake.authority.operators import operator_of, revoke_operator
from scanner.intake.authority.sessions import LONGEST_SECONDS, log_in, log_out, session_of
from scanner.intake.problems import ProblemError
from scanner.intake.settings import Rate
from scanner.intake.store.tables import SESSIONS
from tests.intake.authority.running import FREE, Running, in_worker, running
from tests.intake.conftest import NOW

ADDRESS = "192.0.2.1"
IDLE = int(FREE.session_seconds)


async def rows_of(worker: Running) -> list:
    async with worker.service.store.reading() as db:
        return list((await db.execute(select(SESSIONS))).all())


def test_a_login_gives_a_cookie_and_only_its_hash_is_stored(store_url):
    """Another cookie each time, of 32 random bytes; the log has the login with the session's hash."""

    async def test(worker: Running) -> None:
        token = await worker.operator("review")
        first, operator = await log_in(worker.service, token, ADDRESS)
        second, _ = await log_in(worker.service, token, ADDRESS)
        assert len({first, second, token}) == 3
        assert len(first) == len(second) == 43
        assert await session_of(worker.service, first) == operator == await operator_of(worker.service, token)
        hashes = [hashlib.sha256(cookie.encode()).digest() for cookie in (first, second)]
        rows = await rows_of(worker)
        assert sorted(row.session_hash for row in rows) == sorted(hashes)
        assert {row[1:] for row in rows} == {(operator.operator_id, int(NOW), int(NOW) + IDLE, None)}
        assert [entry.fields for entry in await worker.entries("login")] == [
            {"operator": operator.operator_id, "session": session} for session in hashes
        ]

    in_worker(store_url, test)


def test_a_logout_ends_that_session_alone_and_is_logged_once(store_url):
    """On every worker; again, or of a session that is none, it does nothing."""

    async def test(first: Running) -> None:
        async with running(store_url) as second:
            token = await first.operator("review")
            one, operator = await log_in(first.service, token, ADDRESS)
            two, _ = await log_in(second.service, token, ADDRESS)
            for _ in range(2):
                await log_out(second.service, one)
            await log_out(first.service, "A" * 43)
            await log_out(first.service, "\ud800")
            for worker in (first, second):
                assert await session_of(worker.service, one) is None
                assert await session_of(worker.service, two) == operator
            (entry,) = await first.entries("logout")
            session = hashlib.sha256(one.encode()).digest()
            assert entry.fields == {"operator": operator.operator_id, "session": session}

    in_worker(store_url, test)


def test_a_session_ends_when_it_is_unused(store_url):
    """To the second, counted from the last request."""

    async def test(worker: Running) -> None:
        cookie, operator = await log_in(worker.service, await worker.operator("review"), ADDRESS)
        for _ in range(3):
            worker.clock.now += IDLE - 1
            assert await session_of(worker.service, cookie) == operator
        worker.clock.now += IDLE
        assert await session_of(worker.service, cookie) is None
        worker.clock.now -= 1
        assert await session_of(worker.service, cookie) == operator

    in_worker(store_url, test)


def test_a_session_ends_in_any_case(store_url):
    """After eight hours, however busily it is used."""

    async def test(worker: Running) -> None:
        cookie, operator = await log_in(worker.service, await worker.operator("review"), ADDRESS)
        for passed in range(0, LONGEST_SECONDS, IDLE // 2):
            worker.clock.now = NOW + passed
            assert await session_of(worker.service, cookie) == operator
        worker.clock.now = NOW + LONGEST_SECONDS - 1
        assert await session_of(worker.service, cookie) == operator
        worker.clock.now = NOW + LONGEST_SECONDS
        assert await session_of(worker.service, cookie) is None
        (row,) = await rows_of(worker)
        assert row.expires_at == int(NOW) + LONGEST_SECONDS

    in_worker(store_url, test)


def test_a_later_expiry_in_the_row_makes_no_session_longer(store_url):
    """The audit log doesn't say when a session expires, but it says when it began: that counts."""

    async def test(worker: Running) -> None:
        cookie, _ = await log_in(worker.service, await worker.operator("review"), ADDRESS)
        async with worker.service.store.writing() as db:
            await db.execute(update(SESSIONS).values(expires_at=2**40))
        worker.clock.now += LONGEST_SECONDS
        assert await session_of(worker.service, cookie) is None

    in_worker(store_url, test)


def test_requests_close_together_write_nothing(sqlite_url):
    """They don't wait for whoever writes."""

    async def test(worker: Running) -> None:
        cookie, operator = await log_in(worker.service, await worker.operator("review"), ADDRESS)
        worker.clock.now += IDLE // 15 - 1
        async with worker.service.writer.change(NOW):
            assert await session_of(worker.service, cookie) == operator
        (row,) = await rows_of(worker)
        assert row.expires_at == int(NOW) + IDLE

    in_worker(sqlite_url, test)


def test_a_session_ends_with_its_operator(store_url):
    """At once, on every worker."""

    async def test(first: Running) -> None:
        async with running(store_url) as second:
            cookie, operator = await log_in(first.service, await first.operator("review"), ADDRESS)
            assert await session_of(second.service, cookie) == operator
            await revoke_operator(first.service.writer, operator.operator_id, NOW)
            for worker in (first, second):
                assert await session_of(worker.service, cookie) is None

    in_worker(store_url, test)


def test_an_operator_revoked_while_logging_in_gets_no_session(store_url, monkeypatch):
    """It is looked up once more in the change that begins the session."""

    async def test(worker: Running) -> None:
        token = await worker.operator("review")

        async def slow(*arguments, **options):
            operator = await operator_of(*arguments, **options)
            await revoke_operator(worker.service.writer, operator.operator_id, NOW)
            return operator

        monkeypatch.setattr(sessions, "operator_of", slow)
        with pytest.raises(ProblemError) as refused:
            await log_in(worker.service, token, ADDRESS)
        assert (int(refused.value.status), refused.value.name) == (401, "unauthorized")
        assert await rows_of(worker) == []
        assert await worker.entries("login") == []

    in_worker(store_url, test)


@pytest.mark.parametrize("cookie", ["", "A" * 42, "A" * 43, "A" * 44, "é" * 43, "\ud800" * 43, "A" * 42 + "\n"])
def test_what_is_no_cookie_is_no_session(sqlite_url, cookie):
    """Whatever a browser sends."""

    async def test(worker: Running) -> None:
        await log_in(worker.service, await worker.operator("review"), ADDRESS)
        assert await session_of(worker.service, cookie) is None

    in_worker(sqlite_url, test)


def test_failed_logins_are_limited_exactly(sqlite_url):
    """So many from an address, however many come together; a right one in between counts for nothing."""

    async def test(worker: Running) -> None:
        token = await worker.operator("review")
        wrong = f"prescan_{token[8:40]}_{'A' * 43}"
        for _ in range(5):
            await log_in(worker.service, token, ADDRESS)
        tried = await asyncio.gather(
            *(log_in(worker.service, wrong, ADDRESS) for _ in range(9)), return_exceptions=True
        )
        statuses = [int(refused.status) for refused in tried]
        assert (statuses.count(401), statuses.count(429)) == (4, 5)
        await log_in(worker.service, token, "192.0.2.2")

    in_worker(sqlite_url, test, settings=replace(FREE, login_rate=Rate(4, 300.0)))

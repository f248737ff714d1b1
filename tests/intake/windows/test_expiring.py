"""Expiry: to the second, a piece a change, provable by the log, and never of what a case is about."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.audit.entries import Entry
from scanner.intake.settings import DAY, Settings
from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import (
    CASE_MATCHES,
    CASES,
    EXPORTED_WINDOWS,
    HOOK_MESSAGES,
    HOOKS,
    LOG_ENTRIES,
    OPENINGS,
    WINDOWS,
)
from scanner.intake.windows import expiring
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.counting import count_all
from scanner.intake.windows.expiring import expire, first_kept, is_over
from scanner.intake.windows.exporting import make_export
from scanner.intake.windows.moving import move
from scanner.intake.windows.openings import report_opening
from scanner.vouchers.header import WINDOW_SECONDS
from tests.intake.conftest import open_writer
from tests.intake.windows.places import ACCOUNTS, IDS, NOW, WINDOW, arrive, counts, enrol, message_at, rows, states
from tests.intake.windows.test_openings import below, opened
from tests.policies import ACCOUNT, OTHER_ACCOUNT

SETTINGS = Settings()
OVER = (WINDOW + 1) * WINDOW_SECONDS + int(SETTINGS.grace)
PLACES = [(device, window, slot) for slot in range(4) for device in IDS for window in (WINDOW, WINDOW + 1)]


async def logged(writer, kind: str = "expiry") -> list[dict]:
    return [Entry.from_bytes(row.body).fields for row in await rows(writer.store, LOG_ENTRIES, kind=kind)]


async def close(writer, at: int = NOW) -> None:
    """Decide every case."""
    async with writer.change(at) as change:
        for account, window in await change.db.execute(sa.select(CASES.c.account, CASES.c.window_number)):
            await move(change, Step.CLOSE, account, window)
        await change.db.execute(sa.update(CASES).values(state="closed", closed_at=at, outcome="dismiss"))


@given(st.integers(0, 2**32 - 1), st.integers(1, 3_650).map(lambda days: days * DAY) | st.floats(DAY, 3_650 * DAY))
def test_a_window_is_over_when_its_end_and_grace_have_passed(window, grace):
    """To the second."""
    settings = Settings(grace=grace)
    end = (window + 1) * WINDOW_SECONDS + grace
    assert is_over(window, settings, end + 1)
    assert not is_over(window, settings, end - 1)
    assert is_over(window, settings, end) or grace % 1
    assert first_kept(settings, end + 1) == window + 1
    assert first_kept(settings, 0) == 0


def test_a_window_is_deleted_at_the_second_and_the_log_says_what(store_url):
    """The digest is of the vouchers' digests in the order of their receipts; the next window stays."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await count_all(writer, NOW)
            size = len(await rows(writer.store, LOG_ENTRIES))
            assert await expire(writer, SETTINGS, OVER - 1) == 0
            assert len(await rows(writer.store, LOG_ENTRIES)) == size
            assert await expire(writer, SETTINGS, OVER) == 12
            assert await expire(writer, SETTINGS, OVER) == 0
            assert set(await states(writer.store)) == {place for place in PLACES if place[1] == WINDOW + 1}
            assert set(await counts(writer.store)) == {(ACCOUNT, WINDOW + 1), (OTHER_ACCOUNT, WINDOW + 1)}
            for entry in await logged(writer):
                gone = [place for place in PLACES if place[1] == WINDOW and ACCOUNTS[place[0]] == entry["account"]]
                digests = b"".join(hashlib.sha256(message_at(place)).digest() for place in gone)
                assert entry["digest"] == hashlib.sha256(digests).digest()
                assert (entry["window"], entry["vouchers"]) == (WINDOW, len(gone))
            assert len(await logged(writer)) == 2

    asyncio.run(run())


@pytest.mark.parametrize("piece", [1, 3, 7, 12, 13])
def test_a_change_deletes_no_more_than_a_piece(store_url, monkeypatch, piece):
    """All pieces together are the window; so many changes are made and no more at a time."""

    async def run() -> None:
        monkeypatch.setattr(expiring, "PIECE", piece)
        monkeypatch.setattr(expiring, "ROUNDS", 2)
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await count_all(writer, NOW)
            total = 0
            for _ in range(20):
                number = await expire(writer, SETTINGS, OVER)
                assert number <= 2 * piece
                total += number
            assert total == 12
            told = await logged(writer)
            assert max(entry["vouchers"] for entry in told) <= piece
            assert sum(entry["vouchers"] for entry in told) == 12
            assert {window for _, window in await counts(writer.store)} == {WINDOW + 1}
            digests = iter(hashlib.sha256(message_at(place)).digest() for place in PLACES
                           if place[1] == WINDOW and ACCOUNTS[place[0]] == ACCOUNT)  # fmt: skip
            for entry in told:
                if entry["account"] == ACCOUNT:
                    part = b"".join(next(digests) for _ in range(entry["vouchers"]))
                    assert entry["digest"] == hashlib.sha256(part).digest()

    asyncio.run(run())


def test_a_window_with_a_case_stays_until_the_case_is_over(store_url):
    """Open however long; closed for as long as is set, to the second; then nothing of it is left but the log."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await make_export(writer, SETTINGS, NOW, Wanted(f"{1:032x}"))
            async with writer.change(NOW) as change:
                await report_opening(change, f"{2:032x}", opened(ACCOUNT, 4))
                await report_opening(change, f"{3:032x}", below(OTHER_ACCOUNT, 8))
            years = OVER + 40 * WINDOW_SECONDS
            assert await expire(writer, SETTINGS, years) == len(PLACES) - 4
            assert [row.account for row in await rows(writer.store, OPENINGS)] == [ACCOUNT]
            assert [row.account for row in await rows(writer.store, EXPORTED_WINDOWS)] == [ACCOUNT]
            await close(writer, years)
            ends = years + int(SETTINGS.case_retention)
            assert await expire(writer, SETTINGS, ends - 1) == 0
            assert set((await states(writer.store)).values()) == {"closed"}
            assert await expire(writer, SETTINGS, ends) == 4
            for table in (CASES, CASE_MATCHES, OPENINGS, EXPORTED_WINDOWS, WINDOWS):
                assert await rows(writer.store, table) == []
            assert await states(writer.store) == {}
            assert len(await logged(writer, "case-expiry")) == 1

    asyncio.run(run())


def test_late_vouchers_outlive_a_case_that_did_not_hold_them(store_url):
    """A case may be over before its window is: what came after it stays, is counted right, and is exported anew."""
    quick = Settings(case_retention=DAY)
    late = [(IDS[1], WINDOW, 40), (IDS[1], WINDOW, 41)]

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await make_export(writer, quick, NOW, Wanted(f"{1:032x}"))
            async with writer.change(NOW) as change:
                await report_opening(change, f"{2:032x}", opened(ACCOUNT, 4))
            await close(writer)
            await arrive(writer, late[:1])
            await count_all(writer, NOW)
            await arrive(writer, late[1:])
            assert await expire(writer, quick, NOW + DAY) == 4
            assert (await counts(writer.store))[ACCOUNT, WINDOW] == 1
            left = {place: state for place, state in (await states(writer.store)).items() if state != "exported"}
            assert left == {late[0]: "counted", late[1]: "received"}
            export, _ = await make_export(writer, quick, NOW + DAY, Wanted(f"{5:032x}"))
            assert (export.windows, export.vouchers) == (1, 2)

    asyncio.run(run())


def test_a_failure_midway_deletes_nothing_and_the_next_try_goes_on(store_url, monkeypatch):
    """Vouchers and the log stay as they were before the piece."""

    async def run() -> None:
        monkeypatch.setattr(expiring, "PIECE", 5)
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await count_all(writer, NOW)
            real, calls = expiring.tell, iter(range(10))

            async def broken(*arguments) -> None:
                if next(calls) == 1:
                    raise ZeroDivisionError
                await real(*arguments)

            monkeypatch.setattr(expiring, "tell", broken)
            with pytest.raises(ZeroDivisionError):
                await expire(writer, SETTINGS, OVER)
            assert len(await states(writer.store)) == len(PLACES) - 5
            assert sum(entry["vouchers"] for entry in await logged(writer)) == 5
            assert await expire(writer, SETTINGS, OVER) == 7
            assert len(await states(writer.store)) == 12

    asyncio.run(run())


def test_workers_that_expire_at_once_log_each_voucher_once(store_url, monkeypatch):
    """Whoever comes second finds nothing left."""

    async def run() -> None:
        monkeypatch.setattr(expiring, "PIECE", 2)
        async with open_writer(store_url) as one, open_writer(store_url) as two:
            await enrol(one)
            await arrive(one, PLACES)
            await count_all(one, NOW)
            deleted = await asyncio.gather(*(expire(writer, SETTINGS, OVER) for writer in (one, two, one)))
            assert sum(deleted) == 12
            assert sum(entry["vouchers"] for entry in await logged(one)) == 12

    asyncio.run(run())


def test_webhooks_are_told_how_much_was_deleted(store_url):
    """Counts only."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            await count_all(writer, NOW)
            async with writer.change(NOW) as change:
                hook = {"hook_id": "h", "url": "https://x", "events": "window.expired", "made_by": "m", "made_at": 0}
                await change.db.execute(sa.insert(HOOKS).values(hook))
            await expire(writer, SETTINGS, OVER)
            (message,) = await rows(writer.store, HOOK_MESSAGES)
            assert json.loads(message.body)["data"] == {"windows": 2, "vouchers": 12}

    asyncio.run(run())

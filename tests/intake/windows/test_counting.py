"""Counting: every voucher once, in order, a few a change, by however many workers."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import sqlalchemy as sa

from scanner.intake.store.lifecycle import Step
from scanner.intake.store.tables import LOG_HEAD, VOUCHERS, WINDOWS
from scanner.intake.windows import counting
from scanner.intake.windows.counting import count, count_all, first_uncounted
from scanner.intake.windows.moving import move
from tests.intake.conftest import open_writer
from tests.intake.windows.places import ACCOUNTS, IDS, NOW, WINDOW, arrive, counts, enrol, rows, states
from tests.policies import ACCOUNT, OTHER_ACCOUNT

PLACES = list(itertools.product(IDS, (WINDOW, WINDOW - 1), range(41)))


def expected(places) -> dict[tuple[bytes, int], int]:
    totals: dict[tuple[bytes, int], int] = {}
    for device, window, _ in places:
        totals[ACCOUNTS[device], window] = totals.get((ACCOUNTS[device], window), 0) + 1
    return totals


def test_each_voucher_is_counted_once_at_most_a_hundred_a_change(store_url):
    """The first that came first; then there is nothing more to count, and no change is made for it."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            assert await count(writer, NOW) == 0
            await arrive(writer, PLACES)
            sizes = []
            while number := await count(writer, NOW):
                sizes.append(number)
                done = sum(sizes)
                assert await counts(writer.store) == expected(PLACES[:done])
                async with writer.store.reading() as db:
                    assert await first_uncounted(db) == (done if done < len(PLACES) else None)
            assert sizes == [100, 100, 46]
            assert set((await states(writer.store)).values()) == {"counted"}
            assert (await rows(writer.store, LOG_HEAD))[0].size == len(PLACES)

    asyncio.run(run())


def test_late_vouchers_are_added(store_url):
    """The count goes up and says when it last did, also when a clock is behind."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            for slot, at, told in ((0, NOW, NOW), (1, NOW + 5, NOW + 5), (2, NOW - 5, NOW + 5)):
                await arrive(writer, [(IDS[1], WINDOW, slot)])
                assert await count(writer, at + 0.9) == 1
                (row,) = await rows(writer.store, WINDOWS)
                assert tuple(row) == (ACCOUNT, WINDOW, slot + 1, told)

    asyncio.run(run())


def test_workers_that_count_at_once_count_each_voucher_once(store_url):
    """While more arrive."""

    async def run() -> None:
        async with open_writer(store_url) as one, open_writer(store_url) as two:
            await enrol(one)
            await arrive(one, PLACES[:200])

            async def until_done(writer) -> int:
                total = 0
                while number := await count(writer, NOW):
                    total += number
                return total

            done = await asyncio.gather(until_done(one), arrive(two, PLACES[200:]), until_done(two), until_done(one))
            left = await count(one, NOW)
            assert sum(number or 0 for number in done) + left == len(PLACES)
            assert await counts(one.store) == expected(PLACES)

    asyncio.run(run())


def test_a_failure_midway_counts_nothing(store_url, monkeypatch):
    """Vouchers and windows are as they were, and the next try counts them."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES[:50])
            with monkeypatch.context() as broken:
                broken.setattr(counting, "target", lambda _: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    await count(writer, NOW)
            assert await counts(writer.store) == {}
            assert set((await states(writer.store)).values()) == {"received"}
            assert await count(writer, NOW) == 50

    asyncio.run(run())


def test_counting_all_ends_though_vouchers_keep_coming(store_url, monkeypatch):
    """What was there at its beginning is counted."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES[:150])
            more = iter(range(150, len(PLACES), 10))
            real = counting.count

            async def counted_while_more_come(writer, at) -> int:
                start = next(more)
                await arrive(writer, PLACES[start : start + 10])
                return await real(writer, at)

            monkeypatch.setattr(counting, "count", counted_while_more_come)
            await count_all(writer, NOW)
            await count_all(writer, NOW)
            assert sum((await counts(writer.store)).values()) >= 170
            assert next(more) < len(PLACES)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["sqlite"])
def test_only_received_vouchers_are_looked_at(sqlite_url, kind):
    """By the index that has no others, however many are stored."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer, writer.store.reading() as db:
            for query in (
                sa.select(sa.func.min(VOUCHERS.c.position)).where(counting._RECEIVED),
                sa.update(VOUCHERS).where(counting._RECEIVED, VOUCHERS.c.position.in_([1, 2])).values(state="counted"),
            ):
                text = str(query.compile(db.engine.sync_engine, compile_kwargs={"literal_binds": True}))
                plan = (await db.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")).all()
                assert "ix_vouchers_received" in str(plan)

    asyncio.run(run())


def test_a_step_moves_one_accounts_window_and_only_from_its_states(store_url):
    """All devices of the account; whoever is in another state, window or account stays."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            await arrive(writer, PLACES)
            async with writer.change(NOW) as change:
                assert await move(change, Step.EXPORT, OTHER_ACCOUNT, WINDOW) == 0
                assert await move(change, Step.COUNT, OTHER_ACCOUNT, WINDOW) == 82
                assert await move(change, Step.COUNT, OTHER_ACCOUNT, WINDOW) == 0
                for step in (Step.EXPORT, Step.OPEN):
                    assert await move(change, step, OTHER_ACCOUNT, WINDOW) == 82
                assert await move(change, Step.EXPIRE, OTHER_ACCOUNT, WINDOW) == 0
                assert await move(change, Step.EXPIRE, ACCOUNT, WINDOW) == 41
            there = await states(writer.store)
            assert len(there) == len(PLACES) - 41
            moved = {place for place, state in there.items() if state == "opened"}
            assert moved == {place for place in PLACES if ACCOUNTS[place[0]] == OTHER_ACCOUNT and place[1] == WINDOW}
            assert {there[place] for place in there.keys() - moved} == {"received"}

    asyncio.run(run())

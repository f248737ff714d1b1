"""Groups of vouchers, on both databases: each is stored once, and nothing is half there."""

from __future__ import annotations

import asyncio
import hashlib

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select, update

from scanner.errors import StorageError
from scanner.intake.audit.entries import Entry
from scanner.intake.audit.merkle import Frontier, leaf_hash, root_of
from scanner.intake.store.commits import BusyError, committing
from scanner.intake.store.receiving import Came, Received, receive
from scanner.intake.store.tables import DEVICES, LOG_ENTRIES, LOG_HEAD, LOG_TILES, VOUCHERS
from tests.intake.conftest import open_writer

DEVICES_KNOWN = [bytes([number]) * 16 for number in range(3)]


def received(device: int = 0, slot: int = 0, content: bytes = b"x", at: int = 1000) -> Received:
    """A voucher as the API hands it over; the store looks at its place and digest alone."""
    place = (bytes([device]) * 16, 744, slot)
    return Received(place, hashlib.sha256(content).digest(), content, b"receipt of " + content + b"%d" % at, at)


async def enrol(writer) -> None:
    """Three devices."""
    async with writer.change(1) as change:
        rows = [
            {"device_id": one, "public_key": one * 2, "account": bytes(16), "enrolled_at": 1} for one in DEVICES_KNOWN
        ]
        await change.db.execute(insert(DEVICES), rows)


async def contents(writer) -> dict[tuple[bytes, int, int], tuple[bytes, bytes, int]]:
    """What is stored, by place."""
    async with writer.store.reading() as db:
        rows = (await db.execute(select(VOUCHERS))).all()
    return {(row.device_id, row.window_number, row.slot): (row.voucher, row.receipt, row.position) for row in rows}


async def entries(writer) -> list[Entry]:
    """What the log says; its root is checked against the head on the way."""
    async with writer.store.reading() as db:
        bodies = list(await db.scalars(select(LOG_ENTRIES.c.body).order_by(LOG_ENTRIES.c.position)))
        head = (await db.execute(select(LOG_HEAD))).one()
    assert Frontier().extend(leaf_hash(body) for body in bodies) == Frontier.from_bytes(head.frontier)
    assert head.size == len(bodies)
    return [Entry.from_bytes(body) for body in bodies]


def test_a_group_says_what_came_of_each(store_url):
    """New, there already with the same receipt, taken by another, not enrolled, revoked: in one group, in order."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            async with writer.change(1) as change:
                revoked = update(DEVICES).where(DEVICES.c.device_id == DEVICES_KNOWN[2]).values(revoked_at=1)
                await change.db.execute(revoked)
            (first,) = await receive(writer, [received(content=b"a")])
            group = [
                received(content=b"a", at=2000),
                received(content=b"b"),
                received(slot=1, content=b"c"),
                received(slot=1, content=b"c", at=3000),
                received(slot=1, content=b"d"),
                received(device=9),
                received(device=2),
                received(device=1),
            ]
            outcomes = await receive(writer, group)
            assert [one.came for one in outcomes] == [
                Came.WAS_THERE, Came.SLOT_TAKEN, Came.STORED, Came.WAS_THERE, Came.SLOT_TAKEN, Came.NOT_ENROLLED,
                Came.REVOKED, Came.STORED,
            ]  # fmt: skip
            assert outcomes[0].receipt == first.receipt
            assert outcomes[3].receipt == outcomes[2].receipt == group[2].receipt
            stored = await contents(writer)
            assert sorted(voucher for voucher, _, _ in stored.values()) == [b"a", b"c", b"x"]
            told = [one for one in await entries(writer) if one.kind == "receipt"]
            assert [one.fields["digest"] for one in told] == [
                hashlib.sha256(content).digest() for content in (b"a", b"c", b"x")
            ]
            assert sorted(position for _, _, position in stored.values()) == [0, 1, 2]

    asyncio.run(run())


def test_a_large_group_fills_tiles_and_meets_what_is_there(store_url):
    """More rows than one statement takes, half of them there already, over the end of the log's first two tiles."""
    vouchers = [received(device=slot % 3, slot=slot, content=b"%d" % slot) for slot in range(701)]

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await enrol(writer)
            first = await receive(writer, vouchers[::2])
            second = await receive(writer, [*vouchers, received(device=7)])
            assert {one.came for one in first} == {Came.STORED}
            assert [one.came for one in second] == [
                *(Came.STORED if slot % 2 else Came.WAS_THERE for slot in range(701)), Came.NOT_ENROLLED,
            ]  # fmt: skip
            assert [one.receipt for one in second[:-1]] == [one.receipt for one in vouchers]
            assert len(await contents(writer)) == len(await entries(writer)) == 701
            async with writer.store.reading() as db:
                tiles = (await db.execute(select(LOG_TILES).order_by(LOG_TILES.c.level, LOG_TILES.c.number))).all()
                bodies = list(await db.scalars(select(LOG_ENTRIES.c.body).order_by(LOG_ENTRIES.c.position)))
        leaves = [leaf_hash(body) for body in bodies]
        assert [(tile.level, tile.number, tile.hashes) for tile in tiles] == [
            (0, 0, b"".join(leaves[:256])),
            (0, 1, b"".join(leaves[256:512])),
            (0, 2, b"".join(leaves[512:])),
            (1, 0, root_of(leaves[:256]) + root_of(leaves[256:512])),
        ]

    asyncio.run(run())


def test_a_group_of_nothing_writes_nothing(sqlite_url):
    """Neither a row nor an entry."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            assert await receive(writer, []) == []
            assert await entries(writer) == []

    asyncio.run(run())


groups = st.lists(
    st.lists(
        st.builds(received, st.integers(0, 3), st.integers(0, 3), st.sampled_from([b"a", b"b"]), st.integers(0, 9)),
        max_size=8,
    ),
    max_size=4,
)


@given(groups)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_groups_do_as_one_voucher_at_a_time_would(sqlite_template, tmp_path_factory, groups):
    """What stands in the end, what each is told, and the log, are those of the simplest intake there is."""
    path = tmp_path_factory.mktemp("groups") / "i.db"
    path.write_bytes(sqlite_template.read_bytes())
    model: dict[tuple[bytes, int, int], Received] = {}
    expected: list[Came] = []
    log: list[bytes] = []
    for one in (one for group in groups for one in group):
        if one.place[0] not in DEVICES_KNOWN:
            expected.append(Came.NOT_ENROLLED)
        elif one.place not in model:
            model[one.place] = one
            log.append(one.digest)
            expected.append(Came.STORED)
        else:
            expected.append(Came.WAS_THERE if model[one.place].digest == one.digest else Came.SLOT_TAKEN)

    async def run() -> None:
        async with open_writer(f"sqlite:///{path}") as writer:
            await enrol(writer)
            outcomes = [one for group in groups for one in await receive(writer, group)]
            assert [one.came for one in outcomes] == expected
            stored = await contents(writer)
            assert {place: (voucher, receipt) for place, (voucher, receipt, _) in stored.items()} == {
                place: (one.message, one.receipt) for place, one in model.items()
            }
            assert [one.fields["digest"] for one in await entries(writer)] == log

    asyncio.run(run())


def test_many_writers_at_once_are_one_after_another(store_url):
    """Eight workers' worth of stores write the same places at once: each place once, and the log has no gap."""

    async def run() -> None:
        async with open_writer(store_url) as first:
            await enrol(first)

        async def work(content: bytes) -> list[Came]:
            async with open_writer(store_url) as writer:
                outcomes = []
                for slot in range(5):
                    outcomes += await receive(writer, [received(slot=slot, content=content)])
                return [one.came for one in outcomes]

        came = await asyncio.gather(*(work(b"%d" % number) for number in range(8)))
        assert sorted(one.value for each in came for one in each) == ["slot-taken"] * 35 + ["stored"] * 5
        async with open_writer(store_url) as last:
            assert len(await contents(last)) == len(await entries(last)) == 5

    asyncio.run(run())


def test_what_raises_in_a_change_leaves_nothing(store_url):
    """Neither its rows nor its entries."""

    async def fail(writer) -> None:
        row = {"device_id": bytes(16), "public_key": bytes(32), "account": bytes(16), "enrolled_at": 5}
        async with writer.change(5) as change:
            await change.db.execute(insert(DEVICES).values(row))
            change.log("revocation", device=bytes(16), by=None)
            raise RuntimeError

    async def run() -> None:
        async with open_writer(store_url) as writer:
            with pytest.raises(RuntimeError):
                await fail(writer)
            assert await entries(writer) == []
            async with writer.store.reading() as db:
                assert (await db.execute(select(DEVICES))).all() == []

    asyncio.run(run())


def test_requests_at_once_are_committed_in_few_groups(sqlite_url):
    """Two hundred vouchers that arrive together take a handful of transactions, and each hears its own outcome."""
    groups: list[int] = []

    async def run() -> None:
        async with (
            open_writer(sqlite_url) as writer,
            committing(writer, most_waiting=1000, watch=lambda number, _: groups.append(number)) as commits,
        ):
            await enrol(writer)
            vouchers = [received(slot=slot, content=b"%d" % slot) for slot in range(200)]
            outcomes = await asyncio.gather(*(commits.put([one]) for one in vouchers))
            assert [one.receipt for (one,) in outcomes] == [one.receipt for one in vouchers]

    asyncio.run(run())
    assert sum(groups) == 200
    assert len(groups) <= 3


def test_who_comes_when_too_many_wait_is_told_so(sqlite_url):
    """The bound counts what waits and what is being written, and those that wait are stored all the same."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer, committing(writer, most_waiting=3) as commits:
            await enrol(writer)
            first = asyncio.create_task(commits.put([received(slot=slot) for slot in range(3)]))
            await asyncio.sleep(0)
            with pytest.raises(BusyError):
                await commits.put([received(slot=9)])
            assert [one.came for one in await first] == [Came.STORED] * 3
            assert (await commits.put([received(slot=9)]))[0].came is Came.STORED

    asyncio.run(run())


def test_what_waits_at_the_end_is_still_written(sqlite_url):
    """Leaving the block waits for those who were promised an answer."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await enrol(writer)
            async with committing(writer, most_waiting=1000) as commits:
                waiting = [asyncio.create_task(commits.put([received(slot=slot)])) for slot in range(50)]
                await asyncio.sleep(0)
            assert [(await one)[0].came for one in waiting] == [Came.STORED] * 50

    asyncio.run(run())


def test_a_connection_that_breaks_in_a_group_stores_nothing(postgresql_url):
    """Each way in which it shows is StorageError; a fault of ours stays what it is; the next group has a new one."""
    lost = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    async def fail(store, error: Exception) -> None:
        async with store.driving() as driver:
            await driver.execute("BEGIN; SELECT FROM log_head FOR UPDATE")
            raise error

    async def run() -> None:
        async with open_writer(postgresql_url) as writer:
            await enrol(writer)
            for error, seen in (
                (lost, StorageError), (ConnectionResetError(), StorageError), (RuntimeError("ours"), RuntimeError),
                (asyncpg.InternalClientError("another operation is in progress"), StorageError),
                (asyncpg.ConnectionDoesNotExistError(), StorageError), (asyncpg.InterfaceError("closed"), StorageError),
            ):  # fmt: skip
                with pytest.raises(seen):
                    await fail(writer.store, error)
            (outcome,) = await receive(writer, [received()])
            assert outcome.came is Came.STORED

    asyncio.run(run())


def test_who_leaves_takes_nobody_along(sqlite_url):
    """A request that was given up while it waited leaves the others of its group their answers."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer, committing(writer, most_waiting=1000) as commits:
            await enrol(writer)
            waiting = [asyncio.create_task(commits.put([received(slot=slot)])) for slot in range(3)]
            await asyncio.sleep(0)
            waiting[1].cancel()
            assert (await waiting[0])[0].came is Came.STORED
            assert (await waiting[2])[0].came is Came.STORED

    asyncio.run(run())


def test_a_database_that_fails_fails_the_group_and_not_the_next(store_url):
    """Those of the group are told; when the database is back, the same process stores again."""

    async def run() -> None:
        async with open_writer(store_url) as writer, committing(writer, most_waiting=1000) as commits:
            await enrol(writer)
            async with writer.store.writing() as db:
                await db.exec_driver_sql("ALTER TABLE devices RENAME TO elsewhere")
            answers = await asyncio.gather(
                *(commits.put([received(slot=slot)]) for slot in range(3)), return_exceptions=True
            )
            assert [type(one) for one in answers] == [StorageError] * 3
            async with writer.store.writing() as db:
                await db.exec_driver_sql("ALTER TABLE elsewhere RENAME TO devices")
            assert (await commits.put([received()]))[0].came is Came.STORED

    asyncio.run(run())

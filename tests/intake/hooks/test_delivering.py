"""Messages reach their hooks, whatever receivers, workers and the database do, on both databases."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter

import pytest

from scanner.errors import StorageError
from scanner.intake.hooks import delivering
from scanner.intake.hooks.delivering import FAILING_PARALLEL, IN_A_ROW, PARALLEL, tidy
from scanner.intake.hooks.outbox import KEPT_SECONDS
from scanner.intake.hooks.queue import Terms, claim
from scanner.intake.hooks.registry import Why, disable_hook, find_hook
from scanner.intake.hooks.sending import Answer
from scanner.intake.operations.metrics import HookOutcome
from scanner.intake.settings import Settings
from tests.intake.conftest import open_writer
from tests.intake.hooks.stored import (
    AT,
    BY,
    TERMS,
    Worker,
    add_hooks,
    hook_id,
    logged,
    messages,
    states,
    tell_times,
)


def test_a_delivered_message_is_not_sent_again(store_url):
    """Each once, in the order in which they came to be due, and the hook's log of attempts says so."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            for second in range(3):
                await tell_times(writer, 1, AT + second)
            worker = Worker(writer, lambda _: 204, now=AT + 5)
            await worker.run()
            await worker.run()
            rows = await messages(writer)
            assert [sent for _, _, sent in worker.sent] == [row.message_id for row in rows]
            assert {(row.state, row.attempts, row.last_status, row.ended_at) for row in rows} == {
                ("delivered", 1, 204, AT + 5)
            }
            assert worker.outcomes == [HookOutcome.DELIVERED] * 3

    asyncio.run(run())


def test_two_workers_send_each_message_once(store_url):
    """And never two to one hook at a time, over both of them."""
    under_way: Counter[int] = Counter()

    async def slowly(number: int) -> int:
        under_way[number] += 1
        assert under_way[number] == 1
        await asyncio.sleep(0.002)
        under_way[number] -= 1
        return 200

    async def run() -> None:
        async with open_writer(store_url) as one, open_writer(store_url) as other:
            await add_hooks(one, *range(6))
            await tell_times(one, 8)
            workers = [Worker(one, slowly), Worker(other, slowly)]
            await asyncio.gather(*(worker.run() for worker in workers))
            while "waiting" in await states(one):  # one may have ended while the other held the last
                await asyncio.gather(*(worker.run() for worker in workers))
            sent = [message for worker in workers for _, _, message in worker.sent]
            assert len(sent) == len(set(sent)) == 48
            assert set(await states(one)) == {"delivered"}

    asyncio.run(run())


def test_a_hook_another_worker_sends_to_is_left_alone(store_url):
    """Its next message waits, in whichever worker."""

    async def run() -> None:
        async with open_writer(store_url) as writer, open_writer(store_url) as another:
            await add_hooks(writer, 1)
            await tell_times(writer, 2)
            go = asyncio.Event()

            async def wait(_number: int) -> int:
                await go.wait()
                return 200

            first, second = Worker(writer, wait), Worker(another, lambda _: 200)
            task = asyncio.create_task(first.run())
            while not first.sent:
                await asyncio.sleep(0.005)
            await second.run()
            assert second.sent == []
            go.set()
            await task
            assert await states(writer) == ["delivered"] * 2

    asyncio.run(run())


def test_the_schedule_is_kept_to_its_end(store_url):
    """Each attempt is as late after the one before as the settings say, under the same id; then it is given up."""
    schedule = Settings().hook_schedule

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            worker = Worker(writer, lambda _: 500, terms=Terms(schedule, 75.0))
            due = AT
            for wait in schedule:
                due += int(wait)
                if wait:
                    worker.now = due - 1
                    await worker.run()
                worker.now = due
                await worker.run()
            assert [at - AT for at, _, _ in worker.sent] == list(itertools.accumulate(schedule))
            assert len({message for _, _, message in worker.sent}) == 1
            (row,) = await messages(writer)
            assert (row.state, row.attempts, row.last_status, row.ended_at) == ("given-up", 8, 500, due)
            assert worker.outcomes == [HookOutcome.FAILED] * 7 + [HookOutcome.GIVEN_UP]
            worker.now = due + 10**6
            await worker.run()
            assert len(worker.sent) == 8

    asyncio.run(run())


def test_the_first_attempt_waits_too(sqlite_url):
    """If the schedule begins with a wait."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            worker = Worker(writer, lambda _: 200, terms=Terms((10.0, 5.0), 75.0), now=AT + 9)
            await worker.run()
            assert worker.sent == []
            worker.now = AT + 10
            await worker.run()
            assert len(worker.sent) == 1

    asyncio.run(run())


def test_retry_after_is_heeded(store_url):
    """A longer wait than the schedule's is taken, a shorter one is not."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1, 2)
            await tell_times(writer)
            worker = Worker(writer, lambda number: Answer(503, {1: 1000.0, 2: 1.0}[number]))
            await worker.run()
            assert {row.hook_id: row.due_at for row in await messages(writer)} == {
                hook_id(1): AT + 1000,
                hook_id(2): AT + 5,
            }

    asyncio.run(run())


def test_gone_disables_the_hook(store_url):
    """410: what waits for it is given up, the log says so, and nothing is sent or told any more."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer, 3)
            worker = Worker(writer, lambda _: 410)
            await worker.run()
            await tell_times(writer, 1)
            await worker.run()
            assert len(worker.sent) == 1
            assert await states(writer) == ["given-up"] * 3
            assert (await logged(writer))[-1] == ("hook-disabled", {"hook": hook_id(1), "by": None, "why": "gone"})
            async with writer.store.reading() as db:
                found = await find_hook(db, hook_id(1))
            assert found is not None
            assert found.disabled_why is Why.GONE
            assert worker.outcomes == [HookOutcome.GIVEN_UP]

    asyncio.run(run())


def test_a_worker_that_dies_after_sending_leaves_it_to_another(store_url):
    """Nobody sends it while the lease lasts; then it is sent again, under the same id."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            never = asyncio.Event()

            async def hang(_number: int) -> int:
                await never.wait()
                return 200

            dying = Worker(writer, hang)
            task = asyncio.create_task(dying.run())
            while not dying.sent:
                await asyncio.sleep(0.005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await states(writer) == ["sending"]
            other = Worker(writer, lambda _: 200, now=AT + TERMS.lease - 1)
            await other.run()
            assert other.sent == []
            other.now = AT + TERMS.lease
            await other.run()
            assert [message for _, _, message in other.sent] == [message for _, _, message in dying.sent]
            (row,) = await messages(writer)
            assert (row.state, row.attempts) == ("delivered", 2)

    asyncio.run(run())


def test_a_message_that_ends_its_workers_is_given_up(sqlite_url):
    """Attempts count from the claim."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            now = AT
            for _ in range(len(TERMS.schedule) + 2):
                worker = Worker(writer, lambda _: 1 / 0, now=now)
                await worker.run()
                now += int(TERMS.lease)
            (row,) = await messages(writer)
            assert (row.state, row.attempts, row.last_status) == ("given-up", 3, None)

    asyncio.run(run())


@pytest.mark.parametrize("ended", [True, False])
def test_who_lost_the_lease_writes_nothing(store_url, ended):
    """An answer that comes after another worker has begun, or ended, does not undo what that one finds."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            first_may, second_may = asyncio.Event(), asyncio.Event()

            async def late(_number: int) -> int:
                await first_may.wait()
                return 500

            async def good(_number: int) -> int:
                await second_may.wait()
                return 200

            slow, quick = Worker(writer, late), Worker(writer, good, now=AT + TERMS.lease)
            tasks = []
            for worker in (slow, quick):
                tasks.append(asyncio.create_task(worker.run()))
                while not worker.sent:
                    await asyncio.sleep(0.005)
            for number, may in [(1, second_may), (0, first_may)] if ended else [(0, first_may), (1, second_may)]:
                may.set()
                await tasks[number]
            (row,) = await messages(writer)
            assert (row.state, row.last_status, row.attempts) == ("delivered", 200, 2)

    asyncio.run(run())


def test_an_answer_that_can_not_be_written_is_sent_again(store_url, monkeypatch, caplog):
    """The database fails after the message was sent: nothing is half written, and the lease ends some time."""

    async def fail(*_: object) -> None:
        raise StorageError("the database failed: disk full")

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            worker = Worker(writer, lambda _: 200)
            with monkeypatch.context() as patched:
                patched.setattr(delivering, "write_delivered", fail)
                await worker.run()
            assert await states(writer) == ["sending"]
            worker.now = AT + TERMS.lease
            await worker.run()
            assert await states(writer) == ["delivered"]
            assert len({message for _, _, message in worker.sent}) == 1

    asyncio.run(run())
    assert "sent again: the database failed" in caplog.text


def test_a_database_that_fails_ends_nothing_under_way(sqlite_url, monkeypatch, caplog):
    """What is under way is finished, and claimed later what could not be; with nothing under way it is raised."""
    failing = True

    async def fail(*arguments: object) -> object:
        if failing:
            raise StorageError("the database failed: locked")
        return await claim(*arguments)

    async def run() -> None:
        nonlocal failing
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1, 2)
            await tell_times(writer)
            go = asyncio.Event()

            async def wait(_number: int) -> int:
                await go.wait()
                return 200

            worker = Worker(writer, wait)
            task = asyncio.create_task(worker.run())
            while len(worker.sent) < 2:
                await asyncio.sleep(0.005)
            monkeypatch.setattr(delivering, "claim", fail)
            await add_hooks(writer, 3)
            await tell_times(writer)
            async with asyncio.timeout(10):
                while "no webhook can be claimed" not in caplog.text:
                    await asyncio.sleep(0.005)
            failing = False
            go.set()
            await task
            assert await states(writer) == ["delivered"] * 5
            failing = True
            await tell_times(writer)
            with pytest.raises(StorageError):
                await worker.run()

    asyncio.run(run())


def test_a_slow_hook_holds_no_other_up(store_url):
    """While one does not answer, others get all they have, also what is told meanwhile."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1, 2)
            await tell_times(writer, 3)
            go = asyncio.Event()

            async def answer(number: int) -> int:
                if number == 1:
                    await go.wait()
                return 200

            worker = Worker(writer, answer)
            task = asyncio.create_task(worker.run())

            async def until_delivered(count: int) -> None:
                async with asyncio.timeout(10):
                    while (await states(writer)).count("delivered") < count:
                        await asyncio.sleep(0.01)

            await until_delivered(3)
            await tell_times(writer, 2)
            await until_delivered(5)
            assert [number for _, number, _ in worker.sent].count(1) == 1
            go.set()
            await task
            assert await states(writer) == ["delivered"] * 10

    asyncio.run(run())


def test_only_so_many_at_once(sqlite_url):
    """However many hooks there are."""
    most = now = 0

    async def count(_number: int) -> int:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.05)
        now -= 1
        return 200

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, *range(20))
            await tell_times(writer)
            await Worker(writer, count).run()
            assert set(await states(writer)) == {"delivered"}

    asyncio.run(run())
    assert most == PARALLEL


def test_failing_hooks_leave_room_for_others(store_url):
    """Hooks that failed and now don't answer take half of the places, and a good one is served meanwhile."""
    failing = range(PARALLEL + 2)

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, *failing)
            await tell_times(writer)
            await Worker(writer, lambda _: 500).run()
            await add_hooks(writer, 90)
            await tell_times(writer, 1, AT + 5)
            go = asyncio.Event()

            async def hang(number: int) -> int:
                if number in failing:
                    await go.wait()
                return 200

            worker = Worker(writer, hang, now=AT + 5)
            task = asyncio.create_task(worker.run())
            async with asyncio.timeout(10):
                while not any(row.state == "delivered" for row in await messages(writer)):
                    await asyncio.sleep(0.01)
            assert sum(number in failing for _, number, _ in worker.sent) == FAILING_PARALLEL
            go.set()
            await task
            assert set(await states(writer)) == {"delivered"}

    asyncio.run(run())


def test_a_failing_hook_rests(sqlite_url):
    """A full queue to a dead receiver is not run through: one attempt, then others have their turn."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer, 50)
            worker = Worker(writer, lambda _: 0, every=5.0)
            await worker.run()
            assert len(worker.sent) == 1
            assert (await states(writer)).count("waiting") == 50

    asyncio.run(run())


def test_a_long_queue_is_sent_whole(sqlite_url):
    """In turns of so many in a row."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer, IN_A_ROW * 2 + 1)
            await Worker(writer, lambda _: 200).run()
            assert set(await states(writer)) == {"delivered"}

    asyncio.run(run())


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (500, "given-up")])
def test_a_hook_disabled_meanwhile(store_url, status, state):
    """What is under way may be delivered still; what failed is not tried again."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer, 2)

            async def disable(_number: int) -> int:
                async with writer.change(AT) as change:
                    await disable_hook(change, hook_id(1), Why.DELETED, BY)
                return status

            worker = Worker(writer, disable)
            await worker.run()
            assert sorted(await states(writer)) == sorted([state, "given-up"])
            assert len(worker.sent) == 1

    asyncio.run(run())


def test_a_disabled_hooks_lost_message_is_given_up(sqlite_url):
    """Its worker died, and it is not sent again."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            await Worker(writer, lambda _: 1 / 0).run()
            async with writer.change(AT) as change:
                await disable_hook(change, hook_id(1), Why.DELETED, BY)
            worker = Worker(writer, lambda _: 200, now=AT + TERMS.lease)
            await worker.run()
            assert worker.sent == []
            assert await states(writer) == ["given-up"]

    asyncio.run(run())


def test_what_is_under_way_at_the_end_is_finished(sqlite_url):
    """A worker that is asked to stop lets an answer come that comes soon."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)

            async def soon(_number: int) -> int:
                await asyncio.sleep(0.05)
                return 200

            worker = Worker(writer, soon, last_seconds=5.0)
            task = asyncio.create_task(worker.run())
            while not worker.sent:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await states(writer) == ["delivered"]

    asyncio.run(run())


def test_ended_messages_are_deleted_after_30_days(store_url, monkeypatch):
    """Delivered and given up, in bounded pieces; what waits stays."""

    monkeypatch.setattr("scanner.intake.hooks.queue.TIDIED_AT_ONCE", 5)

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1, 2)
            await tell_times(writer, 4)
            await Worker(writer, lambda number: 200 if number == 1 else 500).run()
            async with writer.change(AT) as change:
                await disable_hook(change, hook_id(2), Why.DELETED, BY)
            await tell_times(writer, 1)
            assert await tidy(writer, AT + KEPT_SECONDS - 1) == 0
            assert [await tidy(writer, AT + KEPT_SECONDS) for _ in range(3)] == [5, 3, 0]
            assert await states(writer) == ["waiting"]

    asyncio.run(run())


def test_logs_tell_of_no_url(store_url, caplog):
    """What failed is logged by status and attempt alone."""
    caplog.set_level(logging.INFO)

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            await tell_times(writer)
            await Worker(writer, lambda _: 500).run()
            await Worker(writer, lambda _: 1 / 0, now=AT + 5).run()

    asyncio.run(run())
    ours = [record for record in caplog.records if record.name.startswith("scanner")]
    assert [record.getMessage() for record in ours] == [
        "a webhook was not delivered: failed",
        "a webhook was not sent, it is tried again: ZeroDivisionError",
    ]
    assert ours[0].fields == {"status": 500, "attempt": 1}
    assert "example" not in caplog.text

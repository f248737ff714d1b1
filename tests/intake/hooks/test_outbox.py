"""What hooks are told is in the database with what it tells of, on both databases."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError
from scanner.intake.hooks.lifecycle import TRANSITIONS, MessageState, Step, sources, target
from scanner.intake.hooks.outbox import EVENTS, TEST, message_body, tell, tell_one
from scanner.intake.hooks.registry import MOST_HOOKS, TooManyHooksError, Why, disable_hook, find_hook, set_hook
from scanner.intake.store.change import Writer
from tests.intake.conftest import open_writer
from tests.intake.hooks.stored import AT, BY, add_hooks, hook_id, logged, messages, states, tell_times


def test_each_enabled_hook_of_an_event_is_told(store_url):
    """One message each; hooks of other events and disabled ones get none."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1, 2, events=["case.opened", "export.made"])
            await add_hooks(writer, 3, events=["case.closed"])
            await add_hooks(writer, 4)
            async with writer.change(AT) as change:
                assert await disable_hook(change, hook_id(4), Why.DELETED, BY)
                await tell(change, "case.opened", {"case": "ab" * 16, "matches": 3, "account": b"\x01" * 2})
            rows = await messages(writer)
        assert sorted(row.hook_id for row in rows) == [hook_id(1), hook_id(2)]
        assert len({row.message_id for row in rows}) == 2
        for row in rows:
            assert (row.event, row.state, row.attempts, row.made_at, row.due_at) == (
                "case.opened", "waiting", 0, AT, AT,
            )  # fmt: skip
            assert json.loads(row.body) == {
                "type": "case.opened",
                "timestamp": "2027-01-15T08:00:00Z",
                "data": {"case": "ab" * 16, "matches": 3, "account": "0101"},
            }

    asyncio.run(run())


def test_a_change_that_fails_tells_nothing(store_url):
    """What did not happen is not told."""

    async def fail(writer: Writer) -> None:
        async with writer.change(AT) as change:
            await tell(change, "case.opened", {})
            raise ArgumentError

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1)
            with pytest.raises(ArgumentError):
                await fail(writer)
            assert await messages(writer) == []

    asyncio.run(run())


def test_without_hooks_nothing_is_written(sqlite_url):
    """Telling costs a query then."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await tell_times(writer, 3)
            assert await messages(writer) == []

    asyncio.run(run())


@pytest.mark.parametrize("value", [1.5, True, "two words", "", "x" * 65, "https://a", ["a"], {"a": 1}, "A"])
def test_data_are_ids_and_counts(value):
    """Anything else does not leave, whoever tells it."""
    with pytest.raises(ArgumentError, match="'note'"):
        message_body("case.opened", AT, {"note": value})


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.from_regex(r"[a-z0-9._-]{1,64}", fullmatch=True)))
def test_every_allowed_message_is_json(data):
    """What a receiver reads is what was told."""
    assert json.loads(message_body("export.made", AT, data))["data"] == data


def test_an_unknown_event_is_an_error():
    """A typo does not go unnoticed."""
    with pytest.raises(ArgumentError, match=r"known: export\.made"):
        message_body("case.open", AT, {})
    assert len(EVENTS) == 8
    assert TEST in EVENTS


def test_a_test_goes_to_one_hook(sqlite_url):
    """Under the id that was asked for."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1, 2)
            async with writer.change(AT) as change:
                await tell_one(change, hook_id(2), "cd" * 16)
            (row,) = await messages(writer)
            assert (row.hook_id, row.message_id, row.event) == (hook_id(2), "cd" * 16, "hook.test")

    asyncio.run(run())


def test_what_operators_set_is_logged(store_url):
    """Set, changed, disabled and enabled again, each once and without the URL; what is repeated is not logged again."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            came = []
            for url, events in (("https://a.example/", ["case.opened"]), ("https://b.example/", ["case.opened"])):
                for _ in range(2):
                    async with writer.change(AT) as change:
                        came.append((await set_hook(change, hook_id(1), url, events, BY))[1])
            for _ in range(2):
                async with writer.change(AT + 1) as change:
                    assert await disable_hook(change, hook_id(1), Why.DELETED, BY)
            async with writer.change(AT + 2) as change:
                hook, new = await set_hook(change, hook_id(1), "https://b.example/", ["case.opened"], BY)
            assert came == [True, False, False, False]
            assert (new, hook.made_at, hook.disabled_at) == (True, AT + 2, None)
            said = await logged(writer)
            assert [kind for kind, _ in said] == ["hook", "hook", "hook-disabled", "hook"]
            assert said[2][1] == {"hook": hook_id(1), "by": BY, "why": "deleted"}
            assert "example" not in repr(said)

    asyncio.run(run())


def test_a_hook_that_was_gone_comes_back_as_itself(sqlite_url):
    """Enabled again it keeps its age; an operator may delete it instead."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, 1, 2)
            async with writer.change(AT + 1) as change:
                for number in (1, 2):
                    assert await disable_hook(change, hook_id(number), Why.GONE)
                hook, new = await set_hook(change, hook_id(1), "https://1.example/", ["case.opened"], BY)
                assert (new, hook.made_at) == (False, AT)
                assert await disable_hook(change, hook_id(2), Why.DELETED, BY)
                assert await disable_hook(change, hook_id(2), Why.GONE)
                found = await find_hook(change.db, hook_id(2))
                assert found is not None
                assert found.disabled_why is Why.DELETED
                assert not await disable_hook(change, hook_id(3), Why.DELETED, BY)

    asyncio.run(run())


def test_there_are_only_so_many_hooks(sqlite_url):
    """One more is refused; changing one of them is not, and a deleted one makes room."""

    async def run() -> None:
        async with open_writer(sqlite_url) as writer:
            await add_hooks(writer, *range(MOST_HOOKS))
            with pytest.raises(TooManyHooksError):
                await add_hooks(writer, MOST_HOOKS)
            await add_hooks(writer, 0, events=["export.made"])
            async with writer.change(AT) as change:
                await disable_hook(change, hook_id(0), Why.DELETED, BY)
            await add_hooks(writer, MOST_HOOKS)
            with pytest.raises(TooManyHooksError):
                await add_hooks(writer, 0)

    asyncio.run(run())


def test_what_waits_for_a_disabled_hook_is_given_up(store_url):
    """In the same change, and what waits for others stays."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await add_hooks(writer, 1, 2)
            await tell_times(writer, 2)
            async with writer.change(AT + 9) as change:
                await disable_hook(change, hook_id(1), Why.DELETED, BY)
            rows = await messages(writer)
            assert {(row.hook_id, row.state, row.ended_at) for row in rows} == {
                (hook_id(1), "given-up", AT + 9),
                (hook_id(2), "waiting", None),
            }
            assert sorted(await states(writer)) == ["given-up", "given-up", "waiting", "waiting"]

    asyncio.run(run())


def test_every_step_has_one_target_or_deletes():
    """The table is whole: every state can be reached and left, but the last ones only by being deleted."""
    ended = {MessageState.DELIVERED, MessageState.GIVEN_UP}
    for step in Step:
        assert set(sources(step)) <= set(MessageState)
        assert (set(TRANSITIONS[step].values()) == {None}) == (step is Step.TIDY)
        if step is not Step.TIDY:
            assert target(step) in set(MessageState)
            assert not ended & set(TRANSITIONS[step])
    assert set(TRANSITIONS[Step.TIDY]) == ended

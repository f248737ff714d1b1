"""What happens without being asked: ticks, deliveries that are tried again, and nothing that betrays a match."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from scanner.errors import StorageError
from scanner.integrations.keeping import Keeper, KeepingSettings
from scanner.vouchers.policies import COVERED, MATCH_ONLY
from tests.integrations.devices import KNOWN, device


class Told:
    """Stands for checkpoint, outbox and courier: notes what is called, and fails when it is told to."""

    def __init__(self, due=(), fails=()):
        self.calls, self._due, self._fails = [], list(due), set(fails)
        self.changed = threading.Condition()

    def _note(self, what):
        with self.changed:
            self.calls.append(what)
            self.changed.notify_all()
        if what in self._fails:
            raise StorageError("the disk is full")

    def tick(self):
        self._note("tick")
        return 0

    def deliver(self, outbox, now):
        self._note("deliver")
        return 0

    def next_due(self):
        return self._due.pop(0) if self._due else None

    async def until(self, *calls):
        """Wait until these were made."""

        def wait():
            with self.changed:
                assert self.changed.wait_for(lambda: self.calls[: len(calls)] == list(calls), 20), self.calls

        await asyncio.to_thread(wait)


async def kept(told, settings, script, courier=True):
    """Run a keeper over what is told, and a script beside it."""
    with ThreadPoolExecutor(1) as pool:
        keeper = Keeper(told, told, told if courier else None, pool, lambda: 100.0, settings)
        task = asyncio.create_task(keeper.run())
        try:
            await script(keeper)
        finally:
            keeper.end()
            await asyncio.wait_for(task, 20)


def test_it_ticks_and_delivers_at_the_start_and_ticks_at_the_end():
    """A client that was off leaves no past secret behind, sends what waited, and writes down what it counted."""
    told = Told()
    asyncio.run(kept(told, KeepingSettings(), lambda _: told.until("tick", "deliver")))
    assert told.calls == ["tick", "deliver", "tick"]


def test_it_ticks_on_a_timer():
    """Again and again, each with a delivery, as slots may have been filled."""
    told = Told()
    settings = KeepingSettings(tick=0.01, spread=0.0, pause=0.0)
    asyncio.run(kept(told, settings, lambda _: told.until(*["tick", "deliver"] * 4)))


def test_what_failed_is_tried_when_it_is_due():
    """The outbox says when."""
    told = Told(due=[100.01, 100.01])
    settings = KeepingSettings(tick=3600.0, spread=0.0, pause=0.0)
    asyncio.run(kept(told, settings, lambda _: told.until("tick", "deliver", "deliver", "deliver")))
    assert told.calls == ["tick", "deliver", "deliver", "deliver", "tick"]


def test_what_is_overdue_does_not_make_it_spin():
    """Between two rounds is a pause, whatever is due."""
    told = Told(due=[0.0] * 100)

    async def script(_):
        await told.until("tick", "deliver")
        await asyncio.sleep(0.1)

    asyncio.run(kept(told, KeepingSettings(tick=3600.0, pause=60.0), script))
    assert told.calls == ["tick", "deliver", "tick"]


def test_a_match_is_delivered_within_the_spread():
    """Soon, but at a random moment; several matches share a round."""
    told = Told()

    async def script(keeper):
        await told.until("tick", "deliver")
        keeper.matched()
        keeper.matched()
        await told.until("tick", "deliver", "deliver")

    asyncio.run(kept(told, KeepingSettings(tick=3600.0, spread=0.02), script))
    assert told.calls == ["tick", "deliver", "deliver", "tick"]


def test_faults_are_tried_again():
    """A full disk ends nothing."""
    told = Told(fails={"tick", "deliver"})
    settings = KeepingSettings(tick=0.01, spread=0.0, pause=0.0)
    asyncio.run(kept(told, settings, lambda _: told.until(*["tick", "deliver"] * 3)))


def test_without_a_courier_it_only_ticks():
    """The client delivers by itself."""
    told = Told()
    settings = KeepingSettings(tick=0.01, spread=0.0, pause=0.0)
    asyncio.run(kept(told, settings, lambda _: told.until("tick", "tick", "tick"), courier=False))
    assert set(told.calls) == {"tick"}


@pytest.mark.parametrize(("profile", "woken"), [(MATCH_ONLY, 1), (COVERED, 0)])
def test_with_cover_a_match_wakes_nobody(list_path, tmp_path, monkeypatch, profile, woken):
    """What is done after a match is what is done without one."""
    calls = []
    monkeypatch.setattr(Keeper, "matched", lambda self: calls.append(self))

    async def run():
        async with device(list_path, tmp_path, policy={"profile": profile}) as one:
            assert (await one.gate.check(KNOWN[0])).held
            await asyncio.sleep(0.01)
            return one.outbox.waiting_matches()

    waiting = asyncio.run(run())
    assert len(calls) == woken
    assert waiting == (profile == COVERED)

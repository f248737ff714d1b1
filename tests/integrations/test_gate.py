"""The gate: what is scanned is what is handed back, faults follow the profile, and the event loop only waits."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import threading
import time

import pytest

from scanner.errors import ArgumentError, SandboxError
from scanner.integrations import Decision, GateSettings, Progress
from scanner.integrations.keeping import KeepingSettings
from scanner.types import Action, Outcome
from scanner.vouchers import Voucher, window_at
from tests.integrations.devices import AT_ONCE, KNOWN, PATIENT, device, edited, picture

VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(64)
"""What is taken for a video by its first bytes."""


class Stuck:
    """Stands for a scan: waits until it is let go."""

    def __init__(self, device, only=lambda data: True):
        self.scan = device.scanner.scan
        self.began, self.go, self.only = threading.Event(), threading.Event(), only
        device.scanner.scan = self

    def __call__(self, data):
        if self.only(data):
            self.began.set()
            assert self.go.wait(30)
        return self.scan(data)

    async def has_begun(self):
        await asyncio.to_thread(self.began.wait, 30)
        assert self.began.is_set()


def test_a_listed_picture_is_held_and_its_voucher_is_stored(list_path, tmp_path):
    """An edited copy is not handed back; its voucher, of this window, names the list's entry."""

    async def run():
        async with device(list_path, tmp_path) as one:
            checked = await one.gate.check(edited(1))
            assert checked.decision is Decision.HOLD
            assert checked.held
            assert checked.data is None
            with pytest.raises(ArgumentError, match="no pieces"):
                checked.pieces()
            assert checked.notice.reason is Outcome.MATCH
            (kept,) = one.outbox.ledger().vouchers
            assert (kept.window, kept.state) == (window_at(time.time()), "pending")
            (waiting,) = one.outbox.due(time.time())
            assert Voucher.parse(waiting.voucher).header.window == kept.window

    asyncio.run(run())


@pytest.mark.parametrize("form", ["bytes", "bytearray", "path", "text path", "file", "offset"])
def test_exactly_what_was_scanned_is_handed_back(list_path, tmp_path, form):
    """Whatever form media has, the bytes handed back are those it had, in pieces that join to them, each time."""
    data = picture(50)
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    offset = io.BytesIO(b"before" + data)
    offset.seek(6)
    source = {
        "bytes": data,
        "bytearray": bytearray(data),
        "path": path,
        "text path": str(path),
        "file": io.BytesIO(data),
        "offset": offset,
    }[form]

    async def run():
        async with device(list_path, tmp_path) as one:
            return await one.gate.check(source)

    checked = asyncio.run(run())
    assert checked.decision is Decision.SEND
    assert checked.notice is None
    assert checked.data == data
    assert [b"".join(checked.pieces(1000)) for _ in range(2)] == [data, data]
    assert all(len(piece) == 1000 for piece in list(checked.pieces(1000))[:-1])


def test_a_file_changed_after_it_was_read_changes_nothing(list_path, tmp_path):
    """A known picture put in an innocent one's place while that is scanned is not handed back."""
    path = tmp_path / "picture.png"
    path.write_bytes(picture(51))

    async def run():
        async with device(list_path, tmp_path) as one:
            stuck = Stuck(one)
            check = asyncio.create_task(one.gate.check(path))
            await stuck.has_begun()
            path.write_bytes(KNOWN[0])
            stuck.go.set()
            return await check

    checked = asyncio.run(run())
    assert (checked.decision, checked.data) == (Decision.SEND, picture(51))


def test_a_match_that_is_sent_comes_with_a_notice(list_path, tmp_path):
    """Under ``report-only`` a known picture goes out, and its sender is told."""

    async def run():
        async with device(list_path, tmp_path, PATIENT["report-only"]) as one:
            checked = await one.gate.check(KNOWN[2])
            return checked, one.outbox.counts()

    checked, counts = asyncio.run(run())
    assert (checked.decision, checked.data) == (Decision.NOTIFY, KNOWN[2])
    assert checked.notice.action is Action.SEND
    assert counts == {"pending": 1}


@pytest.mark.parametrize(("profile", "decision"), [("standard", Decision.SEND), ("strict", Decision.HOLD)])
@pytest.mark.parametrize("what", ["damaged", "too large", "missing", "a pipe"])
def test_what_cannot_be_checked_follows_the_profile(list_path, tmp_path, profile, decision, what):
    """Fail open or fail closed; what was not read is left as it was, and every such file is counted."""
    os.mkfifo(tmp_path / "pipe")
    large = io.BytesIO(b"x" + picture(52))
    large.seek(1)
    source = {"damaged": b"nothing", "too large": large, "missing": tmp_path / "none", "a pipe": tmp_path / "pipe"}[
        what
    ]
    settings = dataclasses.replace(AT_ONCE, max_bytes=100)

    async def run():
        async with device(list_path, tmp_path, PATIENT[profile], settings=settings) as one:
            return await one.gate.check(source)

    checked = asyncio.run(run())
    assert checked.verdict.outcome is Outcome.UNSCANNABLE
    assert checked.decision is decision
    assert checked.data == (b"nothing" if what == "damaged" and not checked.held else None)
    assert large.tell() == 1
    assert (checked.notice is None) == (decision is Decision.SEND)


def test_counts_reach_the_ledger_when_the_gate_closes(list_path, tmp_path):
    """Unread media, innocent media and known media all stand in the user's record."""
    from scanner.outbox import Outbox

    async def run():
        async with device(list_path, tmp_path) as one:
            for source in (tmp_path / "none", picture(53), KNOWN[0]):
                await one.gate.check(source)

    asyncio.run(run())
    with Outbox(tmp_path / "outbox.db") as outbox:
        scans = {one.outcome: one.number for one in outbox.ledger().scans}
    assert scans == {"unscannable": 1, "no-match": 1, "match": 1}


def test_a_file_that_cannot_seek_is_refused_unread(list_path, tmp_path):
    """What could not be given back unread is not read."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

    pipe = Pipe(b"data")

    async def run():
        async with device(list_path, tmp_path) as one:
            with pytest.raises(ArgumentError, match="seek"):
                await one.gate.check(pipe)

    asyncio.run(run())
    assert pipe.read() == b"data"


def test_a_cancelled_check_leaves_nothing(list_path, tmp_path):
    """Cancelled while it is scanned or waits: no voucher, no count; the next check works."""

    async def run():
        async with device(list_path, tmp_path) as one:
            stuck = Stuck(one)
            running, waiting = (asyncio.create_task(one.gate.check(KNOWN[n])) for n in (0, 1))
            await stuck.has_begun()
            for task in (running, waiting):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            stuck.go.set()
            assert (await one.gate.check(picture(54))).decision is Decision.SEND
            assert one.outbox.counts() == {}
            one.gate._checkpoint.tick()
            return one.outbox.ledger().scans

    (only,) = asyncio.run(run())
    assert (only.outcome, only.number) == ("no-match", 1)


@pytest.mark.parametrize(("profile", "decision"), [("standard", Decision.NOTIFY), ("strict", Decision.HOLD)])
def test_a_check_over_the_budget_is_answered_and_its_voucher_comes_late(list_path, tmp_path, profile, decision):
    """The caller waits no longer than the hard budget; what the scan then finds is recorded all the same."""
    settings = dataclasses.replace(AT_ONCE, hard_budget=0.1)

    async def run():
        async with device(list_path, tmp_path, PATIENT[profile], settings=settings) as one:
            stuck = Stuck(one)
            checked = await asyncio.wait_for(one.gate.check(KNOWN[0]), 20)
            assert one.outbox.counts() == {}
            stuck.go.set()
            for _ in range(500):
                if one.outbox.counts():
                    break
                await asyncio.sleep(0.01)
            return checked, one.outbox.counts()

    checked, counts = asyncio.run(run())
    assert checked.decision is decision
    assert checked.verdict.outcome is Outcome.TIMEOUT
    assert checked.notice.reason is Outcome.TIMEOUT
    assert checked.seconds < 10
    assert counts == {"pending": 1}


def test_progress_is_told_while_a_check_lasts(list_path, tmp_path):
    """After the soft budget, with whether it runs or waits; a display that fails stops nothing."""
    told: list[Progress] = []
    settings = dataclasses.replace(AT_ONCE, soft_budget=0.01, progress=0.01)

    def tell(progress):
        told.append(progress)
        raise RuntimeError("the display is broken")

    async def run():
        async with device(list_path, tmp_path, settings=settings) as one:
            stuck = Stuck(one)
            first = asyncio.create_task(one.gate.check(VIDEO))
            await stuck.has_begun()
            second = asyncio.create_task(one.gate.check(picture(55), progress=tell))
            for _ in range(500):
                if told:
                    break
                await asyncio.sleep(0.01)
            stuck.go.set()
            await asyncio.gather(first, second)
            stuck.began.clear()
            stuck.go.clear()
            third = asyncio.create_task(one.gate.check(VIDEO, progress=tell))
            await stuck.has_begun()
            while not told[-1].video:
                await asyncio.sleep(0.01)
            stuck.go.set()
            await third

    asyncio.run(asyncio.wait_for(run(), 30))
    assert (told[0].running, told[0].video) == (False, False)
    assert (told[-1].running, told[-1].video) == (True, True)
    assert told[0].seconds >= 0.01
    assert told[0].limit == 60.0


def test_pictures_do_not_wait_for_videos(list_path, tmp_path):
    """With two workers a known picture is found while a video is looked at, and no video keeps the other waiting."""

    async def run():
        async with device(list_path, tmp_path, workers=2) as one:
            stuck = Stuck(one, lambda data: data == VIDEO)
            videos = [asyncio.create_task(one.gate.check(VIDEO)) for _ in range(3)]
            await stuck.has_begun()
            checked = await asyncio.wait_for(one.gate.check(KNOWN[0]), 20)
            assert not any(video.done() for video in videos)
            stuck.go.set()
            await asyncio.gather(*videos)
            return checked

    assert asyncio.run(run()).held


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_scans_never_wait_inside_their_own_time_limit(list_path, tmp_path, workers):
    """No more scans run at once than the scanner has workers: else one would time out and be sent unchecked."""
    running, most, lock = 0, 0, threading.Lock()

    async def run():
        async with device(list_path, tmp_path, workers=workers) as one:

            def scan(data, scan=one.scanner.scan):
                nonlocal running, most
                with lock:
                    running += 1
                    most = max(most, running)
                try:
                    time.sleep(0.01)
                    return scan(data)
                finally:
                    with lock:
                        running -= 1

            one.scanner.scan = scan
            small = picture(58, side=64)
            await asyncio.gather(*(one.gate.check(VIDEO if n % 3 else small) for n in range(12)))

    asyncio.run(run())
    assert 1 <= most <= workers


def test_a_fault_of_the_gate_is_a_verdict(list_path, tmp_path, monkeypatch):
    """What nobody foresaw follows the profile too."""
    monkeypatch.setattr("scanner.integrations.gate.is_video", lambda data: 1 / 0)

    async def run(profile):
        async with device(list_path, tmp_path, PATIENT[profile]) as one:
            return await one.gate.check(KNOWN[0])

    assert asyncio.run(run("strict")).decision is Decision.HOLD
    sent = asyncio.run(run("standard"))
    assert (sent.decision, sent.data, sent.notice.reason) == (Decision.NOTIFY, None, Outcome.ERROR)


def test_the_event_loop_only_waits(list_path, tmp_path):
    """While large and small media are read, scanned and recorded, the loop is never away for long."""
    path = tmp_path / "large"
    path.write_bytes(picture(56, "BMP", 2000))
    gaps = []

    async def beat():
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - before)
            before = now

    async def run():
        async with device(list_path, tmp_path) as one:
            await one.gate.check(picture(57))
            pulse = asyncio.create_task(beat())
            await asyncio.gather(*(one.gate.check(source) for source in (path, KNOWN[0], KNOWN[1], path)))
            pulse.cancel()

    asyncio.run(run())
    assert sorted(gaps)[len(gaps) // 2] < 0.02  # the machine may be busy; benchmarks.messenger measures


def test_closing_waits_until_every_check_is_answered(list_path, tmp_path):
    """What runs, waits or is still read is answered and recorded; afterwards a check is an error."""
    path = tmp_path / "known.png"
    path.write_bytes(KNOWN[2])

    async def run():
        async with device(list_path, tmp_path) as one:
            stuck = Stuck(one)
            checks = [asyncio.create_task(one.gate.check(source)) for source in (KNOWN[0], KNOWN[1])]
            await stuck.has_begun()
            checks.append(asyncio.create_task(one.gate.check(path)))
            await asyncio.sleep(0)
            closing = asyncio.create_task(one.gate.aclose())
            await asyncio.sleep(0.05)
            assert not closing.done()
            after = await one.gate.check(picture(59))
            stuck.go.set()
            await closing
            assert all(check.done() for check in checks)
            return [check.result().held for check in checks], after, one.outbox.counts()

    held, after, counts = asyncio.run(run())
    assert held == [True] * 3
    assert counts == {"pending": 3}
    assert (after.verdict.outcome, after.decision, after.data) == (Outcome.ERROR, Decision.NOTIFY, None)


def test_a_scanner_that_cannot_start_is_told_at_the_start(list_path, tmp_path, monkeypatch):
    """Not at the first picture, where it would only be a verdict."""

    def broken(self):
        raise SandboxError("no decoder")

    monkeypatch.setattr("scanner.pipeline.Scanner.warm_up", broken)

    async def run():
        async with device(list_path, tmp_path):
            raise AssertionError("it started")

    with pytest.raises(SandboxError, match="no decoder"):
        asyncio.run(run())


def test_settings_of_the_gate_are_as_documented():
    """Defaults: no bound on waiting, and a notice for what leaves a voucher or was left unchecked by our fault."""
    assert GateSettings().hard_budget is None
    assert GateSettings().notify == {Outcome.MATCH, Outcome.TIMEOUT, Outcome.ERROR}
    assert GateSettings().keeping == KeepingSettings(tick=900.0, spread=60.0, pause=2.0)

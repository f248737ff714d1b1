"""Who waits for what: budgets, progress, cancelled checks, lanes, closing; the event loop only waits."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time

import pytest

from scanner.integrations import Decision, Progress
from scanner.types import Outcome
from tests.integrations.devices import AT_ONCE, KNOWN, PATIENT, Stuck, device, picture
from tests.media.test_video import clip, still

VIDEO = b"\x00\x00\x00\x18ftypisom" + bytes(64)
"""What is taken for a video by its first bytes."""


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


def test_progress_of_a_video_says_how_much_of_it_is_hashed(list_path, tmp_path):
    """By its frames, in its decoder's process, which reports from there."""
    told: list[Progress] = []
    settings = dataclasses.replace(AT_ONCE, soft_budget=0.0, progress=0.0)

    async def run():
        async with device(list_path, tmp_path, settings=settings) as one:

            def scan(data, progress, scan=one.scanner.scan):
                def held(share):
                    progress(share)
                    seen = len(told)
                    while len(told) < seen + 2:  # the second was told after this share was there
                        time.sleep(0.001)

                return scan(data, progress=held)

            one.scanner.scan = scan
            return await one.gate.check(clip(still(10)), progress=told.append)

    assert asyncio.run(asyncio.wait_for(run(), 60)).verdict.frames == 10
    shares = [progress.share for progress in told if progress.share is not None]
    assert shares == sorted(shares)
    assert sorted(set(shares)) == pytest.approx([second / 9.9 for second in range(10)], abs=0.01)


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

            def scan(data, scan=one.scanner.scan, **options):
                nonlocal running, most
                with lock:
                    running += 1
                    most = max(most, running)
                try:
                    time.sleep(0.01)
                    return scan(data, **options)
                finally:
                    with lock:
                        running -= 1

            one.scanner.scan = scan
            small = picture(58, side=64)
            await asyncio.gather(*(one.gate.check(VIDEO if n % 3 else small) for n in range(12)))

    asyncio.run(run())
    assert 1 <= most <= workers


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

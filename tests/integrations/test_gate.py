"""The gate: what is scanned is what is handed back, faults follow the profile, and the event loop only waits."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import os
import time

import pytest

from scanner.errors import ArgumentError, SandboxError
from scanner.integrations import Decision, GateSettings
from scanner.integrations.keeping import KeepingSettings
from scanner.types import Action, Outcome
from scanner.vouchers import Voucher, window_at
from tests.integrations.devices import AT_ONCE, KNOWN, PATIENT, Stuck, device, edited, picture


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


def test_a_fault_of_the_gate_is_a_verdict(list_path, tmp_path, monkeypatch):
    """What nobody foresaw follows the profile too."""
    monkeypatch.setattr("scanner.integrations.gate.is_video", lambda data: 1 / 0)

    async def run(profile):
        async with device(list_path, tmp_path, PATIENT[profile]) as one:
            return await one.gate.check(KNOWN[0])

    assert asyncio.run(run("strict")).decision is Decision.HOLD
    sent = asyncio.run(run("standard"))
    assert (sent.decision, sent.data, sent.notice.reason) == (Decision.NOTIFY, None, Outcome.ERROR)


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

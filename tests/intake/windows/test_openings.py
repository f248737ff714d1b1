"""What the opener found: a record once, a case if it opened, nothing for windows that were never exported."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from pydantic import ValidationError

from scanner.intake.audit.entries import Entry
from scanner.intake.settings import Settings
from scanner.intake.store.tables import CASE_MATCHES, CASES, LOG_ENTRIES, OPENINGS
from scanner.intake.windows import openings
from scanner.intake.windows.choosing import Wanted
from scanner.intake.windows.exporting import make_export
from scanner.intake.windows.faults import WindowError
from scanner.intake.windows.openings import exported_vouchers, report_opening
from scanner.intake.windows.reports import Match, Opened, Unopened, to_bytes
from tests.intake.conftest import open_writer
from tests.intake.windows.places import IDS, NOW, WINDOW, arrive, enrol, rows, states
from tests.policies import ACCOUNT, OTHER_ACCOUNT

ID = f"{7:032x}"
MATCH = Match(
    content_id=2**64 - 1, leaf_index=5, distance=12, quality=88, algorithm="pdq \u2028<b>", hash="a5" * 32, day=20_600,
    hashset_digest="09" * 32, policy_digest="07" * 32, build="",
)  # fmt: skip
PLACES = [(device, WINDOW, slot) for device in IDS for slot in range(3)]


def opened(account: bytes = ACCOUNT, vouchers: int = 3, matches: int = 2) -> Opened:
    told = [MATCH.model_copy(update={"content_id": number}) for number in range(matches)]
    return Opened(account=account.hex(), window=WINDOW, result="opened", vouchers=vouchers, matches=told)


def below(account: bytes = ACCOUNT, vouchers: int = 3) -> Unopened:
    return Unopened(account=account.hex(), window=WINDOW, result="below-threshold", vouchers=vouchers)


async def prepared(writer, export: bool = True) -> None:
    await enrol(writer)
    await arrive(writer, PLACES)
    if export:
        await make_export(writer, Settings(), NOW, Wanted(f"{1:032x}"))


async def report(writer, what, opening_id: str = ID, by: str | None = "b" * 32):
    async with writer.change(NOW + 5) as change:
        return await report_opening(change, opening_id, what, by)


def test_a_window_that_opened_has_a_case_and_its_vouchers_are_opened(store_url):
    """The log names the report's digest; other accounts' vouchers stay exported."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await prepared(writer)
            record, new = await report(writer, opened())
            assert new
            assert (record.account, record.window, record.result, record.vouchers) == (ACCOUNT, WINDOW, "opened", 3)
            there = await states(writer.store)
            assert {place for place, state in there.items() if state == "opened"} == set(PLACES[3:6])
            (case,) = await rows(writer.store, CASES)
            assert (case.account, case.window_number, case.opening_id) == (ACCOUNT, WINDOW, ID)
            assert len(await rows(writer.store, CASE_MATCHES)) == 2
            (row,) = await rows(writer.store, OPENINGS)
            assert json.loads(row.report) == opened().model_dump()
            logged = [Entry.from_bytes(row.body) for row in await rows(writer.store, LOG_ENTRIES)]
            (entry,) = [entry for entry in logged if entry.kind == "opening"]
            digest = hashlib.sha256(to_bytes(opened())).digest()
            assert entry.fields == {
                "opening": ID, "by": "b" * 32, "account": ACCOUNT, "window": WINDOW, "result": "opened",
                "vouchers": 3, "digest": digest,
            }  # fmt: skip

    asyncio.run(run())


def test_a_window_below_its_threshold_is_recorded_alone(store_url):
    """No case, and its vouchers are where they were."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await prepared(writer)
            assert (await report(writer, below()))[1]
            assert set((await states(writer.store)).values()) == {"exported"}
            assert await rows(writer.store, CASES) == []
            assert len(await rows(writer.store, OPENINGS)) == 1

    asyncio.run(run())


def test_the_same_report_again_changes_nothing_and_another_is_refused(store_url):
    """Also by two workers at once; whoever reported first stands in the record."""

    async def run() -> None:
        async with open_writer(store_url) as writer, open_writer(store_url) as other:
            await prepared(writer)
            both = await asyncio.gather(report(writer, opened()), report(other, opened()))
            assert sorted(new for _, new in both) == [False, True]
            assert both[0][0] == both[1][0]
            log = await rows(writer.store, LOG_ENTRIES)
            assert await report(writer, opened(), by="c" * 32) == (both[0][0], False)
            for what in (below(), opened(matches=1), opened(OTHER_ACCOUNT, 6)):
                with pytest.raises(WindowError) as refused:
                    await report(writer, what)
                assert refused.value.problem == "id-taken"
            assert await rows(writer.store, LOG_ENTRIES) == log

    asyncio.run(run())


def test_a_window_that_was_not_exported_so_is_refused(store_url):
    """Never, with another number of vouchers, or with more matches than vouchers; nothing is written."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await prepared(writer, export=False)
            refused = [opened()]
            for _ in range(2):
                for what in refused:
                    with pytest.raises(WindowError) as error:
                        await report(writer, what)
                    assert error.value.problem == "not-exported"
                async with writer.store.reading() as db:
                    given = await exported_vouchers(db, ACCOUNT, WINDOW)
                assert given == (0 if len(refused) == 1 else 3)
                if len(refused) == 1:
                    await make_export(writer, Settings(), NOW, Wanted(f"{1:032x}"))
                    refused = [opened(vouchers=2), opened(vouchers=4), opened(matches=4), below(bytes(16))]
            assert await rows(writer.store, OPENINGS) == []

    asyncio.run(run())


def test_a_failure_midway_changes_nothing(store_url, monkeypatch):
    """Neither record nor step without a case."""

    async def run() -> None:
        async with open_writer(store_url) as writer:
            await prepared(writer)
            log = await rows(writer.store, LOG_ENTRIES)

            async def broken(*_, **__):
                raise ZeroDivisionError

            with monkeypatch.context() as patched:
                patched.setattr(openings, "open_case", broken)
                with pytest.raises(ZeroDivisionError):
                    await report(writer, opened())
            assert await rows(writer.store, OPENINGS) == []
            assert await rows(writer.store, LOG_ENTRIES) == log
            assert set((await states(writer.store)).values()) == {"exported"}
            assert (await report(writer, opened()))[1]

    asyncio.run(run())


@pytest.mark.parametrize(
    "change",
    [
        {"content_id": -1}, {"content_id": 2**64}, {"distance": True}, {"distance": "3"}, {"distance": 1.5},
        {"hash": "A5"}, {"hash": "a"}, {"hash": "a5" * 257}, {"hash": "a5\n"}, {"algorithm": "x" * 257},
        {"policy_digest": None}, {"picture": "x"},
    ],
)  # fmt: skip
def test_a_match_is_read_strictly(change):
    """Numbers are numbers, hexadecimal is lower case, and there is nothing beside it."""
    with pytest.raises(ValidationError):
        Match.model_validate_json(json.dumps(MATCH.model_dump() | change))


@pytest.mark.parametrize("field", Match.model_fields)
def test_a_match_has_all_its_fields(field):
    """One that lacks any is none."""
    with pytest.raises(ValidationError):
        Match.model_validate({name: value for name, value in MATCH.model_dump().items() if name != field})


@pytest.mark.parametrize(
    "change",
    [
        {"matches": []},
        {"result": "below-threshold"},
        {"vouchers": 0},
        {"window": 2**32},
        {"account": "0" * 31},
        {"x": 1},
    ],
)
def test_a_report_that_opened_has_matches_and_no_other_has(change):
    """And an account, a window and vouchers that can be."""
    good = opened().model_dump()
    for kind in (Opened, Unopened):
        with pytest.raises(ValidationError):
            kind.model_validate(good | change)

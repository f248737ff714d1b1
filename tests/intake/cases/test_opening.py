"""Cases come out of openings, and go when their time is over."""

from __future__ import annotations

import hashlib
import json

import pytest
from sqlalchemy import func, select

from scanner.intake.cases.expiring import forget_case
from scanner.intake.cases.leasing import take_case
from scanner.intake.cases.lifecycle import CaseOutcome, CaseState
from scanner.intake.cases.noting import add_note
from scanner.intake.cases.opening import canonical
from scanner.intake.cases.reading import find_case, matches_of, read_case
from scanner.intake.problems import ProblemError
from scanner.intake.store.tables import CASE_DECISIONS, CASE_MATCHES, CASE_NOTES, CASES
from tests.intake.cases.conftest import (
    ACCOUNT,
    ALICE,
    AT,
    WINDOW,
    add_case,
    add_hook,
    add_vouchers,
    close,
    logged,
    match,
    on,
    told,
    voucher_states,
)


def test_an_opening_makes_one_case_and_says_so(store_url):
    """The case waits with its matches in order, the log has their digests, and who wants to know is told counts."""

    async def work(writer):
        await add_hook(writer, "case.opened")
        matches = [match(2), match(1)]
        case_id = await add_case(writer, matches)
        async with writer.store.reading() as db:
            case = await find_case(db, case_id, ALICE)
            assert (case.state, case.matches, case.account, case.window) == (CaseState.WAITING, 2, ACCOUNT, WINDOW)
            assert await matches_of(db, case_id) == tuple(matches)
            assert await matches_of(db, case_id, 1, 1) == (matches[1],)
        (entry,) = await logged(writer, "case")
        assert entry.fields["matches"] == [hashlib.sha256(canonical(each)).digest() for each in matches]
        (body,) = await told(writer)
        assert json.loads(body)["data"] == {"case": case_id, "window": WINDOW, "matches": 2}

    on(store_url, work)


def test_the_same_matches_again_change_nothing(store_url):
    """Another opening of the same window that tells nothing new leaves the case and the log as they are."""

    async def work(writer):
        first = await add_case(writer, [match(1), match(2)])
        again = await add_case(writer, [match(2), match(1), match(2)])
        assert first == again
        assert len(await logged(writer, "case")) == 1
        assert await add_case(writer, [match(1)], window=WINDOW + 1) != first

    on(store_url, work)


def test_new_matches_begin_a_new_round(store_url):
    """What was decided before does not count, and everyone may decide again."""

    async def work(writer):
        case_id = await add_case(writer)
        await close(writer, case_id)
        assert await add_case(writer, [match(1), match(2)]) == case_id
        async with writer.store.reading() as db:
            sight = await read_case(db, case_id, ALICE, AT)
            assert (sight.case.state, sight.case.outcome, sight.case.closed_at) == (CaseState.WAITING, None, None)
            assert (sight.round, sight.case.matches, sight.case.decided) == (2, 2, False)
            assert sight.matches is None
            assert [each.operator_id for each in sight.decisions] == [ALICE]
        await close(writer, case_id, CaseOutcome.REPORT, seen=2)
        async with writer.store.reading() as db:
            sight = await read_case(db, case_id, ALICE, AT)
            assert sight.case.outcome is CaseOutcome.REPORT
            assert [each.round for each in sight.decisions] == [1, 1, 2, 2]
        assert [len(entry.fields["matches"]) for entry in await logged(writer, "case")] == [1, 2]

    on(store_url, work)


def test_a_case_that_waits_takes_new_matches_in_the_same_round(store_url):
    """Nobody has decided, so nothing begins anew."""

    async def work(writer):
        case_id = await add_case(writer)
        await add_case(writer, [match(2)])
        async with writer.store.reading() as db:
            sight = await read_case(db, case_id, ALICE, AT)
            assert (sight.round, sight.case.matches) == (1, 2)

    on(store_url, work)


def test_late_vouchers_of_a_closed_case_are_closed(store_url):
    """Opened again with nothing new, they would stay open for ever otherwise."""

    async def work(writer):
        case_id = await add_case(writer)
        await close(writer, case_id)
        await add_vouchers(writer, "opened", [1, 2])
        await add_case(writer)
        assert await voucher_states(writer) == ["closed", "closed"]

    on(store_url, work)


def test_forgetting_leaves_nothing_but_the_log(store_url):
    """No row of the case is left, another case stays, and the log says that it went; again is nothing."""

    async def work(writer):
        case_id = await add_case(writer)
        other = await add_case(writer, window=WINDOW + 1)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
            await add_note(change, case_id, ALICE, "e" * 32, "a note")
        await close(writer, case_id)
        for _ in range(2):
            async with writer.change(AT) as change:
                await forget_case(change, case_id)
        async with writer.store.reading() as db:
            for table in (CASES, CASE_MATCHES, CASE_NOTES, CASE_DECISIONS):
                here = select(func.count()).select_from(table).where(table.c.case_id == case_id)
                assert (await db.execute(here)).scalar_one() == 0
            assert (await find_case(db, other, ALICE)).matches == 1
            with pytest.raises(ProblemError) as refused:
                await find_case(db, case_id, ALICE)
        assert (refused.value.status, refused.value.name) == (404, "no-case")
        assert [entry.fields for entry in await logged(writer, "case-expiry")] == [{"case": case_id}]

    on(store_url, work)

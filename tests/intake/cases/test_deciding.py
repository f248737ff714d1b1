"""Four eyes, and what follows when they agree."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest
from sqlalchemy import insert

from scanner.errors import StorageError
from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import take_case
from scanner.intake.cases.lifecycle import LEASE_SECONDS, CaseOutcome, CaseState
from scanner.intake.cases.noting import add_note
from scanner.intake.cases.reading import find_case
from scanner.intake.cases.words import MOST_CHARACTERS
from scanner.intake.problems import ProblemError
from scanner.intake.store.tables import CASE_DECISIONS
from tests.intake.cases.conftest import (
    ALICE,
    AT,
    BOB,
    CAROL,
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
from tests.intake.conftest import open_writer

REPORT, DISMISS = CaseOutcome.REPORT, CaseOutcome.DISMISS


async def say(writer, case_id, person, outcome, *, seen=1, at=AT, reason="looked at it"):
    """Take the case and decide."""
    async with writer.change(at) as change:
        await take_case(change, case_id, person)
        return await decide(change, case_id, person, outcome, reason, seen=seen)


async def refused(attempt, status=409):
    """The name of the problem that an attempt raises."""
    with pytest.raises(ProblemError) as problem:
        await attempt
    assert problem.value.status == status
    return problem.value.name


@pytest.mark.parametrize("outcome", list(CaseOutcome))
def test_two_who_agree_close_a_case(store_url, outcome):
    """The case, its vouchers, the log and who wants to know: all in the second decision's change."""

    async def work(writer):
        await add_hook(writer, "case.closed")
        await add_vouchers(writer, "opened", [1, 2])
        await add_vouchers(writer, "exported", [3])
        case_id = await add_case(writer)
        assert await say(writer, case_id, ALICE, outcome) is CaseState.DECIDED_ONCE
        assert (await voucher_states(writer), await told(writer)) == (["opened", "opened", "exported"], [])
        assert await say(writer, case_id, BOB, outcome, at=AT + 5) is CaseState.CLOSED
        async with writer.store.reading() as db:
            case = await find_case(db, case_id, BOB)
        assert (case.outcome, case.closed_at, case.holder(AT + 5)) == (outcome, AT + 5, None)
        assert await voucher_states(writer) == ["closed", "closed", "exported"]
        first, second, closing = await logged(writer, "decision", "closing")
        digest = hashlib.sha256(b"looked at it").digest()
        assert first.fields == {"case": case_id, "round": 1, "by": ALICE, "outcome": outcome.value, "digest": digest}
        assert (second.fields["by"], second.fields["round"]) == (BOB, 1)
        assert closing.fields == {"case": case_id, "outcome": outcome.value}
        (body,) = await told(writer)
        assert json.loads(body)["data"] == {"case": case_id, "window": WINDOW, "matches": 1, "vouchers": 2}

    on(store_url, work)


@pytest.mark.parametrize(("said", "outcome"), [((REPORT, DISMISS, REPORT), REPORT), ((DISMISS, REPORT, REPORT), REPORT),
                                               ((REPORT, DISMISS, DISMISS), DISMISS)])  # fmt: skip
def test_a_third_person_settles_what_two_dispute(store_url, said, outcome):
    """The case is closed as two of the three said."""

    async def work(writer):
        case_id = await add_case(writer)
        states = [
            await say(writer, case_id, person, each) for person, each in zip((ALICE, BOB, CAROL), said, strict=True)
        ]
        assert states == [CaseState.DECIDED_ONCE, CaseState.DISPUTED, CaseState.CLOSED]
        async with writer.store.reading() as db:
            assert (await find_case(db, case_id, ALICE)).outcome is outcome
        assert len(await logged(writer, "closing")) == 1

    on(store_url, work)


def test_nobody_is_both_pairs_of_eyes(store_url):
    """The same person's second voice is refused; the same decision sent again is no second one."""

    async def work(writer):
        case_id = await add_case(writer)
        await say(writer, case_id, ALICE, REPORT)
        for outcome in (REPORT, DISMISS):
            assert await refused(say(writer, case_id, ALICE, outcome)) == "decided"
        async with writer.change(AT) as change:
            assert await decide(change, case_id, ALICE, REPORT, "again", seen=1) is CaseState.DECIDED_ONCE
            assert await refused(decide(change, case_id, ALICE, DISMISS, "no", seen=1)) == "decided"
        assert len(await logged(writer, "decision")) == 1
        await say(writer, case_id, BOB, REPORT)
        async with writer.change(AT) as change:
            assert await decide(change, case_id, BOB, REPORT, "again", seen=1) is CaseState.CLOSED
            assert await refused(decide(change, case_id, CAROL, REPORT, "me too", seen=1)) == "closed"
        assert len(await logged(writer, "decision", "closing")) == 3

    on(store_url, work)


def test_one_person_in_two_browsers_decides_once(store_url):
    """Two connections of the same reviewer at the same time leave one decision, and the case open."""

    async def work(writer):
        case_id = await add_case(writer)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)

        async def only_decide(by_writer):
            async with by_writer.change(AT) as change:
                return await decide(change, case_id, ALICE, REPORT, "yes", seen=1)

        async with open_writer(store_url) as other:
            results = await asyncio.gather(*[only_decide(each) for each in (writer, other) * 3])
        assert set(results) == {CaseState.DECIDED_ONCE}
        assert len(await logged(writer, "decision")) == 1

    on(store_url, work)


@pytest.mark.parametrize("outcomes", [(REPORT, REPORT), (REPORT, DISMISS)])
def test_two_reviewers_at_once_are_two_decisions_one_after_another(store_url, outcomes):
    """Over two connections, both wanting the case: one decides, the other has it next, and no step is lost."""

    async def work(writer):
        case_id = await add_case(writer)

        async def until_done(by_writer, person, outcome):
            while True:
                try:
                    return await say(by_writer, case_id, person, outcome)
                except ProblemError as problem:
                    if problem.name != "leased":
                        raise

        async with open_writer(store_url) as other:
            results = await asyncio.gather(until_done(writer, ALICE, outcomes[0]), until_done(other, BOB, outcomes[1]))
        last = CaseState.CLOSED if len(set(outcomes)) == 1 else CaseState.DISPUTED
        assert set(results) == {CaseState.DECIDED_ONCE, last}
        assert len(await logged(writer, "decision")) == 2

    on(store_url, work)


def test_the_database_itself_holds_one_decision_of_a_person(store_url):
    """Even past this code, a second row of the same person and round is impossible."""

    async def work(writer):
        case_id = await add_case(writer)
        await say(writer, case_id, ALICE, REPORT)
        row = {"case_id": case_id, "round": 1, "operator_id": ALICE, "outcome": "report", "reason": "again"}
        with pytest.raises(StorageError):
            async with writer.store.writing() as db:
                await db.execute(insert(CASE_DECISIONS).values(**row, decided_at=AT))

    on(store_url, work)


def test_only_the_holder_of_the_lease_decides_and_notes(store_url):
    """Not without it, not with another's, not with one that ran out."""

    async def work(writer):
        case_id = await add_case(writer)

        async def attempts(person, at):
            async with writer.change(at) as change:
                names = [
                    await refused(decide(change, case_id, person, REPORT, "yes", seen=1)),
                    await refused(add_note(change, case_id, person, "e" * 32, "text")),
                ]
            return set(names)

        assert await attempts(ALICE, AT) == {"no-lease"}
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
        assert await attempts(BOB, AT) == {"no-lease"}
        assert await attempts(ALICE, AT + LEASE_SECONDS) == {"no-lease"}
        assert await logged(writer, "decision", "note") == []

    on(store_url, work)


def test_nobody_decides_on_matches_they_have_not_seen(store_url):
    """Matches that came while the page was open must be looked at first."""

    async def work(writer):
        case_id = await add_case(writer)
        await add_case(writer, [match(2)])
        assert await refused(say(writer, case_id, ALICE, REPORT, seen=1)) == "new-matches"
        assert await say(writer, case_id, ALICE, REPORT, seen=2) is CaseState.DECIDED_ONCE

    on(store_url, work)


def test_a_note_is_written_once_and_stays(store_url):
    """The same form twice makes one note; its id can't be used for another text, person or case."""

    async def work(writer):
        case_id, other = await add_case(writer), await add_case(writer, window=WINDOW + 1)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
            for _ in range(2):
                await add_note(change, case_id, ALICE, "e" * 32, " first\r\nsecond \r\n")
            assert await refused(add_note(change, case_id, ALICE, "e" * 32, "other")) == "note-taken"
            assert await refused(add_note(change, other, ALICE, "e" * 32, "first\nsecond")) == "note-taken"
            assert await refused(add_note(change, case_id, BOB, "e" * 32, "first\nsecond")) == "note-taken"
        (entry,) = await logged(writer, "note")
        digest = hashlib.sha256(b"first\nsecond").digest()
        assert entry.fields == {"note": "e" * 32, "case": case_id, "by": ALICE, "digest": digest}

    on(store_url, work)


@pytest.mark.parametrize("text", ["", " \r\n\t", "x" * (MOST_CHARACTERS + 1), "a\x00b", "a\x1bb", "\ufffe", "\ud800"])
def test_a_text_that_no_report_can_hold_is_refused(sqlite_url, text):
    """Empty, too long, or with characters that XML 1.0 doesn't have; nothing is written."""

    async def work(writer):
        case_id = await add_case(writer)
        assert await refused(say(writer, case_id, ALICE, REPORT, reason=text), 422) == "bad-text"
        assert await say(writer, case_id, ALICE, REPORT, reason="x" * MOST_CHARACTERS) is CaseState.DECIDED_ONCE

    on(sqlite_url, work)


def test_a_failing_change_leaves_a_case_as_it_was(store_url):
    """If anything after the decision fails, there is no decision."""

    async def work(writer):
        case_id = await add_case(writer)
        await say(writer, case_id, ALICE, REPORT)

        async def fail():
            async with writer.change(AT) as change:
                await take_case(change, case_id, BOB)
                await decide(change, case_id, BOB, REPORT, "yes", seen=1)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        async with writer.store.reading() as db:
            case = await find_case(db, case_id, BOB)
        assert (case.state, case.decided, case.holder(AT)) == (CaseState.DECIDED_ONCE, False, None)
        assert await say(writer, case_id, BOB, REPORT) is CaseState.CLOSED

    on(store_url, work)


def test_closing_is_logged_once_a_round(store_url):
    """Each round that ends has its closing entry."""

    async def work(writer):
        case_id = await add_case(writer)
        await close(writer, case_id)
        await add_case(writer, [match(2)])
        await close(writer, case_id, REPORT, seen=2)
        closings = [entry.fields["outcome"] for entry in await logged(writer, "closing")]
        assert closings == ["dismiss", "report"]

    on(store_url, work)

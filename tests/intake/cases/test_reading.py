"""What each reviewer may see of a case, and in what order cases come."""

from __future__ import annotations

from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import take_case
from scanner.intake.cases.lifecycle import LEASE_SECONDS, CaseOutcome, CaseState
from scanner.intake.cases.noting import add_note
from scanner.intake.cases.reading import (
    GONE,
    MATCHES_AT_ONCE,
    closed_cases,
    count_open,
    decisions_of,
    notes_of,
    open_cases,
    read_case,
)
from scanner.intake.store.tables import OPERATORS
from tests.intake.cases.conftest import ALICE, AT, BOB, CAROL, WINDOW, add_case, close, match, on

REPORT = CaseOutcome.REPORT


async def see(writer, case_id, person, at=AT, **options):
    """What a person sees."""
    async with writer.store.reading() as db:
        return await read_case(db, case_id, person, at, **options)


def test_nobody_sees_what_others_think_before_their_own_decision(store_url):
    """Notes and decisions of others are hidden from the next reviewer, and shown once that one has decided."""

    async def work(writer):
        case_id = await add_case(writer)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
            await add_note(change, case_id, ALICE, "e" * 32, "clearly so")
            await decide(change, case_id, ALICE, REPORT, "sure", seen=1)
            await take_case(change, case_id, BOB)
            await add_note(change, case_id, BOB, "f" * 32, "my own")
        sight = await see(writer, case_id, BOB)
        assert ([note.text for note in sight.notes], sight.hidden_notes, sight.decisions) == (["my own"], 1, ())
        own = await see(writer, case_id, ALICE)
        assert [(each.name, each.reason) for each in own.decisions] == [("alice", "sure")]
        assert len(own.notes) == 2
        async with writer.change(AT) as change:
            await decide(change, case_id, BOB, CaseOutcome.DISMISS, "not so", seen=1)
        sight = await see(writer, case_id, BOB)
        assert ([each.name for each in sight.decisions], len(sight.notes)) == (["alice", "bob"], 2)
        third = await see(writer, case_id, CAROL)
        assert (third.decisions, third.notes, third.hidden_notes) == ((), (), 2)

    on(store_url, work)


def test_matches_are_seen_by_who_works_on_them(store_url):
    """By the holder as long as the lease lasts, by who has decided, by all once it is closed; by nobody else."""

    async def work(writer):
        case_id = await add_case(writer)
        assert (await see(writer, case_id, ALICE)).matches is None
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
        assert (await see(writer, case_id, ALICE)).matches == (match(),)
        assert (await see(writer, case_id, BOB)).matches is None
        assert (await see(writer, case_id, ALICE, AT + LEASE_SECONDS)).matches is None
        async with writer.change(AT) as change:
            await decide(change, case_id, ALICE, REPORT, "sure", seen=1)
        assert (await see(writer, case_id, ALICE)).matches == (match(),)
        async with writer.change(AT) as change:
            await take_case(change, case_id, BOB)
            await decide(change, case_id, BOB, REPORT, "sure", seen=1)
        assert (await see(writer, case_id, CAROL)).matches == (match(),)

    on(store_url, work)


def test_many_matches_come_in_pieces(store_url):
    """One piece is bounded; the next begins where it ended."""

    async def work(writer):
        case_id = await add_case(writer, [match(n) for n in range(MATCHES_AT_ONCE + 3)])
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
        first = await see(writer, case_id, ALICE)
        rest = await see(writer, case_id, ALICE, first=MATCHES_AT_ONCE)
        assert first.case.matches == MATCHES_AT_ONCE + 3
        assert [each["content_id"] for each in (*first.matches, *rest.matches)] == list(range(MATCHES_AT_ONCE + 3))

    on(store_url, work)


def test_lists_go_on_where_they_stopped(store_url):
    """Open cases oldest first, closed ones newest first, each case once over all pages, also at equal times."""

    async def work(writer):
        made = [await add_case(writer, window=number, at=AT + number // 2) for number in range(6)]
        by_age = sorted(made, key=lambda case_id: (made.index(case_id) // 2, case_id))

        async def pages(listing, key):
            found, after = [], None
            while True:
                async with writer.store.reading() as db:
                    page = await listing(db, ALICE, 4, after)
                found += [case.case_id for case in page]
                if len(page) < 4:
                    return found
                after = (getattr(page[-1], key), page[-1].case_id)

        assert await pages(open_cases, "opened_at") == by_age
        for case_id in made:
            await close(writer, case_id)
        assert await pages(closed_cases, "closed_at") == sorted(made, reverse=True)
        assert await pages(open_cases, "opened_at") == []

    on(store_url, work)


def test_counts_are_by_state(store_url):
    """Closed cases don't count."""

    async def work(writer):
        await add_case(writer)
        await close(writer, await add_case(writer, window=WINDOW + 1))
        case_id = await add_case(writer, window=WINDOW + 2)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
            await decide(change, case_id, ALICE, REPORT, "sure", seen=1)
        async with writer.store.reading() as db:
            assert await count_open(db) == {CaseState.WAITING: 1, CaseState.DECIDED_ONCE: 1}

    on(store_url, work)


def test_what_was_said_by_someone_who_is_gone_stays(sqlite_url):
    """The words outlive the row of who said them."""

    async def work(writer):
        case_id = await add_case(writer)
        async with writer.change(AT) as change:
            await take_case(change, case_id, ALICE)
            await add_note(change, case_id, ALICE, "e" * 32, "text")
            await decide(change, case_id, ALICE, REPORT, "sure", seen=1)
        async with writer.store.writing() as db:
            await db.execute(OPERATORS.delete())
        async with writer.store.reading() as db:
            assert [note.name for note in await notes_of(db, case_id)] == [GONE]
            assert [each.name for each in await decisions_of(db, case_id)] == [GONE]

    on(sqlite_url, work)

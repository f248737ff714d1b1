"""One case a reviewer, one reviewer a case, for a while."""

from __future__ import annotations

import asyncio

import pytest

from scanner.intake.cases.deciding import decide
from scanner.intake.cases.leasing import give_back, take_case, take_next
from scanner.intake.cases.lifecycle import LEASE_SECONDS, CaseOutcome
from scanner.intake.cases.reading import find_case
from scanner.intake.problems import ProblemError
from tests.intake.cases.conftest import ALICE, AT, BOB, CAROL, WINDOW, add_case, close, on
from tests.intake.conftest import open_writer


async def take(writer, case_id, person, at=AT):
    """Take a case in a change of its own."""
    async with writer.change(at) as change:
        return await take_case(change, case_id, person)


async def refusal(attempt):
    """The name of the problem that an attempt raises."""
    with pytest.raises(ProblemError) as refused:
        await attempt
    assert refused.value.status in {404, 409}
    return refused.value.name


def test_a_lease_keeps_others_out_until_it_runs_out(store_url):
    """To the last second the case is its holder's; from then on anyone's, without anybody doing anything."""

    async def work(writer):
        case_id = await add_case(writer)
        assert await take(writer, case_id, ALICE) == AT + LEASE_SECONDS
        assert await refusal(take(writer, case_id, BOB, AT + LEASE_SECONDS - 1)) == "leased"
        assert await take(writer, case_id, BOB, AT + LEASE_SECONDS) == AT + 2 * LEASE_SECONDS
        assert await refusal(take(writer, case_id, ALICE, AT + LEASE_SECONDS)) == "leased"

    on(store_url, work)


def test_its_holder_renews_a_lease(store_url):
    """Taking again counts the time anew."""

    async def work(writer):
        case_id = await add_case(writer)
        await take(writer, case_id, ALICE)
        assert await take(writer, case_id, ALICE, AT + 60) == AT + 60 + LEASE_SECONDS
        assert await refusal(take(writer, case_id, BOB, AT + LEASE_SECONDS)) == "leased"

    on(store_url, work)


def test_a_reviewer_has_one_case_at_a_time(store_url):
    """Another one only when the first is given back or its time is over."""

    async def work(writer):
        first, second = await add_case(writer), await add_case(writer, window=WINDOW + 1)
        await take(writer, first, ALICE)
        assert await refusal(take(writer, second, ALICE)) == "holds-another"
        assert await take(writer, second, ALICE, AT + LEASE_SECONDS)
        async with writer.change(AT + LEASE_SECONDS) as change:
            await give_back(change, second, ALICE)
        assert await take(writer, first, ALICE, AT + LEASE_SECONDS)

    on(store_url, work)


def test_only_its_holder_gives_a_case_back(store_url):
    """Somebody else's giving back changes nothing."""

    async def work(writer):
        case_id = await add_case(writer)
        await take(writer, case_id, ALICE)
        async with writer.change(AT) as change:
            await give_back(change, case_id, BOB)
        async with writer.store.reading() as db:
            assert (await find_case(db, case_id, BOB)).holder(AT) == ALICE
        async with writer.change(AT) as change:
            await give_back(change, case_id, ALICE)
        assert await take(writer, case_id, BOB)

    on(store_url, work)


def test_a_case_with_nothing_to_do_is_not_given_out(store_url):
    """Not after one's own decision, not when it is closed, not if there is none."""

    async def work(writer):
        case_id = await add_case(writer)
        await take(writer, case_id, ALICE)
        async with writer.change(AT) as change:
            await decide(change, case_id, ALICE, CaseOutcome.DISMISS, "no", seen=1)
        assert await refusal(take(writer, case_id, ALICE)) == "decided"
        await take(writer, case_id, BOB)
        async with writer.change(AT) as change:
            await decide(change, case_id, BOB, CaseOutcome.DISMISS, "no", seen=1)
        assert await refusal(take(writer, case_id, CAROL)) == "closed"
        assert await refusal(take(writer, "0" * 32, CAROL)) == "no-case"

    on(store_url, work)


def test_the_next_case_is_the_oldest_that_can_be_worked_on(store_url):
    """Who holds one gets that; cases of others, decided and closed ones are passed over; in the end there is none."""

    async def work(writer):
        closed = await add_case(writer, window=1, at=AT)
        oldest = await add_case(writer, window=2, at=AT + 1)
        newer = await add_case(writer, window=3, at=AT + 2)
        await close(writer, closed)

        async def next_of(person, at):
            async with writer.change(at) as change:
                return await take_next(change, person)

        assert [await next_of(ALICE, AT + 3) for _ in range(2)] == [oldest, oldest]
        assert await next_of(BOB, AT + 3) == newer
        assert await next_of(CAROL, AT + 3) is None
        async with writer.change(AT + 4) as change:
            await decide(change, oldest, ALICE, CaseOutcome.REPORT, "yes", seen=1)
        assert await next_of(ALICE, AT + 4) is None
        assert await next_of(CAROL, AT + 4) == oldest
        assert await next_of(ALICE, AT + 3 + LEASE_SECONDS) == newer

    on(store_url, work)


def test_of_two_who_take_a_case_at_once_one_gets_it(store_url):
    """Two connections, one lease."""

    async def work(writer):
        case_id = await add_case(writer)
        async with open_writer(store_url) as other:
            results = await asyncio.gather(
                take(writer, case_id, ALICE), take(other, case_id, BOB), return_exceptions=True
            )
        refused = [each for each in results if isinstance(each, ProblemError)]
        assert [each.name for each in refused] == ["leased"]
        assert results.count(AT + LEASE_SECONDS) == 1

    on(store_url, work)

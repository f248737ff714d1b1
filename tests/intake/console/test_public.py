"""The page for everyone, and the page of what was done."""

from __future__ import annotations

import asyncio
import re

import pytest

from scanner.intake.audit.checkpoints import Checkpoint
from scanner.intake.audit.notes import Verifier
from scanner.intake.console.totals import KEPT_SECONDS, Totals
from scanner.intake.settings import Rate
from tests.intake.cases.conftest import ACCOUNT, ALICE, AT, add_case, close, match, on
from tests.intake.conftest import INTAKE
from tests.intake.console.conftest import placed


def total(writer, totals, at=AT):
    """Count."""
    return totals.now(writer.store, at)


def test_totals_are_those_of_the_log_however_they_are_counted(store_url):
    """Counted in steps or at once, cases by where they stand now, and receipts by what is left."""

    async def work(writer):
        steps = Totals()
        assert (await total(writer, steps)).outcomes.total() == 0
        first, second = await add_case(writer, window=1), await add_case(writer, window=2)
        async with writer.change(AT) as change:
            for slot in range(5):
                change.log("receipt", device=bytes(16), window=1, slot=slot, digest=bytes(32))
            change.log("login", operator=ALICE, session=bytes(32))
        await total(writer, steps, AT + KEPT_SECONDS)
        await close(writer, first)
        await close(writer, second)
        await add_case(writer, [match(2)], window=2)
        stepped = await total(writer, steps, AT + 2 * KEPT_SECONDS)
        at_once = await total(writer, Totals())
        assert stepped == at_once
        assert stepped.kinds == {"case": 3, "receipt": 5, "login": 1, "decision": 4, "closing": 2}
        assert stepped.outcomes == {None: 1, "dismiss": 1}
        assert stepped.size == stepped.kinds.total()
        verifier = Verifier("localhost", INTAKE.public_key().public_bytes_raw())
        assert Checkpoint.parse(stepped.note, verifier).size == stepped.size

    on(store_url, work)


def test_totals_are_counted_at_most_every_so_often(sqlite_url):
    """A crowd that looks at the page costs one count; a clock that went back doesn't stop it."""

    async def work(writer):
        totals = Totals()
        first = await total(writer, totals)
        await add_case(writer)
        assert await total(writer, totals, AT + KEPT_SECONDS - 1) is first
        crowd = await asyncio.gather(*[total(writer, totals, AT + KEPT_SECONDS) for _ in range(9)])
        assert all(each is crowd[0] for each in crowd)
        assert (await total(writer, totals, AT - 5)).outcomes[None] == 1

    on(sqlite_url, work)


def test_everyone_sees_the_counts_and_nothing_of_anybody(place):
    """Without logging in: counts, a checkpoint that verifies by the key beside it, and no id of anything."""
    case_id = place.case()
    page = place.browser().open("/transparency")
    assert "Cases open now" in page.text
    for secret in (case_id, ACCOUNT.hex(), case_id[:8]):
        assert secret not in page.answer.text
    note = page.answer.text.split('aria-label="Signed checkpoint">')[1].split("</pre>")[0]
    key = page.answer.text.split('aria-label="Verifier key">')[1].split("</pre>")[0]
    verifier = Verifier.parse(key.replace("&#43;", "+"))
    assert verifier.public_key == INTAKE.public_key().public_bytes_raw()
    assert Checkpoint.parse(note.replace("&#43;", "+"), verifier).origin == "localhost"
    assert not page.answer.headers.get_list("Set-Cookie")
    assert place.browser().open("/console/transparency").title == page.title


def test_the_public_page_is_rate_limited(sqlite_url):
    """429 as a page."""
    with placed(sqlite_url, address_rate=Rate(2, 60.0)) as place:
        browser = place.browser()
        statuses = [browser.http.get("/transparency").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert int(browser.http.get("/transparency").headers["Retry-After"]) > 0


def test_activity_names_operators_and_pages_back_to_the_first_entry(place, monkeypatch):
    """The newest first, each entry once, receipts only on request."""
    monkeypatch.setattr("scanner.intake.console.activity.PAGE", 2)

    async def receipt(writer):
        async with writer.change(AT) as change:
            change.log("receipt", device=bytes(16), window=1, slot=0, digest=bytes(32))
            change.log("hook-disabled", hook="9" * 32, by=None, why="gone")
            change.log("operator-revoked", operator="8" * 32, by="8" * 32)

    alice = place.reviewer()
    place.run(receipt)
    page = alice.open("/console/activity")
    assert "at the machine" in page.text
    assert "8" * 32 in page.text
    kinds = []
    while True:
        kinds += re.findall(r"<strong>([a-z-]+)</strong>", page.answer.text)
        following = [link for link in page.links if "cursor=" in link]
        if not following:
            break
        page = alice.open(following[0])
    assert kinds == ["operator-revoked", "hook-disabled", "login", "operator"]
    assert "alice" in page.text
    assert "/console/activity" in page.links
    everything = alice.open("/console/activity?kind=all")
    assert all("kind=all" in link for link in everything.links if "cursor=" in link)
    assert "device 0000" in alice.open("/console/activity?kind=receipt").text
    assert "Nothing of that kind" in alice.open("/console/activity?kind=export").text


@pytest.mark.parametrize("number", [1, 5])
def test_long_lists_of_digests_are_cut(place, number):
    """An entry with many digests says how many and shows a few."""
    place.case(*(match(each) for each in range(number)))
    text = place.reviewer().open("/console/activity?kind=case").text
    assert f"{number}: " in text
    assert ("…" in text) == (number > 3)

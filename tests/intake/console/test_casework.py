"""A case's way through the console, by forms alone."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from scanner.intake.cases.lifecycle import LEASE_SECONDS
from scanner.intake.cases.reading import MATCHES_AT_ONCE
from tests.intake.cases.conftest import ACCOUNT, WINDOW, logged, match

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7919*7919 }}"


def decide(browser, case_id, outcome, reason="looked at it"):
    """Take the case, decide and confirm; gives the page after."""
    page = browser.open(f"/console/cases/{case_id}")
    if page.has_form("/take") and not page.has_form("/decision"):
        page = browser.send(page, "/take")
    page = browser.send(page, "/decision", outcome=outcome, reason=reason)
    return browser.send(page, "/decision/confirmed")


def test_two_reviewers_take_a_case_to_its_report(place):
    """Queue, take, note, decide, confirm, the other one too, and the report in both forms."""
    case_id = place.case(match(1), match(2, distance=3))
    alice, bob = place.reviewer(), place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    assert page.answer.url.path == f"/console/cases/{case_id}"
    assert "You hold this case" in page.text
    assert "12 of 256" in page.text
    page = alice.send(page, "/notes", text="Looks as listed.")
    assert "Your note is written." in page.text
    assert "Looks as listed." in page.text
    page = alice.send(page, "/decision", outcome="report", reason="Both are close.")
    assert "Nothing is decided yet" in page.text
    assert place.run(lambda writer: logged(writer, "decision")) == []
    page = alice.send(page, "/decision/confirmed")
    assert "Your decision is written." in page.text
    assert not page.has_form("/decision")
    page = decide(bob, case_id, "report")
    assert not page.has_form("/take")
    for browser in (alice, bob):
        assert "Both are close." in browser.open(f"/console/cases/{case_id}").text
    for form in ("json", "xml"):
        answer = bob.http.post(f"/console/cases/{case_id}/report", data=page.form("/report").fields | {"format": form})
        assert answer.headers["Content-Disposition"] == f'attachment; filename="case-{case_id[:8]}.{form}"'
        assert ACCOUNT.hex() in answer.text
        assert json.loads(answer.text) if form == "json" else ET.fromstring(answer.text)
    assert len(place.run(lambda writer: logged(writer, "report"))) == 2
    assert case_id[:8] in alice.open("/console/closed").text
    assert "Nothing waits." in alice.open("/console/").text


def test_the_next_reviewer_is_not_told_what_the_first_thinks(place):
    """Neither the case's page, nor the queue, nor the activity page gives it away before the own decision."""
    case_id = place.case()
    alice, bob = place.reviewer(), place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    alice.send(page, "/notes", text="obviously-so")
    decide(alice, case_id, "report", "reason-of-alice")
    page = bob.send(bob.open("/console/"), "/console/next")
    everything = [
        page,
        bob.open("/console/"),
        bob.open("/console/activity?kind=decision"),
        bob.open("/console/activity"),
    ]
    for seen in everything:
        assert "obviously-so" not in seen.answer.text
        assert "reason-of-alice" not in seen.answer.text
    assert "1 by others" in page.text
    activity = everything[2].text
    assert "decision" in activity
    assert "shown when the case is closed" in activity
    assert "outcome report" not in activity
    page = decide(bob, case_id, "dismiss")
    assert "reason-of-alice" in page.text
    assert "obviously-so" in page.text
    assert "needs a third decision" in page.text
    decide(place.reviewer(), case_id, "dismiss")
    assert "outcome dismiss" in bob.open("/console/activity?kind=decision").text


def test_accounts_are_pseudonyms_and_the_same_in_every_case(place):
    """The account's id is nowhere but in the report; its cases can be told to belong together."""
    one, two = place.case(), place.case(window=WINDOW + 1)
    other = place.case(account=bytes(16), window=WINDOW)
    alice = place.reviewer()
    names = {}
    for case_id in (one, two, other):
        page = alice.open(f"/console/cases/{case_id}")
        names[case_id] = page.text.split("Account")[1].split()[0]
    assert names[one] == names[two] != names[other]
    page = alice.send(alice.open("/console/"), "/console/next")
    for seen in (page, alice.open("/console/"), alice.open("/console/activity?kind=all")):
        assert ACCOUNT.hex() not in seen.answer.text
    assert names[one] in alice.open("/console/activity").text


def test_a_lease_that_ran_out_refuses_and_gives_the_words_back(place):
    """Nothing is decided or noted, and what was written can be copied from the page."""
    case_id = place.case()
    alice = place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    for later in (LEASE_SECONDS - 600, LEASE_SECONDS - 300):  # the session goes on, the lease doesn't
        place.clock.now += later
        alice.open("/console/")
    for action, fields in (
        ("/notes", {"text": "my words"}),
        ("/decision", {"outcome": "report", "reason": "my words"}),
    ):
        refused = alice.send(page, action, status=409, **fields)
        assert "You don't hold this case" in refused.text
        assert "my words" in refused.text
    assert place.run(lambda writer: logged(writer, "note", "decision")) == []
    page = alice.send(alice.open(f"/console/cases/{case_id}"), "/take")
    assert "You hold this case" in page.text


def test_a_case_of_another_shows_neither_matches_nor_forms(place):
    """Who doesn't work on it sees that somebody does."""
    case_id = place.case()
    alice, bob = place.reviewer(), place.reviewer()
    alice.send(alice.open("/console/"), "/console/next")
    page = bob.open(f"/console/cases/{case_id}")
    assert "Another reviewer works on this case" in page.text
    assert "of 256" not in page.text
    assert not any(page.has_form(action) for action in ("/take", "/notes", "/decision", "/report"))
    assert "There is no case that you could take now." in bob.send(bob.open("/console/"), "/console/next").text


def test_a_case_can_be_kept_for_longer_and_given_back(place):
    """Renewing moves the end; giving back frees it for the next."""
    case_id = place.case()
    alice, bob = place.reviewer(), place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    assert "until 08:15 UTC" in page.text
    place.clock.now += 300
    page = alice.send(page, "/take")
    assert "until 08:20 UTC" in page.text
    assert "you, until 08:20 UTC" in alice.open("/console/").text
    page = alice.send(page, "/give-back")
    assert "You gave the case back." in page.text
    assert bob.send(bob.open("/console/"), "/console/next").answer.url.path == f"/console/cases/{case_id}"


def test_hostile_text_stays_text_everywhere(place):
    """Notes, reasons and whatever a device told are escaped on every page that shows them."""
    case_id = place.case(
        match(1, algorithm=HOSTILE, hash=HOSTILE, day=2**64 - 1, distance=HOSTILE, **{HOSTILE: HOSTILE})
    )
    alice, bob = place.reviewer(), place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    page = alice.send(page, "/notes", text=HOSTILE)
    confirm = alice.send(page, "/decision", outcome="report", reason=HOSTILE)
    pages = [page, confirm, alice.send(confirm, "/decision/confirmed"), decide(bob, case_id, "report", HOSTILE)]
    for seen in pages:
        assert "<script>alert" not in seen.answer.text
        assert "<img src=x" not in seen.answer.text
        assert "62710561" not in seen.text
        assert HOSTILE in seen.text or HOSTILE in json.dumps(seen.form("/decision/confirmed").fields)
    assert pages[-1].text.count(HOSTILE) >= 5


def test_sending_a_form_twice_does_it_once(place):
    """A double click on a note or a decision is one note, one decision."""
    case_id = place.case()
    alice = place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    for _ in range(2):
        alice.send(page, "/notes", text="once")
    confirm = alice.send(page, "/decision", outcome="report", reason="once")
    for _ in range(2):
        alice.send(confirm, "/decision/confirmed")
    kinds = [entry.kind for entry in place.run(lambda writer: logged(writer, "note", "decision"))]
    assert kinds == ["note", "decision"]
    assert alice.open(f"/console/cases/{case_id}").text.count("once") == 2


def test_matches_that_came_meanwhile_must_be_looked_at(place):
    """The decision of a page that didn't show them is refused with the words kept."""
    case_id = place.case()
    alice = place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    confirm = alice.send(page, "/decision", outcome="report", reason="my words")
    place.case(match(2))
    refused = alice.send(confirm, "/decision/confirmed", status=409)
    assert "The case has got new matches" in refused.text
    assert "my words" in refused.text
    assert "Matches 2" in alice.open(f"/console/cases/{case_id}").text


def test_many_matches_are_on_pages(place):
    """Each page is bounded and says which it shows."""
    place.case(*(match(number) for number in range(MATCHES_AT_ONCE + 1)))
    alice = place.reviewer()
    page = alice.send(alice.open("/console/"), "/console/next")
    assert "1 to 200 of 201" in page.text
    following = next(link for link in page.links if "first=" in link)
    assert "201 to 201 of 201" in alice.open(following).text


@pytest.mark.parametrize("listing", ["/console/", "/console/closed"])
def test_long_lists_are_on_pages(place, monkeypatch, listing):
    """Following the links shows each case once."""
    monkeypatch.setattr("scanner.intake.console.queue.PAGE", 2)
    made = [place.case(window=number) for number in range(3)]
    alice, bob = place.reviewer(), place.reviewer()
    if listing.endswith("closed"):
        for case_id in made:
            decide(alice, case_id, "dismiss")
            decide(bob, case_id, "dismiss")
    page = alice.open(listing)
    found = [link for link in page.links if "/cases/" in link]
    page = alice.open(next(link for link in page.links if "cursor=" in link))
    found += [link for link in page.links if "/cases/" in link]
    assert sorted(found) == sorted(f"/console/cases/{case_id}" for case_id in made)
    assert listing in page.links
    assert "The cursor is not" in alice.open(f"{listing}?cursor=zzz", 400).text

"""Reports: only of what two people decided to report, the same each time, whatever is in them."""

from __future__ import annotations

import hashlib
import json
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.intake.cases.lifecycle import CaseOutcome, CaseState
from scanner.intake.cases.reading import Case
from scanner.intake.cases.reporting import LAST_DAY, ReportFormat, as_xml, write_report
from scanner.intake.problems import ProblemError
from tests.intake.cases.conftest import ACCOUNT, ALICE, AT, BOB, WINDOW, add_case, close, logged, match, on

HOSTILE = '</additionalInfo>&evil;<!-- "quoted" \x01 ]]>'
CASE = Case(
    "a" * 32, ACCOUNT, WINDOW, "b" * 32, CaseState.CLOSED, AT, None, None, CaseOutcome.REPORT, AT, 1, decided=False
)  # fmt: skip


async def report(writer, case_id, form=ReportFormat.JSON):
    """Get the report."""
    async with writer.change(AT + 10) as change:
        return await write_report(change, case_id, ALICE, form)


def test_only_a_case_to_be_reported_has_a_report(store_url):
    """Not one that is open, not one that is dismissed; nothing is logged of the attempt."""

    async def work(writer):
        case_id = await add_case(writer)
        for _ in range(2):
            with pytest.raises(ProblemError) as refused:
                await report(writer, case_id)
            assert (refused.value.status, refused.value.name) == (409, "not-to-report")
            if not await logged(writer, "closing"):
                await close(writer, case_id, CaseOutcome.DISMISS)
        assert await logged(writer, "report") == []

    on(store_url, work)


def test_a_report_is_the_same_each_time_and_each_time_logged(store_url):
    """Its digest in the log is that of the bytes handed out."""

    async def work(writer):
        case_id = await add_case(writer, [match(1), match(2)])
        await close(writer, case_id, CaseOutcome.REPORT, seen=2, reason=HOSTILE.replace("\x01", "\n"))
        for form in ReportFormat:
            first, second = [await report(writer, case_id, form) for _ in range(2)]
            assert first == second
            entries = [each.fields for each in await logged(writer, "report") if each.fields["format"] == form.value]
            digest = hashlib.sha256(first).digest()
            assert entries == [{"case": case_id, "by": ALICE, "format": form.value, "digest": digest}] * 2
        told = json.loads(await report(writer, case_id))
        assert (told["account"], told["window"], told["outcome"]) == (ACCOUNT.hex(), WINDOW, "report")
        assert told["matches"] == [match(1), match(2)]
        assert [(each["by"], each["outcome"]) for each in told["decisions"]] == [(ALICE, "report"), (BOB, "report")]
        assert told["decisions"][0]["reason"] == HOSTILE.replace("\x01", "\n")

    on(store_url, work)


def test_the_xml_has_the_shape_of_a_cybertipline_report():
    """The elements and their order as in NCMEC's ``report``; the first picture's day stands for the incident's time."""
    root = ET.fromstring(as_xml(CASE, [match(1, day=20_000), match(2, day=19_000)]))
    assert root.tag == "report"
    assert [part.tag for part in root] == [
        "incidentSummary", "internetDetails", "reporter", "personOrUserReported", "additionalInfo",
    ]  # fmt: skip
    assert root.findtext("incidentSummary/incidentType").startswith("Child Pornography")
    assert root.findtext("incidentSummary/incidentDateTime") == "2022-01-08T00:00:00Z"
    assert root.find("internetDetails/chatImIncident") is not None
    assert root.findtext("personOrUserReported/espIdentifier") == ACCOUNT.hex()
    assert "2 pictures" in root.findtext("additionalInfo")


values = st.text() | st.integers(-(2**70), 2**70) | st.none() | st.lists(st.text(), max_size=2)


@given(matches=st.lists(st.dictionaries(st.text() | st.just("day"), values, max_size=5), max_size=3))
def test_whatever_a_device_told_makes_well_formed_xml(matches):
    """No text or number ends an element, adds one, or makes the document unreadable."""
    root = ET.fromstring(as_xml(CASE, matches))
    assert len(list(root.iter())) == 12


def test_hostile_text_is_text():
    """Markup in a match comes out as it went in, but for what XML can't hold."""
    root = ET.fromstring(as_xml(CASE, [match(1, algorithm=HOSTILE, day=LAST_DAY)]))
    assert HOSTILE.replace("\x01", "\ufffd") in root.findtext("additionalInfo")
    assert "not known" in root.findtext("incidentSummary/incidentDateTimeDescription")

"""Write the report of a case that two people decided to report.

Rules: the same case gives the same bytes, so the log's digest says which report was handed out; every handing out is
logged; what reviewers noted stays here.

The XML has the elements and their order of a CyberTipline report (NCMEC, Reporting API, ``report``), and is not
validated against NCMEC's schema, which only its members get. ``reporter`` is empty: the messenger's provider fills it
in, as it does what it alone knows of the person, and sends the report.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from xml.etree import ElementTree as ET

from scanner.intake.cases.leasing import conflict
from scanner.intake.cases.lifecycle import CaseOutcome
from scanner.intake.cases.reading import Case, Decision, decisions_of, find_case, matches_of
from scanner.intake.cases.words import printable
from scanner.intake.store.change import Change

FORMAT = "prescan-report-1"
INCIDENT_TYPE = "Child Pornography (possession, manufacture, and distribution)"
"""The value of the CyberTipline's list for known pictures."""

LAST_DAY = 2_932_896
"""Days from 1970 to the end of the year 9999."""

_DAY = 86_400


class ReportFormat(StrEnum):
    """How a report is written."""

    JSON = "json"
    XML = "xml"


async def write_report(change: Change, case_id: str, by: str, form: ReportFormat) -> bytes:
    """Write a case's report, and have the log say who got it.

    Args:
        change: to write in.
        case_id: of a case that is closed as ``report``.
        by: the reviewer who gets it.
        form: JSON or XML.

    Raises:
        ProblemError: 404; or 409, nobody decided that it is to be reported.
    """
    case = await find_case(change.db, case_id, by)
    if case.outcome is not CaseOutcome.REPORT:
        raise conflict("not-to-report", "There is no report of this case", "Two reviewers must decide so first.")
    matches = await matches_of(change.db, case_id)
    if form is ReportFormat.JSON:
        report = as_json(case, matches, await decisions_of(change.db, case_id))
    else:
        report = as_xml(case, matches)
    change.log("report", case=case_id, by=by, format=form.value, digest=hashlib.sha256(report).digest())
    return report


def as_json(case: Case, matches: Sequence[dict[str, Any]], decisions: Sequence[Decision]) -> bytes:
    """Everything the case holds but for the notes; reviewers by their ids."""
    report = {
        "format": FORMAT,
        "case": case.case_id,
        "account": case.account.hex(),
        "window": case.window,
        "opened_at": written(case.opened_at),
        "closed_at": written(_closed_at(case)),
        "outcome": case.outcome,
        "decisions": [
            {
                "round": each.round,
                "by": each.operator_id,
                "outcome": each.outcome,
                "reason": each.reason,
                "at": written(each.decided_at),
            }
            for each in decisions
        ],
        "matches": list(matches),
    }
    return json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n"


def as_xml(case: Case, matches: Sequence[dict[str, Any]]) -> bytes:
    """The report in the CyberTipline's shape."""
    root = ET.Element("report")
    summary = ET.SubElement(root, "incidentSummary")
    _add(summary, "incidentType", INCIDENT_TYPE)
    days = sorted(match["day"] for match in matches if is_day(match.get("day")))
    _add(summary, "incidentDateTime", written(days[0] * _DAY if days else case.opened_at))
    _add(
        summary,
        "incidentDateTimeDescription",
        "The day, in UTC, on which the first of these pictures was sent; nothing finer is known."
        if days
        else "When the case was opened; the days on which the pictures were sent are not known.",
    )
    chat = ET.SubElement(ET.SubElement(root, "internetDetails"), "chatImIncident")
    _add(
        chat,
        "additionalInfo",
        "Pictures sent in an end-to-end encrypted messenger. None of them is held.",
    )
    ET.SubElement(root, "reporter")
    person = ET.SubElement(root, "personOrUserReported")
    _add(person, "espIdentifier", case.account.hex())
    lines = [
        f"Case {case.case_id}, closed {written(_closed_at(case))}. Two reviewers decided for themselves to report it.",
        f"{len(matches)} pictures match entries of lists of known hashes:",
        *(f"{number}. {_line(match)}" for number, match in enumerate(matches, 1)),
    ]
    _add(root, "additionalInfo", "\n".join(lines))
    ET.indent(root)
    document: bytes = ET.tostring(root, "UTF-8", xml_declaration=True)
    return document + b"\n"


def is_day(value: object) -> bool:
    """Whether it can be a day since 1970 of a calendar; devices may claim any number."""
    return type(value) is int and 0 <= value < LAST_DAY


def written(at: int) -> str:
    """A time as ISO 8601 writes it, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = printable(text)


def _line(match: dict[str, Any]) -> str:
    return "; ".join(f"{name} {value}" for name, value in sorted(match.items()))


def _closed_at(case: Case) -> int:
    assert case.closed_at is not None  # it has an outcome
    return case.closed_at

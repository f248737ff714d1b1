"""Templates, and how what is in a case is written for people.

Rules: everything is escaped; a name that a template doesn't get is an error, not an empty place; times are in UTC and
say so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scanner.intake.cases.lifecycle import CaseOutcome, CaseState
from scanner.intake.cases.reporting import is_day
from scanner.intake.console.files import addresses
from scanner.vouchers.header import WINDOW_SECONDS

_TEMPLATES = Path(__file__).parent / "templates"
_DAY = 86_400

STATES = {
    CaseState.WAITING: "needs a first decision",
    CaseState.DECIDED_ONCE: "needs a second decision",
    CaseState.DISPUTED: "needs a third decision",
    CaseState.CLOSED: "closed",
}
OUTCOMES = {CaseOutcome.REPORT: "Report", CaseOutcome.DISMISS: "Dismiss"}


def make_templates() -> Environment:
    """The pages' templates."""
    templates = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(moment=moment, day=day, clock=clock, short=short, spaced=spaced, number=number)
    templates.globals.update(states=STATES, outcomes=OUTCOMES, files=addresses(), window_days=window_days)
    return templates


def moment(at: int) -> Markup:
    """A time, to the minute."""
    return _time(at, "%-d %b %Y, %H:%M UTC")


def clock(at: int) -> Markup:
    """A time of today."""
    return _time(at, "%H:%M UTC")


def day(number_of_day: object) -> Markup | str:
    """A day by its number since 1970, as vouchers have it; what is none is written as it is."""
    if not isinstance(number_of_day, int) or not is_day(number_of_day):
        return str(number_of_day)
    at = datetime.fromtimestamp(number_of_day * _DAY, UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%d"), at.strftime("%-d %b %Y"))


def window_days(window: int) -> tuple[int, int]:
    """The first and last day of a window."""
    days = WINDOW_SECONDS // _DAY
    return window * days, (window + 1) * days - 1


def short(text: object) -> str:
    """The first 8 characters: enough to tell a few apart."""
    return str(text)[:8]


def spaced(text: object) -> str:
    """Hexadecimal in fours, so that it can be read and broken."""
    digits = str(text)
    return " ".join(digits[at : at + 4] for at in range(0, len(digits), 4))


def number(value: int) -> str:
    """With commas."""
    return f"{value:,}"


def _time(at: int, form: str) -> Markup:
    time = datetime.fromtimestamp(at, UTC)
    return Markup('<time datetime="{}">{}</time>').format(time.strftime("%Y-%m-%dT%H:%M:%SZ"), time.strftime(form))
